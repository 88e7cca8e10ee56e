#!/usr/bin/python3
"""Instructions of the gateway per request or event, by valgrind's callgrind: what noise does not reach, and where they go.

usage: instructions.py ROW [translating|limited]   (rows of bench.py with a chat, a stream or a GET: chat_1k, sse_1000, plain …)

"limited", of the row limits_1k: with limits of the key and its group; else without.
"translating", of the rows translated_…: with a provider of the other dialect; else one of the client's own.
Of "failover": per request, of which four in five are failovers and the fifth is answered by who refused the others.
The kernel's part is not counted. Vector code is what valgrind's processor has (AVX2, no AVX-512).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.setdefault("SCRIBE_SLOWNESS", "6")  # valgrind's

import load  # noqa: E402
import parts  # noqa: E402
from rows import REFUSALS, ROWS, for_model  # noqa: E402

GATEWAYS = ("gateway", "translating", "limited")
N_REQUESTS, N_STREAMS, STREAM_SECONDS, TOP = 2000, 100, 5, 25


class Profiled(parts.Scribe):
    wrapper = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=callgrind.out")

    def count(self, on):
        subprocess.run(["callgrind_control", "-i", "on" if on else "off", str(self.pid)], check=True, capture_output=True)


def requests(proxy, row):
    request = load.request_bytes(row.ask.method, row.ask.path, proxy.key, row.ask.body)
    n = max(20, min(N_REQUESTS, (20 << 20) // len(request)))
    with load.connect(proxy.port) as wire:
        load.one_by_one(wire, request, n // 10)
        proxy.count(True)
        load.one_by_one(wire, request, n)
        proxy.count(False)
    return n


def events(proxy, row):
    request = load.request_bytes("POST", row.ask.path, proxy.key, row.ask.body)
    with load.Streams(proxy.port, N_STREAMS, STREAM_SECONDS + 2, request) as streams:
        streams.wait_open()
        proxy.count(True)
        start = time.monotonic()
        time.sleep(STREAM_SECONDS)
        seconds = time.monotonic() - start
        proxy.count(False)
        streams.wait_end()
        streams.finish()
    return seconds * N_STREAMS * 1000 / row.upstream[2]  # of each stream one at its pace


def table(text, n):
    """The first lines of callgrind_annotate, divided."""
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \(\s*([\d.]+)%\)\s+(\S.*)$", line)
        if match:
            where = re.sub(r"^(\S*/)?(src/)|^\S*/|\?\?\?:|\s*\[.*$", r"\2", match[3])
            yield f"| {int(match[1].replace(',', '')) / n:,.0f} | {match[2]} % | {where} |"


def main():
    name = sys.argv[2] if len(sys.argv) == 3 else "gateway"
    found = [r for r in ROWS if sys.argv[1:2] == [r.name] and r.ask and name in r.proxies and name in GATEWAYS]
    if not found or not shutil.which("valgrind"):
        sys.exit(__doc__)
    row = found[0]
    is_stream = row.measure == "streams"
    with tempfile.TemporaryDirectory() as directory:
        upstream = ("stream", (STREAM_SECONDS + 20) * 1000 // row.upstream[2], row.upstream[2]) if is_stream else row.upstream
        fake = parts.Fake(*upstream)
        row.setting.upstream = fake.port
        refusing = parts.Fake("refuse", 1024, REFUSALS)
        row.setting.refusing = refusing.port
        if row.measure == "failover":
            row.ask.body = for_model(row.ask.body, "failing")
        proxy = Profiled(row.setting, parts.Certificate(Path(directory) / "tls"), name)
        try:
            n = events(proxy, row) if is_stream else requests(proxy, row)
            proxy.gateway.stop()
            own, with_called = (subprocess.run(["callgrind_annotate", "--auto=no", f"--inclusive={how}", proxy.directory / "callgrind.out"],
                                               capture_output=True, text=True, check=True).stdout for how in ("no", "yes"))
        finally:
            proxy.gateway.remove()
            refusing.close()
            fake.close()
    for title, text, most in (("of each function alone", own, TOP), ("with all that it calls", with_called, 4 * TOP)):
        print(f"### Instructions per {'event' if is_stream else 'request'} of the gateway, row {' '.join(sys.argv[1:])}, {title}\n")
        print("| instructions | share | function |\n| --- | --- | --- |")
        print("\n".join(list(table(text, n))[:most]) + "\n")


if __name__ == "__main__":
    main()
