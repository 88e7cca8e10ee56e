"""What the log says about exchanges: fields for queries, names for events, and no flood."""

import contextlib
import os
import re
import signal
import sqlite3
import threading
from collections import Counter

import pytest

from fake import answering, chat_json, error_json, stream_frames
from gateway import ROOT, SLOWNESS, Gateway, bearer, wait_for

IDS = dict(re.findall(r'#define SG_MESSAGE_(\w+)\s+"(\w+)"', (ROOT / "src/base/message_id.h").read_text()))
LINES_MAX = int(re.search(r"#define SG_REPEATS_LINES_MAX\s+(\d+)", (ROOT / "src/gateway/repeats.h").read_text())[1])
INTERVAL = 10  # SG_REPEATS_INTERVAL_USEC in seconds


def test_access_line_has_all_that_is_known(gateway, fake, key):
    fake.on("told", answering(chat_json("hello")))
    answer = gateway.chat(key, model="told")
    line = gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
    assert line["message_id"] == IDS["EXCHANGE"]
    assert line["SCRIBE_STATUS"] == "200" and line["SCRIBE_KEY"] == "tester" and line["SCRIBE_OPERATION"] == "chat"
    assert line["SCRIBE_MODEL"] == "told" and line["SCRIBE_PROVIDER"] == "fake" and line["SCRIBE_OUTCOME"] == "complete"
    assert line["SCRIBE_CLIENT"].startswith("127.0.0.1")
    usage = answer.json()["usage"]
    assert int(line["SCRIBE_INPUT_TOKENS"]) == usage["prompt_tokens"]
    assert int(line["SCRIBE_OUTPUT_TOKENS"]) == usage["completion_tokens"]
    assert line["SCRIBE_CERTAINTY"] == "measured"
    assert 0 < int(line["SCRIBE_FIRST_BYTE_USEC"]) <= int(line["SCRIBE_DURATION_USEC"])
    assert "SCRIBE_REASON" not in line


def test_another_model_and_status_of_the_provider_are_told(fake):
    config = '\n[model "alias"]\ntarget = fake/real\n'
    with Gateway(fake.url, config=config) as gateway:
        key = gateway.create_key("tester")
        fake.on("real", answering(chat_json("hello")))
        line = gateway.wait_log(SCRIBE_REQUEST=gateway.chat(key, model="alias").request_id)
        assert line["SCRIBE_MODEL"] == "alias" and line["SCRIBE_UPSTREAM_MODEL"] == "real"
        fake.on("real", answering(error_json("no", 403), 403))
        request = gateway.chat(key, model="alias").request_id
        line = gateway.wait_log(message_id=IDS["EXCHANGE"], SCRIBE_REQUEST=request)
        assert line["SCRIBE_STATUS"] == "502" and line["SCRIBE_UPSTREAM_STATUS"] == "403"
        line = gateway.wait_log(message_id=IDS["LANE_RESTS"], SCRIBE_REQUEST=request)
        assert (line["SCRIBE_LANE"], line["SCRIBE_CREDENTIAL"]) == ("fake/real", "api_key")
        assert line["message"] == line["SCRIBE_DETAIL"] and " rests for 60 s: credential: " in line["message"]
        fake.on("real", answering(chat_json("hello")))
        assert gateway.chat(key, model="alias").status == 200  # the only one there is; and its success ends the rest
        line = gateway.wait_log(message_id=IDS["LANE_RETURNED"])
        assert line["message"] == 'credential "api_key" of provider "fake" is accepted again'


def test_documented_fields_are_those_that_are_written():
    code = "".join(path.read_text() for room in ("base", "gateway", "probe", "control", "ledger") for path in (ROOT / "src" / room).glob("*.c"))
    written = set(re.findall(r'(?:number_field\(|\{)"(SCRIBE_[A-Z_]+)"', code))
    page = (ROOT / "docs/operations.md").read_text()
    described = set(re.findall(r"^\| `(SCRIBE_[A-Z_]+)`", page, re.MULTILINE))
    assert written == described, written ^ described


def test_a_refused_credential_of_ours_is_told_once_by_its_name(fake):
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("tester")
        fake.on("locked", answering(error_json("who are you"), 401))
        for _ in range(5):
            assert gateway.chat(key, model="locked").status == 502
        line = gateway.wait_log(message_id=IDS["PROVIDER_CREDENTIAL"])
        assert line["SCRIBE_PROVIDER"] == "fake" and line["level"] == "err" and "who are you" in line["SCRIBE_DETAIL"]
        gateway.stop()
        assert len(gateway.log(message_id=IDS["PROVIDER_CREDENTIAL"])) == 1
        assert len(gateway.log(message_id=IDS["EXCHANGE"], SCRIBE_REASON="provider_credential")) == 5


@pytest.mark.seconds(120)
def test_a_flood_of_refusals_is_counted_and_the_sum_is_exact():
    with Gateway() as gateway:
        key = gateway.create_key("tester")
        gateway.chat(key, model="echo")
        wait_for(lambda: len(gateway.log(SCRIBE_REASON="bad_key")) == gateway.control("GetStatus")["counters"].get("bad_key", 0),
                 what="the lines of whoever asked for the key before it was known")
        before = Counter(line.get("SCRIBE_REASON") for line in gateway.log(message_id=IDS["EXCHANGE"]))
        n, good = 3000, 0
        with gateway.connect() as wire:
            for i in range(n):
                assert wire.ask("GET", "/v1/models", bearer("sk-wrong-" + "w" * 24)).status == 401
                if i % 100 == 0:  # what succeeds beside it is never left out
                    assert gateway.ask("GET", "/v1/models", bearer(key)).status == 200
                    good += 1
        # While it runs, by a timer and not only at the end:
        summed = gateway.wait_log(timeout=2 * INTERVAL, message_id=IDS["ERRORS_SUMMED"], SCRIBE_REASON="bad_key")
        assert int(summed["SCRIBE_COUNT"]) > 0 and summed["level"] == "info"
        gateway.stop()
        lines = gateway.log(message_id=IDS["EXCHANGE"], SCRIBE_REASON="bad_key")
        sums = gateway.log(message_id=IDS["ERRORS_SUMMED"], SCRIBE_REASON="bad_key")
        n_lines = len(lines) - before["bad_key"]
        assert n_lines + sum(int(line["SCRIBE_COUNT"]) for line in sums) == n
        seconds = wait_seconds(lines)
        assert len(lines) <= LINES_MAX * gateway.workers * (1 + seconds / INTERVAL)
        assert len(sums) <= gateway.workers * (2 + seconds / INTERVAL)
        n_good = len([line for line in gateway.log(message_id=IDS["EXCHANGE"], SCRIBE_STATUS="200") if "SCRIBE_REASON" not in line])
        assert n_good >= before[None] + good


def wait_seconds(lines):
    """How long the lines are apart, by their own clock."""
    stamps = sorted(line["time"] for line in lines)
    parts = [[float(x) for x in re.split("[T:Z]", stamp)[1:4]] for stamp in (stamps[0], stamps[-1])]
    first, last = (h * 3600 + m * 60 + s for h, m, s in parts)
    return (last - first) % 86400


def test_connections_over_the_limit_are_told_once(fake):
    with Gateway(fake.url, gateway="max_connections = 2", workers=1) as gateway:
        held = [gateway.connect() for _ in range(2)]
        try:
            for wire in held:
                assert wire.ask("GET", "/health").status == 200
            for _ in range(3):
                assert gateway.ask("GET", "/health").status == 503
        finally:
            for wire in held:
                wire.close()
        gateway.wait_log(message_id=IDS["CONNECTIONS_FULL"])
        gateway.stop()
        assert len(gateway.log(message_id=IDS["CONNECTIONS_FULL"])) == 1
        assert len(gateway.log(SCRIBE_REASON="connections_full")) == 3


def test_without_descriptors_one_line_tells_it_and_connections_wait():
    with Gateway(workers=1, ledger="none", start=False) as gateway:
        gateway.wrapper = ["prlimit", "--nofile=40:40"]
        gateway.start()
        taken = [gateway.connect() for _ in range(60)]
        gateway.wait_log(message_id=IDS["DESCRIPTORS_FULL"])
        for wire in taken:
            wire.close()
        wait_for(lambda: gateway.ask("GET", "/health").status == 200, 5 * SLOWNESS, "a free descriptor")
        gateway.stop()
        lines = gateway.log(message_id=IDS["DESCRIPTORS_FULL"])
        assert len(lines) == 1, lines


def test_life_of_the_gateway_has_names(fake):
    with Gateway(fake.url) as gateway:
        gateway.wait_log(message_id=IDS["READY"])
        gateway.wait_log(message_id=IDS["LEDGER_READY"])
        gateway.reload()
        gateway.wait_log(message_id=IDS["RELOADED"])
        gateway.write_config(gateway.main_text + "\n[nonsense]\n")
        gateway.reload()
        gateway.wait_log(message_id=IDS["RELOAD_REFUSED"])
        gateway.write_config(gateway.main_text)
        gateway.stop()
        assert len(gateway.log(message_id=IDS["ENDED"])) == 1


def test_a_lost_ledger_is_told_shown_and_its_return_too(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("tester")
        since = gateway.notices.count()
        gateway.stop_ledger()
        line = gateway.wait_log(message_id=IDS["LEDGER_LOST"])
        assert "1 known keys go on working" in line["message"]
        _, told = gateway.notices.wait(since, STATUS=True)
        assert "ledger" in told["STATUS"] and "READY" not in told
        assert "the ledger is not connected" in gateway.ctl("status", as_json=False)
        assert gateway.chat(key, model="echo").status == 200
        since = gateway.notices.count()
        gateway.start_ledger()
        gateway.wait_log(timeout=10, message_id=IDS["LEDGER_BACK"])
        assert gateway.notices.wait(since, STATUS="Running")


def test_a_ledger_child_that_dies_has_a_name(fake):
    with Gateway(fake.url) as gateway:
        os.kill(wait_for(gateway.ledger_pid, what="the ledger"), signal.SIGKILL)
        assert "signal 9" in gateway.wait_log(message_id=IDS["LEDGER_FAILED"])["message"]


def test_a_database_that_is_held_is_told_and_its_return_too(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("tester")
        with contextlib.closing(sqlite3.connect(gateway.state / "ledger.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            answer = gateway.chat(key, model="echo")
            assert answer.status == 200
            line = gateway.wait_log(timeout=15, message_id=IDS["STORE_FAILING"])
            assert line["level"] == "err" and "another program holds the database" in line["message"]
            holder.execute("ROLLBACK")
        gateway.wait_log(timeout=30, message_id=IDS["STORE_AGAIN"])
        assert gateway.event(answer.request_id)["outcome"] == "complete"
        assert len(gateway.log(message_id=IDS["STORE_FAILING"])) == 1


def test_a_journal_that_fills_up_is_told_with_the_time_that_is_left(fake):
    with Gateway(fake.url, ledger="own", workers=1) as gateway:
        key = gateway.create_key("tester")
        gateway.stop_ledger(signal.SIGKILL)
        with gateway.connect() as wire:
            def fills_up():
                assert gateway.chat(key, model="echo", wire=wire).status == 200
                return "full_in_sec" in gateway.control("GetStatus")["journal"][0]
            wait_for(fills_up, what="a rate", timeout=30)
            assert "full in " in gateway.ctl("status", as_json=False)
            wait_for(lambda: gateway.chat(key, model="echo", wire=wire) and gateway.log(message_id=IDS["JOURNAL_HIGH"]), what="high water",
                     timeout=60)
        [line] = gateway.log(message_id=IDS["JOURNAL_HIGH"])
        assert line["level"] == "warning" and "at the present rate" in line["message"]
        assert not gateway.log(message_id=IDS["JOURNAL_LOW"])
        gateway.start_ledger()
        gateway.wait_log(timeout=15, message_id=IDS["JOURNAL_LOW"])
        wait_for(lambda: "full_in_sec" not in gateway.control("GetStatus")["journal"][0], what="no rate")


def test_a_full_journal_has_a_name(fake):
    with Gateway(fake.url, ledger="own", workers=1, start=False) as gateway:
        gateway.write_config(gateway.main_text.replace("size = 1M", "size = 64K"))
        gateway.start()
        key = gateway.create_key("tester")
        gateway.stop_ledger(signal.SIGKILL)
        with gateway.connect() as wire:
            statuses = [gateway.chat(key, model="echo", wire=wire).status for _ in range(400)]
        assert statuses[-1] == 503
        gateway.stop()
        assert len(gateway.log(message_id=IDS["JOURNAL_FULL"])) == len(gateway.log(message_id=IDS["JOURNAL_HIGH"])) == 1
        assert not gateway.log(message_id=IDS["JOURNAL_LOW"])
        n_lines = len(gateway.log(message_id=IDS["EXCHANGE"], SCRIBE_REASON="journal_full"))
        sums = gateway.log(message_id=IDS["ERRORS_SUMMED"], SCRIBE_REASON="journal_full")
        n_held = sum(int(line["SCRIBE_COUNT"]) for line in sums)
        assert n_lines + n_held == statuses.count(503)
        assert len(gateway.log(message_id=IDS["EXCHANGE"], SCRIBE_OUTCOME="complete")) == statuses.count(200)


def test_a_damaged_ring_is_told_and_kept(fake):
    with Gateway(fake.url, ledger="none", workers=1, start=False) as gateway:
        gateway.start_ledger()
        gateway.start()
        key = gateway.create_key("tester")
        gateway.stop_ledger()
        with gateway.connect() as wire:
            for n in range(20):
                assert gateway.chat(key, model="echo", wire=wire, content=f"number {n}").status == 200
        wait_for(lambda: all(ring["synced"] == ring["written"] for ring in gateway.control("GetStatus")["journal"]), what="the disk")
        gateway.kill()
        ring, = (gateway.state / "journal").glob("*.ring")
        ring.with_suffix(".stage").unlink()  # as after a boot: it has it all, too
        data = bytearray(ring.read_bytes())
        places = [found.start() for found in re.finditer(b"tester", data)]
        assert len(places) >= 20
        data[places[len(places) // 2]] ^= 0x20
        ring.write_bytes(data)
        gateway.start_ledger()
        line = gateway.wait_log(timeout=10, message_id=IDS["RING_DAMAGED"])
        assert ring.stem in line["message"] and line["level"] == "err"
        wait_for(ring.with_suffix(".ring.bad").exists, what="the damaged ring to be kept")
        rows = wait_for(lambda: len(gateway.usage()) >= 18 and gateway.usage(), what="what could be read")
        assert len(rows) <= 20


def test_a_broken_picture_of_the_keys_is_told_and_kept(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("tester")
        gateway.stop()
        path = gateway.state / "keys.picture"
        path.write_bytes(b"\xff" * 300 + path.read_bytes())
        gateway.start()
        gateway.wait_log(message_id=IDS["KEYS_BROKEN"])
        assert path.with_name("keys.picture.broken").exists()
        wait_for(lambda: gateway.chat(key, model="echo").status == 200, what="the keys")


def test_a_drain_that_is_cut_has_a_name(fake):
    go_on = threading.Event()

    def held(x):
        x.start_stream()
        x.chunk(stream_frames()[0])
        x.hold(go_on)
    fake.on("held", held)
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("tester")
        with gateway.connect() as wire:
            wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "held", "stream": True, "messages": [
                {"role": "user", "content": "wait"}]})
            assert wire.read_head().status == 200
            since = gateway.notices.count()
            gateway.terminate()
            gateway.notices.wait(since, STOPPING="1")
            gateway.terminate()
            assert gateway.wait_end() == 0
        go_on.set()
        line, = gateway.log(message_id=IDS["DRAIN_CUT"])
        assert line["level"] == "warning" and "clients are told" in line["message"]
