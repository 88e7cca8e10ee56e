#!/usr/bin/python3
"""Holds .github against what GitHub, and the rules of the house, would hold it against: they cannot be run here. Then breaks the
workflows in ways that have happened elsewhere, and wants each found; and asks the retention of images what it would remove. Prints TAP.

usage: workflows.py SOURCE-DIRECTORY
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SCOPES = {"actions", "attestations", "checks", "contents", "id-token", "issues", "packages", "pull-requests", "security-events"}
RANK = {"none": 0, "read": 1, "write": 2}
EVENTS = {"push", "pull_request", "workflow_call", "workflow_dispatch", "workflow_run", "schedule"}
CONTEXTS = {"env", "github", "inputs", "jobs", "matrix", "needs", "secrets", "steps"}
FUNCTIONS = {"always", "cancelled", "contains", "failure", "fromJSON", "startsWith", "success"}
# What somebody outside can choose must not become part of a script.
UNSAFE = re.compile(r"\$\{\{")
EXPRESSION = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|[^'}]|\}(?!\}))*)\}\}")
FILE = re.compile(r"(?:^|[\s\"'=(])(\.?/?(?:\.github|tests|packaging|debian|src)/[\w./-]+)")
# Outputs of the actions that are used; those of steps with `run` are read from their scripts.
OUTPUTS = {"docker/metadata-action": {"tags", "labels", "version"}, "docker/build-push-action": {"digest"},
           "anchore/scan-action": {"sarif"}}


class Workflow:
    def __init__(self, path, text):
        self.name, self.text = path, text
        self.tree = yaml.safe_load(text)
        self.on = self.tree.get(True, self.tree.get("on"))  # YAML 1.1 takes `on` for a truth value
        self.on = {self.on: None} if isinstance(self.on, str) else self.on
        self.jobs = self.tree["jobs"]

    def call(self):
        return (self.on.get("workflow_call") or {}) if "workflow_call" in self.on else None

    def inputs(self):
        return {k for e in ("workflow_call", "workflow_dispatch") for k in ((self.on.get(e) or {}).get("inputs") or {})}


def texts(value):
    if isinstance(value, dict):
        for k, v in value.items():
            if isinstance(k, str):
                yield k
            yield from texts(v)
    elif isinstance(value, list):
        for v in value:
            yield from texts(v)
    elif isinstance(value, str):
        yield value


def check_frame(w, all_of_them):
    """Events, permissions, times, groups."""
    if w.tree.get("permissions") != {}:
        yield "the permissions of a workflow are none: each job names its own"
    if "group" not in w.tree.get("concurrency", {}):
        yield "there is no concurrency group"
    for event in set(w.on) - EVENTS:
        yield f"event {event} is not one of ours"
    for name, job in w.jobs.items():
        if not isinstance(job.get("permissions"), dict):
            yield f"job {name} has no permissions"
        for scope, level in (job.get("permissions") or {}).items():
            if scope not in SCOPES or level not in RANK:
                yield f"job {name}: permission {scope}: {level} is unknown"
        if "uses" in job:
            continue
        if not isinstance(job.get("timeout-minutes"), int):
            yield f"job {name} has no timeout-minutes"
        if "runs-on" not in job or not job.get("steps"):
            yield f"job {name} has no runner or no steps"
        for step in job.get("steps", []):
            if ("uses" in step) == ("run" in step):
                yield f"job {name}: a step either uses or runs"


def check_pins(w, all_of_them):
    for line in w.text.splitlines():
        match = re.match(r"\s*(?:- )?uses:\s*(.*)", line)
        if match and not match[1].startswith("./") and not PINNED.fullmatch(match[1]):
            yield f"{match[1]} is not pinned by a full hash, with its version behind it"
    pins = {}
    for other in all_of_them.values():
        for action, pin in re.findall(r"uses: ([\w.-]+/[\w.-]+)[\w/-]*@(\w+)", other.text):
            pins.setdefault(action, set()).add(pin)
    for action in [a for a, p in pins.items() if len(p) > 1 and a in w.text]:
        yield f"{action} is pinned to several versions"
    for job in w.jobs.values():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@") and (step.get("with") or {}).get("persist-credentials") is not False:
                yield "a checkout leaves its token behind"


def check_files(root):
    def check(w, all_of_them):
        for name in sorted({m.removeprefix("./").rstrip(".") for t in texts(w.tree) for m in FILE.findall(t)}):
            if not (root / name).exists():
                yield f"{name} does not exist"
            elif re.search(rf"(run: |^\s+(if )?){re.escape(name)}\b", w.text, re.M) and not (root / name).stat().st_mode & 0o100:
                yield f"{name} cannot be run"
    return check


def check_expressions(w, all_of_them):
    for text in texts(w.tree):
        if text.count("${{") != len(EXPRESSION.findall(text)):
            yield f"an expression is not closed: {text.strip()[:60]}"
        for inner in EXPRESSION.findall(text):
            bare = re.sub(r"'(?:[^']|'')*'", "''", inner)
            if bare.count("(") != bare.count(")") or bare.count("[") != bare.count("]"):
                yield f"brackets of an expression do not match: {inner.strip()}"
            for word in re.findall(r"(?<![\w.-])([A-Za-z_]\w*)(?=\()", bare):
                if word not in FUNCTIONS:
                    yield f"there is no function {word}"
            for word in re.findall(r"(?<![\w.-])([A-Za-z_]\w*)(?=\.)", bare):
                if word not in CONTEXTS:
                    yield f"there is no context {word}"
            for name in re.findall(r"secrets\.(\w+)", bare):
                if name != "GITHUB_TOKEN":
                    yield f"secret {name}: there are none but the token of the run"
            for name in re.findall(r"(?<![\w.])inputs\.([\w-]+)", bare):
                if name not in w.inputs():
                    yield f"input {name} is not declared"
    for name, job in w.jobs.items():
        for step in job.get("steps", []):
            if UNSAFE.search(step.get("run", "")):
                yield f"job {name}: a value becomes part of a script; hand it over in env"


def outputs_of(job, number):
    """Outputs by step id, of the steps before this one."""
    found = {}
    for step in job["steps"][:number]:
        if "id" in step:
            action = step.get("uses", "").partition("@")[0]
            found[step["id"]] = OUTPUTS.get(action, set()) | set(re.findall(r'echo "([\w-]+)=.*GITHUB_OUTPUT', step.get("run", "")))
    return found


def check_step_references(where, text, steps):
    for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        if output not in steps.get(step, ()):
            yield f"{where}: steps.{step}.outputs.{output} does not exist (there)"
    for step in re.findall(r"steps\.([\w-]+)\.(?:outcome|conclusion)", text):
        if step not in steps:
            yield f"{where}: there is no step {step} before"


def check_references(w, all_of_them):
    """needs, outputs, matrix, called workflows."""
    for name, job in w.jobs.items():
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        for need in needs:
            if need not in w.jobs:
                yield f"job {name} needs {need}, which is not there"
        for need, output in {m for t in texts(job) for m in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", t)}:
            called = all_of_them.get(w.jobs.get(need, {}).get("uses", "").removeprefix("./"))
            there = (called.call() or {}).get("outputs", {}) if called else w.jobs.get(need, {}).get("outputs", {})
            if need not in needs or output not in there:
                yield f"job {name}: needs.{need}.outputs.{output} does not exist"
        matrix = (job.get("strategy") or {}).get("matrix", {})
        keys = (set(matrix) - {"include"}) | {k for row in matrix.get("include", []) for k in row}
        for key in {m for t in texts(job) for m in re.findall(r"matrix\.(\w+)", t)} - keys:
            yield f"job {name}: the matrix has no {key}"
        for i, step in enumerate(job.get("steps", [])):
            for text in texts(step):
                yield from check_step_references(f"job {name}", text, outputs_of(job, i))
        for text in texts(job.get("outputs", {})):
            yield from check_step_references(f"job {name}", text, outputs_of(job, len(job["steps"])))
        if "uses" in job:
            yield from check_call(w, name, job, all_of_them)
    for job, output in re.findall(r"jobs\.([\w-]+)\.outputs\.([\w-]+)", str(w.call() or "")):
        if output not in w.jobs.get(job, {}).get("outputs", {}):
            yield f"jobs.{job}.outputs.{output} does not exist"
    for other in (w.on.get("workflow_run") or {}).get("workflows", []):
        if other not in {o.tree["name"] for o in all_of_them.values()}:
            yield f"there is no workflow {other} to run after"


def check_call(w, name, job, all_of_them):
    called = all_of_them.get(job["uses"].removeprefix("./"))
    if not called or called.call() is None:
        yield f"job {name} calls {job['uses']}, which is not there or cannot be called"
        return
    for key in set(job.get("with", {})) - set(called.call().get("inputs", {})):
        yield f"job {name}: {job['uses']} has no input {key}"
    for inner_name, inner in called.jobs.items():
        for scope, level in (inner.get("permissions") or {}).items():
            if RANK[(job.get("permissions") or {}).get(scope, "none")] < RANK[level]:
                yield f"job {name} does not grant {scope}: {level}, which {inner_name} of {job['uses']} asks for"


def check_twins(w, all_of_them):
    """A second try is the same as the first."""
    for name, job in w.jobs.items():
        by_id = {s["id"]: s for s in job.get("steps", []) if "id" in s}
        if "second" in by_id and any(by_id["first"].get(k) != by_id["second"].get(k) for k in ("uses", "with", "env")):
            yield f"job {name}: the second try is another one than the first"


def check_scripts(w, all_of_them):
    if not shutil.which("shellcheck"):
        return
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for name, job in w.jobs.items():
            for i, step in enumerate(job.get("steps", [])):
                if "run" in step:
                    files.append(Path(directory) / f"{name}-{i}.sh")
                    files[-1].write_text(f"#!/bin/bash\nset -e\n{step['run']}\n")
        if files:
            r = subprocess.run(["shellcheck", "--format=gcc", *files], capture_output=True, text=True)
            yield from (line.replace(f"{directory}/", "") for line in r.stdout.splitlines())


# ---- what has to be found

BREAKAGES = [ # workflow, what, by what
    ("test", "# v7.0.1", "# v7"),
    ("test", "@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7"),
    ("test", "@3d3c42e5aac5ba805825da76410c181273ba90b1", "@3d3c42e5aac5ba805825da76410c181273ba90b2"),
    ("test", "  pull_request:", "  pull_request_target:"),
    ("test", "permissions: {}", "permissions: write-all"),
    ("test", "    timeout-minutes: 120\n", ""),
    ("test", "    permissions:\n      contents: read\n", ""),
    ("test", "concurrency:\n  group: test-${{ github.workflow }}-${{ github.ref }}", "concurrency:\n  x: y"),
    ("test", "${{ matrix.debian }}", "${{ matrix.debain }}"),
    ("test", "${{ failure() }}", "${{ failed() }}"),
    ("test", "${{ failure() }}", "${{ failure( }}"),
    ("test", "${{ failure() }}", "${{ failure() }"),
    ("test", "${{ matrix.options }}", "${{ secrets.OPTIONS }}"),
    ("test", "          persist-credentials: false\n", "          fetch-depth: 1\n"),
    ("test", "meson setup /tmp/build . -Dtests=true $OPTIONS", "meson setup /tmp/build ${{ github.head_ref }}"),
    ("test", "meson setup /tmp/build .", "cd $HOME; meson setup /tmp/build ."),
    ("package", "tests/lab/build_package.sh . /tmp/package", "tests/lab/build_pakage.sh . /tmp/package"),
    ("package", "    needs: build\n", "    needs: biuld\n"),
    ("image", "needs: [secrets, name, try]", "needs: [secrets, name]"),
    ("image", "${{ needs.try.outputs.base }}", "${{ needs.try.outputs.bass }}"),
    ("image", "${{ steps.meta.outputs.tags }}", "${{ steps.mete.outputs.tags }}"),
    ("image", "${{ steps.sources.outputs.time }}", "${{ steps.sources.outputs.date }}"),
    ("image", "          provenance: mode=max\n", ""),
    ("image", "${{ inputs.version == '' }}", "${{ input.version == '' }}"),
    ("image", "${{ inputs.fresh == true }}", "${{ inputs.frehs == true }}"),
    ("image", "${{ jobs.publish.outputs.digest }}", "${{ jobs.publish.outputs.digset }}"),
    ("image", ".github/try-image", ".github/try-imgae"),
    ("image", "      id-token: write\n", "      id-token: rite\n"),
    ("release", "      packages: write\n", ""),
    ("release", "./.github/workflows/image.yml", "./.github/workflows/images.yml"),
    ("release", "./.github/workflows/image.yml", "./.github/workflows/cleanup.yml"),
    ("release", "      version: ${{ github.ref_name }}", "      tag: ${{ github.ref_name }}"),
    ("release", "${{ needs.image.outputs.digest }}", "${{ needs.image.outputs.tags }}"),
    ("rebuild", "needs.look.outputs.version != ''", "needs.loook.outputs.version != ''"),
    ("notify", "[test, package,", "[tests, package,"),
]


def read_all(root):
    found = {}
    for path in sorted((root / ".github/workflows").glob("*.yml")):
        name = str(path.relative_to(root))
        found[name] = Workflow(name, path.read_text())
    return found


def checks_of(root):
    return {"frame": check_frame, "pins": check_pins, "files": check_files(root), "expressions": check_expressions,
            "references": check_references, "second tries": check_twins, "scripts": check_scripts}


def is_found(root, workflows, name, old, new):
    path = f".github/workflows/{name}.yml"
    text = workflows[path].text
    if old not in text:
        return False
    broken = {**workflows, path: Workflow(path, text.replace(old, new, 1))}
    try:
        return any(list(check(w, broken)) for check in checks_of(root).values() for w in broken.values())
    except (KeyError, TypeError, AttributeError):
        return True


# ---- the retention of images

def image(number, days, tags, now, digest=None):
    return {"id": number, "name": digest or f"sha256:{number:064x}", "updated_at": (now - timedelta(days=days)).isoformat(),
            "metadata": {"container": {"tags": tags}}}


def check_retention(root):
    spec = importlib.util.spec_from_file_location("retention", root / ".github/retention.py")
    sys.dont_write_bytecode = True
    retention = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(retention)
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    digest = "sha256:{:064x}".format
    versions = [
        image(1, 900, ["v1.0.0", "1.0.0", "1.0", "1"], now), image(2, 900, [], now), image(3, 900, [], now),
        image(4, 899, ["sha256-" + digest(1)[7:]], now), image(5, 899, [], now),
        image(6, 400, ["latest", "main", "main-abcdef0"], now), image(7, 900, ["2.0.0-rc.1"], now),
        *[image(10 + i, 40 + i, [f"main-{i:07x}"], now) for i in range(12)],
        *[image(30 + i, 2, [f"develop-{i:07x}"], now) for i in range(4)], image(34, 29, ["pr-7"], now), image(35, 31, ["pr-8"], now),
        image(40, 5, [], now), image(41, 0.5, [], now),
        image(42, 90, ["sha256-" + digest(21)[7:] + ".sig"], now), image(43, 90, ["sha256-" + digest(99)[7:]], now),
        image(44, 1, [], now),
    ]
    parts = {digest(1): [digest(2), digest(3)], digest(4): [digest(5)], digest(30): [digest(44)], digest(21): [digest(40)]}
    kept, removed = retention.decide(versions, parts, now)
    wanted = {
        "versions stay for ever, the first and a candidate": {1, 7} <= set(kept),
        "with the images of their architectures": {2, 3} <= set(kept),
        "with their signatures, and what these consist of": {4, 5} <= set(kept),
        "what a branch points to stays, however old": 6 in kept,
        "the newest ten stay whatever they are": {10, 11, 12, 13, 30, 31, 32, 33, 34, 35} <= set(kept),
        "older tags of commits go": set(range(14, 22)) <= set(removed),
        "with what they consist of and their signatures": {40, 42} <= set(removed),
        "a signature of what is gone goes": 43 in removed,
        "what has no tag stays for a day": 41 in kept,
        "or while it belongs to something": 44 in kept,
        "nothing is forgotten": len(kept) + len(removed) == len(versions),
    }
    yield from (f"not so: {name}; kept {sorted(kept)}" for name, is_so in wanted.items() if not is_so)
    young = [image(i, i % 29, [f"main-{i:07x}"], now) for i in range(50)]
    if retention.decide(young, {}, now)[1]:
        yield "tags of commits stay for 30 days, however many they are"


def main():
    root = Path(sys.argv[1])
    workflows = read_all(root)
    n = failed = 0

    def report(name, found):
        nonlocal n, failed
        n += 1
        for line in found:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} {n} - {name}")
        failed |= bool(found)

    report("there are workflows", [] if len(workflows) > 5 else ["few"])
    for name, check in checks_of(root).items():
        report(f"{name} of {len(workflows)} workflows", [f"{w.name}: {p}" for w in workflows.values() for p in check(w, workflows)])
    lost = [f"{name}: {old!r} -> {new!r}" for name, old, new in BREAKAGES if not is_found(root, workflows, name, old, new)]
    report(f"each of {len(BREAKAGES)} breakages is found", lost)
    report("the retention of images keeps and removes what it should", list(check_retention(root)))
    print(f"1..{n}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
