#!/usr/bin/python3
"""Checks that the tests which docs/known-failures.md names exist. Prints TAP.

usage: known_failures.py TREE
"""

import re
import sys
from pathlib import Path


def problems(tree):
    page = (tree / "docs/known-failures.md").read_text()
    found = []
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    for file, test in named:
        path = tree / "tests/daemon" / file
        if not path.exists() or not re.search(rf"^def {test}\(", path.read_text(), re.M):
            found.append(f"{file}::{test} does not exist")
    for program in re.findall(r"`(run_\w+\.py)`", page):
        if not (tree / "tests/replay" / program).exists():
            found.append(f"tests/replay/{program} does not exist")
    for case in re.findall(r"`([a-z]+/\w+)`", page):
        if not (tree / f"tests/replay/conversations/{case}.case").exists():
            found.append(f"the conversation {case} does not exist")
    return found or ([] if len(named) > 10 else ["hardly any test is named"])


found = problems(Path(sys.argv[1]))
print("1..1")
for problem in found:
    print(f"# {problem}")
print(f"{'not ok' if found else 'ok'} 1 - tests that are named exist")
sys.exit(bool(found))
