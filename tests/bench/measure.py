"""What a process has cost so far, and what it holds: read from /proc."""

import os
import re
import subprocess
from pathlib import Path


def cpu_nsec(pids):
    """Time on a processor of all threads, by the scheduler's own account: nanoseconds, where /proc/PID/stat has ticks."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue  # a thread that ended meanwhile
    return total


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except ProcessLookupError:
            continue  # a helper that has ended and was not waited for (h2o has one)
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])
    return total


def n_descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def children(pid):
    """(pid, name of the program) of each."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            found.append((int(child), Path(f"/proc/{child}/comm").read_text().strip()))
    return found


def syscalls(pid, some_requests, log, n):
    """{name: calls per request} of all threads, while some_requests(n) runs; what comes less often than every fiftieth time
    (timers, syncs) is left out."""
    some_requests(50)
    tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", log, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    attached = tracer.stderr.readline()  # "Process N attached with M threads": one line for all
    assert "attached" in attached, attached
    some_requests(n)
    tracer.terminate()
    tracer.communicate()
    found = {}
    for line in Path(log).read_text().splitlines():
        match = re.match(r"\s*(\d+)\s+([a-z0-9_]+)\s*$", line)
        if match and match[2] != "total" and int(match[1]) >= n / 50:
            found[match[2]] = int(match[1]) / n
    return found
