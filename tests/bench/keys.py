#!/usr/bin/python3
"""What a great many keys cost the running programs: the full picture from a ledger, a start without one, a restart of the
ledger beside a gateway that has all keys already, and one change after that; each with the memory of the gateway, and with
how long its main thread and its clients ever waited meanwhile.

usage: keys.py [KEYS]     a million if not said; half of them have two limits
"""

import hashlib
import shutil
import sqlite3
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "daemon"))

from gateway import Gateway, bearer, wait_for  # noqa: E402

LIMITS = '["600 requests/minute","20 usd/month warn=80%"]'
MODELS = '["gpt-4o*","writer"]'
PRICES = '[price "*/*"]\nfrom = 2026-01-01\ncurrency = USD\ninput = 1\noutput = 1\n'


class Asking(threading.Thread):
    """Asks the same again and again, and keeps how long each answer took."""

    def __init__(self, ask, pause=0.002):
        super().__init__(daemon=True)
        self.ask, self.pause = ask, pause
        self.times, self.is_over, self.failure = [], False, None
        self.start()

    def run(self):
        try:
            while not self.is_over:
                begin = time.monotonic()
                self.ask()
                self.times.append(time.monotonic() - begin)
                time.sleep(self.pause)
        except Exception as failure:  # told by end()
            self.failure = failure

    def end(self):
        self.is_over = True
        self.join()
        if self.failure:
            raise self.failure
        return f"median {1e3 * statistics.median(self.times):.1f} ms, longest {1e3 * max(self.times):.0f} ms"


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def peak_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1e3


def rss_mb(gateway):
    return gateway.memory()[0] / 1e3


def fill(gateway, n):
    """By SQL, as no verb would: n keys whose secrets nobody knows, in a thousand groups."""
    base = sqlite3.connect(gateway.state / "ledger.db")
    columns = {row[1] for row in base.execute("PRAGMA table_info(api_key)")}
    assert {"group_id", "limits", "models"} <= columns, columns
    version = base.execute("SELECT value FROM counter WHERE name = 'key_version'").fetchone()[0]
    rows = ((f"customer-{i}", hashlib.sha256(b"%d" % i).digest(), MODELS, LIMITS if i % 2 else None, version + 1 + i)
            for i in range(n))
    with base:
        base.executemany("INSERT INTO api_key (name, digest, prefix, models, limits, created_wall_usec, expires_wall_usec,"
                         " revoked_wall_usec, rotated_wall_usec, version) VALUES (?, ?, 'sk-0000', ?, ?, 1, 0, 0, 0, ?)", rows)
        base.execute("UPDATE counter SET value = value + ? WHERE name = 'key_version'", (n + 1,))
    base.close()


def state_of(gateway):
    return gateway.control("GetStatus")["keys"]


def until_current(gateway, n):
    wait_for(lambda: state_of(gateway)["state"] == "current" and state_of(gateway)["n_keys"] == n, 300, "all keys", 0.02)


def measure(gateway, what, n, act, done):
    """act() begins, done() waits for the end."""
    begin, cpu = time.monotonic(), cpu_seconds(gateway.pid)
    act()
    asking = [Asking(lambda: gateway.control("GetStatus"), 0.01)]
    gateway.notices.wait(READY="1", alive=gateway.is_running, timeout=60)  # nobody is let in before
    asking.append(Asking(lambda: gateway.ask("GET", "/health")))
    done()
    seconds = time.monotonic() - begin
    time.sleep(3)  # the picture on disk is written behind
    views, clients = [one.end() for one in asking]
    print(f"{what}: {seconds:.1f} s, {cpu_seconds(gateway.pid) - cpu:.1f} s of CPU; memory {rss_mb(gateway):.0f} MB, "
          f"{1e6 * rss_mb(gateway) / n:.0f} bytes a key, at most {peak_mb(gateway.pid):.0f} MB\n"
          f"    main thread (GetStatus): {views}\n    a client (/health): {clients}", flush=True)


def run(n):
    gateway = Gateway(ledger="own", log_level="info")
    (gateway.config / "prices.d").mkdir()
    (gateway.config / "prices.d/all.conf").write_text(PRICES)
    secret = gateway.create_key("bench")
    print(f"without keys: memory {rss_mb(gateway):.0f} MB", flush=True)
    gateway.stop()
    picture = next(gateway.state.glob("keys*"))
    picture.unlink()
    fill(gateway, n)

    gateway.start_ledger()
    gateway.start(wait=False)
    wait_for(gateway.control_socket.exists, 30, "the gateway")
    measure(gateway, "the full picture from the ledger", n, lambda: None, lambda: until_current(gateway, n + 1))
    wait_for(lambda: picture.exists() and not list(gateway.state.glob("*.new")), 60, "the picture")
    print(f"    on disk {picture.stat().st_size / 1e6:.0f} MB; the ledger took {cpu_seconds(gateway.ledger_process.pid):.1f} s of CPU")

    gateway.stop_ledger()
    measure(gateway, "the ledger comes back", n, gateway.start_ledger,
            lambda: (time.sleep(0.5), until_current(gateway, n + 1)))

    begin = time.monotonic()
    gateway.create_key("one-more")
    print(f"a new key is good after {1e3 * (time.monotonic() - begin):.0f} ms")
    gateway.stop()

    gateway.ledger_mode = "none"
    begin = time.monotonic()
    gateway.start()
    print(f"a start without a ledger, up to READY: {time.monotonic() - begin:.2f} s, {cpu_seconds(gateway.pid):.2f} s of CPU; memory "
          f"{rss_mb(gateway):.0f} MB, {1e6 * rss_mb(gateway) / n:.0f} bytes a key, at most {peak_mb(gateway.pid):.0f} MB")
    assert gateway.ask("GET", "/v1/models", bearer(secret)).status == 200
    gateway.stop()
    shutil.rmtree(gateway.directory)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000000)
