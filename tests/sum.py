#!/usr/bin/python3
"""Adds up what meson's runs have recorded, case by case, and ends with one line: N passed, N failed, N skipped.

usage: sum.py NAME=BUILD-DIRECTORY...

A test that speaks TAP counts as many cases as it reported; one that only has an exit status counts as one. A test that
ended badly without reporting a failed case (a crash, a time-out, a sanitizer's report at the end) counts one failure.
"""

import json
import re
import sys
from pathlib import Path

LINE = re.compile(r"^(not )?ok\b(.*?)(?:#\s*(skip|todo)\b\s*(.*))?$", re.IGNORECASE)
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def cases(entry):
    """(passed, failed, skipped, reasons for skips) of one test."""
    passed = failed = skipped = 0
    reasons = []
    for line in (entry.get("stdout") or "").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        if match[3] and match[3].lower() == "skip":
            skipped += 1
            reasons.append(f"{match[2].strip(' -')}: {match[4]}")
        elif match[1]:
            failed += 1
        else:
            passed += 1
    if not passed + failed + skipped:
        passed, failed, skipped = [(entry["result"] == "OK"), False, (entry["result"] == "SKIP")]
    if entry["result"] not in GOOD and not failed:
        failed += 1
    return int(passed), int(failed), int(skipped), reasons


def main():
    total = [0, 0, 0]
    for argument in sys.argv[1:]:
        name, _, directory = argument.partition("=")
        log = Path(directory) / "meson-logs/testlog.json"
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.strip()] if log.exists() else []
        mine = [0, 0, 0]
        if not entries:
            print(f"{name}: no test has run")
            mine[1] = 1
        for entry in entries:
            passed, failed, skipped, reasons = cases(entry)
            mine = [mine[0] + passed, mine[1] + failed, mine[2] + skipped]
            for reason in reasons:
                print(f"{name}: skipped: {entry['name']}: {reason}")
            if failed:
                print(f"{name}: FAILED: {entry['name']} ({entry['result']})")
        print(f"{name}: {mine[0]} of {sum(mine)} cases passed in {len(entries)} tests")
        total = [a + b for a, b in zip(total, mine)]
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
