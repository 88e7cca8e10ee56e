"""Nothing is dropped: clients are at work while the service is restarted, upgraded and started by its first connection."""

import pytest

from box import wait_for
from service import GATEWAY, LEDGER, PROVIDER_SECRET, Load

HELD = f"""[provider "near"]
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
