"""The journal looked at from outside: what waits, whether it is whole, its records."""

import json
import re
import signal

import pytest

from gateway import Gateway, wait_for

N = 30


@pytest.fixture
def waiting(fake):
    """A gateway whose ledger is gone, and N exchanges in its journal."""
    with Gateway(fake.url, ledger="own", workers=1) as gateway:
        key = gateway.create_key("tester")
        gateway.stop_ledger(signal.SIGKILL)
        with gateway.connect() as wire:
            gateway.ids = [gateway.chat(key, model="echo", wire=wire).request_id for _ in range(N)]
        gateway.journal = gateway.state / "journal"
        yield gateway


def journal(gateway, word, *arguments):
    done = gateway.ctl_run("journal", word, str(gateway.journal), *arguments)
    lines = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments or word == "export" else done.stdout
    return done.returncode, lines


def check_whole(gateway, owned):
    status, [ring] = journal(gateway, "verify", "--json")
    assert status == 0 and ring["owned"] == owned
    assert (ring["drained"], ring["written"], ring["waiting"]) == (0, 2 * N, 2 * N)
    assert (ring["damaged_places"], ring["lost"], ring["missing"]) == (0, 0, 0)
    assert ring["oldest_wall_usec"] > 0
    status, records = journal(gateway, "export")
    assert status == 0 and [record["sequence"] for record in records] == list(range(1, 2 * N + 1))
    assert [record["request_id"] for record in records if record["kind"] == "close"] == gateway.ids
    assert {record["key"] for record in records} == {"tester"}
    assert {record["outcome"] for record in records if record["kind"] == "close"} == {"complete"}


def test_what_waits_is_seen_beside_a_gateway_that_runs_and_after_it_was_killed(waiting):
    check_whole(waiting, owned=True)
    status, text = journal(waiting, "status")
    assert status == 0 and f"of process {waiting.pid}" in text and f"{2 * N} records wait, the oldest since" in text
    waiting.kill()
    check_whole(waiting, owned=False)
    assert "without a writer" in journal(waiting, "status")[1]
    waiting.start_ledger()
    wait_for(lambda: len(waiting.usage()) == N, what="the events")
    wait_for(lambda: journal(waiting, "verify", "--json") == (0, []), what="the ring to be removed")


def test_what_is_damaged_fails_verify_and_the_rest_is_exported_and_drained(waiting):
    wait_for(lambda: all(ring["synced"] == ring["written"] for ring in waiting.control("GetStatus")["journal"]), what="the disk")
    waiting.kill()
    [ring] = waiting.journal.glob("*.ring")
    [stage] = waiting.journal.glob("*.stage")
    stage.unlink()
    data = bytearray(ring.read_bytes())
    places = [found.start() for found in re.finditer(b"tester", data)]
    assert len(places) == 2 * N
    data[places[11]] ^= 0x20  # of the close record of the sixth
    ring.write_bytes(data)
    status, [survey] = journal(waiting, "verify", "--json")
    assert status == 1
    assert (survey["waiting"], survey["damaged_places"], survey["lost"], survey["missing"]) == (2 * N - 1, 1, 1, 0)
    status, text = journal(waiting, "verify")
    assert status == 1 and "DAMAGED in 1 places, 1 records cannot be read, the first behind record 11" in text
    assert journal(waiting, "status")[0] == 0
    status, records = journal(waiting, "export")
    assert status == 1 and [record["sequence"] for record in records] == [*range(1, 12), *range(13, 2 * N + 1)]
    waiting.start_ledger()
    events = wait_for(lambda: len(waiting.usage()) == N and waiting.usage(), what="the events")
    assert [event["request_id"] for event in events if event["outcome"] == "cut_off"] == [waiting.ids[5]]


def test_what_is_no_journal_is_said(waiting):
    done = waiting.ctl_run("journal", "verify", str(waiting.directory / "nowhere"))
    assert done.returncode == 1 and "cannot read the journal's directory" in done.stderr
    (waiting.journal / f"{'0' * 32}.ring").write_bytes(b"no ring")
    done = waiting.ctl_run("journal", "verify", str(waiting.journal))
    assert done.returncode == 1 and "no ring that this version can read" in done.stderr
