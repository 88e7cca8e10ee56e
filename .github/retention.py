#!/usr/bin/python3
"""Which versions of a published container image stay, and removes the others.

What is kept, with everything that it consists of:
  versions (v1.2.3, 1.2.3, 1.2, 1)     for ever
  what a branch or latest points to    as long as it does
  the 10 newest tagged ones            whatever they are
  commits (main-abc1234), pr-<n>       30 days
An image of several architectures is a list that names its parts by digest; parts, attestations and signatures have no tag of their
own or one made from the digest of what they belong to (sha256-<digest>), and go with it. What has no tag and belongs to nothing is
removed after a day: until then it may be a publication that is under way.

usage: retention.py OWNER/NAME [--remove]      (with gh and docker buildx, both logged in)
"""

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

NEWEST = 10
COMMIT_DAYS = 30
UNTAGGED_DAYS = 1
VERSION = re.compile(r"v?\d+(\.\d+){0,2}(-[0-9A-Za-z.]+)?")
COMMIT = re.compile(r".+-[0-9a-f]{7,40}|pr-\d+")
BELONGS_TO = re.compile(r"(sha256)-([0-9a-f]{64})(\.\w+)?")


def is_commit(tag):
    return bool(COMMIT.fullmatch(tag)) and not is_version(tag)


def is_version(tag):
    return bool(VERSION.fullmatch(tag)) and "." in tag or tag.isdigit()


def tags_of(version):
    return [t for t in version["metadata"]["container"]["tags"] if not BELONGS_TO.fullmatch(t)]


def belongs_to(version):
    """The digests that a signature or attestation belongs to."""
    matches = (BELONGS_TO.fullmatch(t) for t in version["metadata"]["container"]["tags"])
    return {f"{m[1]}:{m[2]}" for m in matches if m}


def age(version, now):
    return now - datetime.fromisoformat(version["updated_at"].replace("Z", "+00:00"))


def why_kept(version, newest, now):
    tags = tags_of(version)
    if any(is_version(t) for t in tags):
        return "a version"
    if any(not is_commit(t) for t in tags):
        return "a branch"
    if version["id"] in newest:
        return f"one of the newest {NEWEST}"
    if tags and age(version, now) < timedelta(days=COMMIT_DAYS):
        return f"younger than {COMMIT_DAYS} days"
    if not tags and not belongs_to(version) and age(version, now) < timedelta(days=UNTAGGED_DAYS):
        return "perhaps under way"
    return None


def decide(versions, parts, now):
    """(kept: reason by id, removed: ids). `parts` has the digests named by each version that is a list, by its digest."""
    tagged = sorted((v for v in versions if tags_of(v)), key=lambda v: v["updated_at"], reverse=True)
    newest = {v["id"] for v in tagged[:NEWEST]}
    kept = {v["id"]: why for v in versions if (why := why_kept(v, newest, now))}
    digests = {v["name"] for v in versions if v["id"] in kept}
    while True:
        before = len(kept)
        digests |= {d for digest in digests for d in parts.get(digest, [])}
        for v in versions:
            if v["id"] not in kept and (v["name"] in digests or belongs_to(v) & digests):
                kept[v["id"]] = "part of what is kept"
                digests.add(v["name"])
        if len(kept) == before:
            return kept, [v["id"] for v in versions if v["id"] not in kept]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_parts(image, versions):
    """Of everything with a tag. What cannot be read ends the program: who does not know the parts must not remove any."""
    parts = {}
    for v in versions:
        if v["metadata"]["container"]["tags"]:
            manifest = json.loads(run("docker", "buildx", "imagetools", "inspect", "--raw", f"{image}@{v['name']}"))
            parts[v["name"]] = [m["digest"] for m in manifest.get("manifests", [])]
    return parts


def main():
    owner, _, name = sys.argv[1].partition("/")
    is_organization = json.loads(run("gh", "api", f"users/{owner}"))["type"] == "Organization"
    base = f"{'orgs' if is_organization else 'users'}/{owner}/packages/container/{name}/versions"
    pages = json.loads(run("gh", "api", "--paginate", "--slurp", f"{base}?per_page=100"))
    versions = [v for page in pages for v in page]
    kept, removed = decide(versions, read_parts(f"ghcr.io/{owner}/{name}", versions), datetime.now(timezone.utc))
    for v in versions:
        tags = " ".join(v["metadata"]["container"]["tags"]) or "no tag"
        print(f"{'keep' if v['id'] in kept else 'remove'} {v['id']} {v['name'][:19]} ({tags}) {kept.get(v['id'], '')}".rstrip())
    if "--remove" in sys.argv[2:]:
        for number in removed:
            run("gh", "api", "--method", "DELETE", f"{base}/{number}")
    print(f"{len(kept)} kept, {len(removed)} {'removed' if '--remove' in sys.argv[2:] else 'would be removed'}")


if __name__ == "__main__":
    main()
