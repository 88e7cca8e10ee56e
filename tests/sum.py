#!/usr/bin/python3
"""Adds up what meson's runs have recorded, case by case, and ends with one line: N passed, N failed, N skipped.

usage: sum.py NAME=BUILD-DIRECTORY[:LOGBASE]...

What failed is told once more, with the comment lines that stand above it. A test that speaks TAP counts as many cases as it reported; one that only has an exit status counts as one. A test that
ended badly without reporting a failed case (a crash, a time-out, a sanitizer's report at the end) counts one failure.
"""

import json
import re
import sys
from pathlib import Path

LINE = re.compile(r"^(not )?ok\b(.*?)(?:#\s*(skip|todo)\b\s*(.*))?$", re.IGNORECASE)
SKIP = re.compile(r"^# SKIP (.*)")  # above its case: cmocka has no skip that meson understands (tests/unit/skip.h)
COMMENTS_MAX = 60
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def cases(entry):
    """(passed, failed, skipped, what to tell of skips and failures) of one test."""
    passed = failed = skipped = 0
    told, comments = [], []
    for line in (entry.get("stdout") or "").splitlines():
        match = LINE.match(line)
        if not match:
            comments.append(line)
            continue
        reasons = [found[1] for found in map(SKIP.match, comments) if found]
        if match[3] and match[3].lower() == "skip":
            skipped += 1
            told.append(f"skipped: {match[2].strip(' -')}: {match[4]}")
        elif reasons and not match[1]:
            skipped += 1
            told.append(f"skipped: {match[2].strip(' -')}: {reasons[-1]}")
        elif match[1]:
            failed += 1
            told += [*comments[-COMMENTS_MAX:], line]
        else:
            passed += 1
        comments = []
    if not passed + failed + skipped:
        passed, failed, skipped = [(entry["result"] == "OK"), False, (entry["result"] == "SKIP")]
    if entry["result"] not in GOOD and not failed:
        failed += 1
        told += [*comments[-COMMENTS_MAX:], *(entry.get("stderr") or "").splitlines()[-COMMENTS_MAX:], f"ended: {entry['result']}"]
    return int(passed), int(failed), int(skipped), told


def main():
    total = [0, 0, 0]
    for argument in sys.argv[1:]:
        name, _, directory = argument.partition("=")
        directory, _, base = directory.partition(":")
        log = Path(directory) / f"meson-logs/{base or 'testlog'}.json"
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.strip()] if log.exists() else []
        mine = [0, 0, 0]
        if not entries:
            print(f"{name}: no test has run")
            mine[1] = 1
        for entry in entries:
            passed, failed, skipped, told = cases(entry)
            mine = [mine[0] + passed, mine[1] + failed, mine[2] + skipped]
            if told:
                print(f"{name}: {entry['name']}: {entry['result']}")
            for line in told:
                print(f"    {line}")
        print(f"{name}: {mine[0]} of {sum(mine)} cases passed in {len(entries)} tests")
        total = [a + b for a, b in zip(total, mine)]
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
