#!/usr/bin/python3
"""What the gateway costs beside nginx, HAProxy and h2o: CPU, rates, times and memory, as ratios of one run.

Proxies have core 0; load, the fake upstream and the ledger core 1. Prints Markdown. Never fails for being slow: only when an
answer was wrong, a stream was cut, or a part is missing.

usage: bench.py [--rows NAME,…] [--seconds N] [--json FILE] [--list]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

import parts  # noqa: E402
from rows import ROWS, Bench  # noqa: E402
from table import Table  # noqa: E402

NEEDED = ("wrk", "h2load", "strace", "taskset", "openssl")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", help="only these, by commas (a trailing * stands for any end)")
    parser.add_argument("--seconds", type=int, default=3, help="rounds of a second for each figure (3)")
    parser.add_argument("--json", type=Path, help="raw figures go here")
    parser.add_argument("--list", action="store_true", help="names of rows, and nothing else")
    return parser.parse_args()


def chosen(names):
    if not names:
        return ROWS
    found = []
    for name in names.split(","):
        some = [r for r in ROWS if r.name == name or name.endswith("*") and r.name.startswith(name[:-1])]
        if not some:
            sys.exit(f"bench.py: there is no row '{name}'; see --list")
        found += [r for r in some if r not in found]
    return found


def machine():
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    uname = os.uname()
    return f"{model}, {os.cpu_count()} cores, Linux {uname.release}"


def head(versions, load_before):
    commit = subprocess.run(["git", "-C", parts.HERE, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    return (f"Run of {time.strftime('%Y-%m-%d %H:%M')}, gateway {commit or '?'}; " + ", ".join(f"{n} {v}" for n, v in versions.items()) +
            f". {machine()}; load average {load_before[0]:.1f} before and {os.getloadavg()[0]:.1f} after.")


def check_machine():
    missing = [program for program in NEEDED if not shutil.which(program)]
    if missing:
        sys.exit(f"bench.py: missing: {', '.join(missing)} (./start.sh bench installs them)")
    if not (parts.TOOLS / "bench-fake").exists():
        sys.exit(f"bench.py: no programs in {parts.TOOLS}: ninja -C BUILD bench-programs, and SCRIBE_BUILD=BUILD")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench.py: needs two cores: one for the proxies, one for load and upstream")


def main():
    chosen_by = options()
    rows = chosen(chosen_by.rows)
    if chosen_by.list:
        for row in rows:
            print(f"{row.name:20} {row.title}")
        return 0
    check_machine()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench.py: told to end"))  # so that all that was started ends, too
    parts.descriptors()
    os.sched_setaffinity(0, {int(parts.LOAD_CORE)})
    versions, load_before = parts.versions(), os.getloadavg()
    directory = Path(tempfile.mkdtemp(prefix="scribe-bench-"))
    bench = Bench(directory, chosen_by.seconds, lambda text: print(text, file=sys.stderr, flush=True))
    try:
        for row in rows:
            bench.row(row)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    first = head(versions, load_before)
    for text in Table(bench, rows, first).text():
        print(text)
    if chosen_by.json:
        chosen_by.json.write_text(json.dumps({"head": first, "seconds": chosen_by.seconds, "found": bench.found, "missing": bench.missing,
                                              "broken": bench.broken, "limits": bench.limits}, indent=1))
    return 1 if bench.missing or bench.broken else 0


if __name__ == "__main__":
    sys.exit(main())
