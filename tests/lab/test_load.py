"""Nothing is dropped: clients are at work while the service is restarted, upgraded and started by its first connection."""

import json

from box import package, wait_for
from service import GATEWAY, LEDGER, PROVIDER_SECRET, SUITE, Load

UPGRADE_DONE = "1559825350074dc59f0d11abff8bbd7e"
UPGRADE_REFUSED = "3db439bcb94e446dad042b5f8f87f6e2"

HELD = """[provider "near"]
dialect = openai
base_url = http://127.0.0.1:9000/v1
api_key = file:/etc/scribe-gateway/near.key

[model "held"]
target = near/held
"""


def give_provider(service):
    """Model "held": streams that go on until the provider is told to end them."""
    service.start_provider()
    service.put("/etc/scribe-gateway/near.key", PROVIDER_SECRET)
    service.configure("near", HELD)
    service.ctl("reload", GATEWAY)


def show(record, load):
    record("result", "; ".join(f"{kind}: {found['ok']} answered, {found['again']} sent again, {len(found['failed'])} failed, "
                               f"{found['longest_s']} s at most" for kind, found in load.result.items() if found["ok"]))


def test_restart_refuses_nobody(own, record_property):
    before = own.requests()
    with Load(own) as load:
        for _ in range(5):
            pid = own.pid()
            own.ctl("restart", GATEWAY)
            assert own.pid() != pid
    show(record_property, load)
    assert load.failed() == []
    wait_for(lambda: own.requests() >= before + load.answered(), "all of it to be metered")
    assert own.requests() == before + load.answered()


def test_restart_of_the_ledger_is_not_noticed(own, record_property):
    before = own.requests()
    with Load(own) as load:
        for _ in range(3):
            own.ctl("restart", LEDGER)
    show(record_property, load)
    assert load.failed() == []
    wait_for(lambda: own.requests() >= before + load.answered(), "all of it to be metered")
    assert own.requests() == before + load.answered()


def test_first_connection_starts_the_service(own):
    own.ctl("stop", GATEWAY)
    assert not own.is_active() and own.is_active("scribe-gateway-http.socket")
    answer = own.chat("knock")
    assert answer.status == 200 and answer.content() == "knock", answer
    assert own.is_active()


def test_scribectl_starts_the_service_too(own):
    own.ctl("stop", GATEWAY)
    assert own.status()["state"] == "running"
    assert own.is_active()


def test_streams_end_in_order_before_a_stop(own, record_property):
    give_provider(own)
    with Load(own, fresh=0, kept=0, streams=10) as load:
        stopping = own.start("systemctl", "stop", GATEWAY)
        wait_for(lambda: own.show("ActiveState") == "deactivating", "the stop to begin")
        assert own.provider()["held"] == 10
        own.provider("release")
        assert stopping.wait(30) == 0
    show(record_property, load)
    assert load.failed() == [] and load.result["stream"]["ok"] == 10


def test_upgrade_cuts_no_stream(own, record_property):
    """scribectl upgrade, twice, while streams of the first process go on."""
    give_provider(own)
    first = own.pid()
    with Load(own, streams=10) as load:
        for _ in range(2):
            pid = own.pid()
            reply = json.loads(own.out("scribectl", "upgrade", "--json"))
            assert reply["old_pid"] == pid and reply["new_pid"] == own.pid() != pid
            assert own.is_active() and own.show("NRestarts") == "0"
        assert own.provider()["held"] == 10 and own.run("kill", "-0", str(first)).returncode == 0
        own.provider("release")
    show(record_property, load)
    assert load.failed() == [] and load.result["stream"]["ok"] == 10
    wait_for(lambda: own.run("kill", "-0", str(first), check=False).returncode != 0, "the first process to end")
    wait_for(lambda: own.requests() >= 1 + load.answered(), "all of it to be metered")
    assert own.requests() == 1 + load.answered()
    assert [line["MESSAGE"] for line in own.journal("MESSAGE_ID=" + UPGRADE_DONE)]


def test_package_upgrade_cuts_no_stream(own, record_property):
    """apt installs a newer version: its gateway serves, the old one finishes what it has."""
    give_provider(own)
    pid, ledger = own.pid(), own.pid(LEDGER)
    old, new = own.status()["version"], "9.0"
    deb = package(SUITE, new)
    own.put("/root/newer.deb", deb)
    with Load(own, streams=10) as load:
        said = own.apt("install", "/root/newer.deb").stdout
        assert own.pid() != pid and own.pid(LEDGER) != ledger, said
        assert own.status()["version"] == new != old
        assert own.provider()["held"] == 10
        own.provider("release")
    show(record_property, load)
    assert load.failed() == [] and load.result["stream"]["ok"] == 10
    wait_for(lambda: own.requests() >= 1 + load.answered(), "all of it to be metered")
    assert own.requests() == 1 + load.answered()
    assert own.is_active() and own.is_active(LEDGER)


def test_the_service_is_what_it_was_after_an_upgrade(own):
    """The successor is watched, reloads, restarts and stops as any main process does."""
    own.dropin("[Service]\nWatchdogSec=2\n")
    own.ctl("restart", GATEWAY)
    old = own.pid()
    own.run("scribectl", "upgrade")
    pid = own.pid()
    assert pid != old
    own.configure("box", '[model "box"]\ntarget = echo\n')
    own.ctl("reload", GATEWAY)
    assert own.pid() == pid and own.chat("hello", model="box").status == 200
    fed = int(own.show("WatchdogTimestampMonotonic"))
    wait_for(lambda: int(own.show("WatchdogTimestampMonotonic")) > fed + 3_000_000, "the watchdog to be fed beyond its limit")
    assert own.pid() == pid
    own.ctl("restart", GATEWAY)
    assert own.chat("hello").status == 200
    own.run("scribectl", "upgrade")
    own.ctl("stop", GATEWAY)
    assert own.show("Result") == "success"
    assert own.run("pgrep", "-x", "scribe-gateway", check=False).returncode == 1


def test_stop_after_an_upgrade_waits_for_the_streams_of_both(own, record_property):
    """The old process still has streams when the service is restarted: they may end as those of the new one do."""
    give_provider(own)
    with Load(own, fresh=0, kept=0, streams=5) as load:
        own.run("scribectl", "upgrade")
        with Load(own, fresh=0, kept=0, streams=5) as second:
            assert own.provider()["held"] == 10
            restarting = own.start("systemctl", "restart", GATEWAY)
            wait_for(lambda: own.show("ActiveState") == "deactivating", "the restart to begin")
            assert own.provider()["held"] == 10
            own.provider("release")
            assert restarting.wait(30) == 0
    show(record_property, load)
    assert load.failed() == second.failed() == []
    assert own.chat("after").status == 200


def test_upgrade_to_a_program_that_cannot_start_changes_nothing(own, record_property):
    pid = own.pid()
    own.configure("zz", "[gateway]\nworkrs = 1\n")
    since = own.cursor()
    with Load(own) as load:
        done = own.run("scribectl", "upgrade", check=False)
        assert done.returncode == 1 and "zz.conf:2" in done.stdout, done.stdout
        assert own.pid() == pid and own.is_active()
    show(record_property, load)
    assert load.failed() == []
    own.await_journal("MESSAGE_ID=" + UPGRADE_REFUSED, since=since)
    own.unconfigure("zz")
    own.run("scribectl", "upgrade")
    assert own.pid() != pid


def test_crash_of_the_successor_brings_the_service_back(own):
    own.run("scribectl", "upgrade")
    pid = own.pid()
    own.ctl("kill", "-s", "KILL", "--kill-whom=main", GATEWAY)
    own.await_other(pid)
    assert own.show("NRestarts") == "1"
    assert own.chat("after").status == 200
    wait_for(lambda: own.requests() == 2, "usage from before and after")
