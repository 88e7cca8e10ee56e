#!/usr/bin/python3
"""Holds the names of events, the code and the catalogue against one another. Prints TAP, one line a rule.

  ids      each SG_MESSAGE_* is 128 bits in lower hex, its own, and passed to the log somewhere in src/
  entries  each has exactly one entry in units/scribe-gateway.catalog, and each entry is of one of them
  heads    each entry has Subject, Defined-By and Documentation or Support
  bodies   each says what happened, what it means for clients ("Clients: ...") and what to do
  runbook  docs/operations.md lists each by name and id, and knows no other
  fields   each @FIELD@ of an entry is one that the code writes
  systemd  journalctl makes a catalogue of the file and finds every entry in it

usage: catalog.py [TREE]
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent.parent)
IDS = TREE / "src/base/message_id.h"
CATALOG = TREE / "units/scribe-gateway.catalog"
RUNBOOK = TREE / "docs/operations.md"
LINE_CHARS_MAX = 80


def read_ids():
    return re.findall(r'^#define SG_MESSAGE_(\w+)\s+"([^"]*)"', IDS.read_text(), re.MULTILINE)


def read_code():
    """All of src/ but the list of the names itself, without comments."""
    texts = [path.read_text() for path in sorted((TREE / "src").rglob("*.[ch]")) if path != IDS]
    return re.sub(r"/\*.*?\*/", "", "\n".join(texts), flags=re.DOTALL)


def read_entries(text):
    """[(id, {head: value}, body)]. A head may stand several times; the last one counts here."""
    found = []
    for part in re.split(r"^-- ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        head, _, body = rest.partition("\n\n")
        found.append((name.strip(), dict(re.findall(r"^([\w-]+): (.+)$", head, re.MULTILINE)), body.strip()))
    return found


def check_ids(ids, code):
    seen = {}
    for name, value in ids:
        if not re.fullmatch(r"[0-9a-f]{32}", value) or len(set(value)) < 6:
            yield f"SG_MESSAGE_{name} is no random id of 32 lower hex digits"
        if value in seen:
            yield f"SG_MESSAGE_{name} has the id of SG_MESSAGE_{seen[value]}"
        seen[value] = name
        if not re.search(rf"\bSG_MESSAGE_{name}\b", code):
            yield f"SG_MESSAGE_{name} is never written"


def check_entries(ids, entries):
    known = dict((value, name) for name, value in ids)
    count = {}
    for name, _, _ in entries:
        count[name] = count.get(name, 0) + 1
        if name not in known:
            yield f"the entry {name} is of no SG_MESSAGE_*"
    for value, name in known.items():
        if count.get(value, 0) != 1:
            yield f"SG_MESSAGE_{name} has {count.get(value, 0)} entries"


def check_heads(entries):
    for name, head, _ in entries:
        for wanted in ("Subject", "Defined-By"):
            if not head.get(wanted):
                yield f"{name} has no {wanted}"
        if not head.get("Documentation") and not head.get("Support"):
            yield f"{name} has neither Documentation nor Support"
    subjects = [head.get("Subject") for _, head, _ in entries]
    for subject in {s for s in subjects if subjects.count(s) > 1}:
        yield f"'{subject}' is the subject of several entries"


def check_bodies(entries):
    for name, head, body in entries:
        parts = [part.strip() for part in body.split("\n\n")]
        if len(parts) < 3:
            yield f"{name} ({head.get('Subject')}) has {len(parts)} paragraphs: what happened, Clients, what to do"
        elif not parts[1].startswith("Clients: "):
            yield f"{name} ({head.get('Subject')}) does not say second what it means for clients"
        for line in body.splitlines():
            if len(line) > LINE_CHARS_MAX:
                yield f"{name}: a line of {len(line)} characters: {line[:40]}"


def check_fields(entries, code):
    for name, _, body in entries:
        for field in re.findall(r"@(\w+)@", body):
            if f'"{field}"' not in code:
                yield f"{name} shows @{field}@, which nobody writes"


def check_runbook(ids):
    text = RUNBOOK.read_text()
    listed = re.findall(r"^\| `([A-Z_]+)` \| `([0-9a-f]{32})` \|", text, re.MULTILINE)
    for name, value in set(ids) ^ set(listed):
        yield f"{name} {value} is {'not in' if (name, value) in ids else 'only in'} {RUNBOOK.name}"
    values = {value for _, value in ids}
    for value in re.findall(r"\b[0-9a-f]{32}\b", text):
        if value not in values:
            yield f"{RUNBOOK.name} names {value}, which nobody writes"
    names = {name for name, _ in ids}
    for name in re.findall(r"\bevent `([A-Z_]+)`", text):
        if name not in names:
            yield f"{RUNBOOK.name} speaks of an event {name}, which there is not"


def check_systemd(ids):
    """Without a booted system: a catalogue below a root of its own."""
    with tempfile.TemporaryDirectory(prefix="scribe-catalog-") as root:
        source = Path(root, "usr/lib/systemd/catalog")
        source.mkdir(parents=True)
        Path(root, "var/lib/systemd/catalog").mkdir(parents=True)
        shutil.copy(CATALOG, source)
        made = subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], capture_output=True, text=True)
        if made.returncode or made.stderr.strip():
            yield f"journalctl --update-catalog: status {made.returncode}: {made.stderr.strip()}"
        for name, value in ids:
            shown = subprocess.run(["journalctl", f"--root={root}", "--dump-catalog", value], capture_output=True, text=True)
            if f"-- {value}" not in shown.stdout or "Subject: " not in shown.stdout:
                yield f"journalctl --dump-catalog does not know SG_MESSAGE_{name}"


def main():
    ids, code, entries = read_ids(), read_code(), read_entries(CATALOG.read_text())
    rules = [
        ("ids", lambda: check_ids(ids, code)),
        ("entries", lambda: check_entries(ids, entries)),
        ("heads", lambda: check_heads(entries)),
        ("bodies", lambda: check_bodies(entries)),
        ("runbook", lambda: check_runbook(ids)),
        ("fields", lambda: check_fields(entries, code)),
        ("systemd", lambda: check_systemd(ids)),
    ]
    print(f"1..{len(rules)}")
    has_failed = not ids
    for number, (name, rule) in enumerate(rules, 1):
        if name == "systemd" and not shutil.which("journalctl"):
            print(f"ok {number} - {name} # SKIP there is no journalctl")
            continue
        found = list(rule())
        has_failed = has_failed or bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {name}")
        for line in found:
            print(f"# {line}")
    return has_failed


if __name__ == "__main__":
    sys.exit(main())
