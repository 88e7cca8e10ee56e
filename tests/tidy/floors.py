#!/usr/bin/python3
"""Holds the tree against the rules of the house that a machine can check. Prints TAP, one line a rule.

  floors   a room includes only rooms on lower floors, and of those only the ones that the table names
  sizes    no file over 800 lines, no function over 500: fuses, set wide
  words    no words of unfinished work, no path of somebody's own machine
  pages    each room has its page, each header of a room a banner with its own name

usage: floors.py [TREE]
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

# floor, room, rooms it may include ("*": all on lower floors). The table of docs/architecture.md.
TABLE = [
    (0, "base", ""),
    (1, "config", "base"),
    (1, "loop", "base"),
    (1, "http", "base"),
    (1, "json", "base"),
    (1, "journal", "base"),
    (2, "net", "base loop"),
    (2, "varlink", "base loop"),
    (3, "tls", "base loop net"),
    (3, "auth", "base config"),
    (3, "limit", "base config"),
    (3, "llm", "base config http json"),
    (4, "upstream", "base config http loop net tls"),
    (4, "probe", "base config http loop net tls"),
    (4, "redis", "base loop net tls"),
    (4, "feed", "base config json loop varlink auth"),
    (5, "gateway", "*"),
    (6, "control", "*"),
    (7, "daemon", "*"),
    # Programs of their own: nobody includes them.
    (8, "ledger", "base config loop journal varlink auth"),
    (8, "ctl", "base varlink"),
]
PROGRAMS = {"daemon", "ledger", "ctl"}
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 500

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
FUNCTION_START = re.compile(r"^[A-Za-z_][^;{}]*\)\s*$|^[A-Za-z_][^;{}=]*\)\s*\{\s*$")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATHS = re.compile(r"(^|[^A-Za-z0-9_./$-])/(work|farm|home/[a-z]+)/[a-z]|/tmp/b-[a-z]|/ro" + r"ot/\.")


def rooms():
    found = {}
    for floor, room, allowed in TABLE:
        lower = {other for level, other, _ in TABLE if level < floor and other not in PROGRAMS}
        found[room] = lower if allowed == "*" else set(allowed.split())
        assert found[room] <= lower, room
    return found


def check_floors(tree):
    allowed = rooms()
    found = []
    for path in sorted((tree / "src").rglob("*.[ch]")):
        room = path.relative_to(tree / "src").parts[0]
        name = path.relative_to(tree)
        if room not in allowed:
            found.append(f"{name}: the room '{room}' is not in the table")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match[1]
            if "/" not in target:
                if target != "sg_build.h":
                    found.append(f"{name}:{number}: \"{target}\": include by path from src/")
                continue
            other = target.split("/")[0]
            if other != room and other not in allowed[room]:
                found.append(f"{name}:{number}: {room} may not include {other} (\"{target}\")")
            elif not (tree / "src" / target).exists():
                found.append(f"{name}:{number}: there is no src/{target}")
    return found


def functions(text):
    """(line, length) of each function: from a line in column 0 that ends a parameter list to the next "}" in column 0."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("{") and at and FUNCTION_START.match(lines[at - 1]):
            start = at
            while at < len(lines) and not lines[at].startswith("}"):
                at += 1
            yield start, at - start + 1
        at += 1


def check_sizes(tree):
    found = []
    for path in sorted([*(tree / "src").rglob("*.[ch]"), *(tree / "tests").rglob("*.[ch]"), *(tree / "tests").rglob("*.py")]):
        text = path.read_text()
        n = text.count("\n")
        if n > FILE_LINES_MAX:
            found.append(f"{path.relative_to(tree)}: {n} lines; look for two jobs")
        if path.suffix == ".c":
            found += [f"{path.relative_to(tree)}:{line}: a function of {length} lines"
                      for line, length in functions(text) if length > FUNCTION_LINES_MAX]
    return found


def tracked_files(tree):
    """What git knows; in an unpacked source package, what is there."""
    git = shutil.which("git")
    done = git and subprocess.run([git, "-C", str(tree), "ls-files", "-z"], capture_output=True, check=False)
    if done and done.returncode == 0 and done.stdout:
        return [tree / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in tree.rglob("*") if path.is_file() and not re.search(r"/(build[^/]*|obj-[^/]*|\.git|\.local)/", str(path))]


def check_words(tree):
    found = []
    for path in tracked_files(tree):
        if path.is_symlink() or not path.is_file() or "corpus" in path.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line) and path.suffix in (".c", ".h", ".py", ".sh", ".build"):
                found.append(f"{path.relative_to(tree)}:{number}: a word of unfinished work: {line.strip()[:80]}")
            if MACHINE_PATHS.search(line):
                found.append(f"{path.relative_to(tree)}:{number}: a path of somebody's own machine: {line.strip()[:80]}")
    return found


def check_pages(tree):
    found = [f"src/{room.name}: there is no README.md" for room in sorted((tree / "src").iterdir())
             if room.is_dir() and not (room / "README.md").exists()]
    for path in sorted((tree / "src").rglob("*.h")):
        name = path.relative_to(tree / "src")
        if not path.read_text().startswith(f"/*\n * {name} - "):
            found.append(f"src/{name}:1: the banner does not begin with '{name} - '")
    return found


def main():
    tree = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent.parent).resolve()
    checks = [("rooms include only what lies below them", check_floors),
              ("files and functions stay within the fuses", check_sizes),
              ("no unfinished work and no machine's own paths", check_words),
              ("rooms have a page and headers a banner", check_pages)]
    n_failed = 0
    print(f"1..{len(checks)}")
    for number, (name, check) in enumerate(checks, 1):
        found = check(tree)
        for line in found:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} {number} - {name}")
        n_failed += bool(found)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
