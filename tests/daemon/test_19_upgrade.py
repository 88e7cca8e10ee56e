"""One process after another, without a client noticing."""

import os
import shutil
import signal
import socket
import sys
import threading

import pytest

from fake import held_stream
from gateway import GATEWAY, Adopted, CtlError, Gateway, become_subreaper, bearer, wait_for
from test_09_service import LISTEN
from varlink import VarlinkError
from wire import Closed

UPGRADE_REFUSED = "3db439bcb94e446dad042b5f8f87f6e2"  # base/message_id.h
RUN = "import os, sys; os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])"  # this program instead of that one


@pytest.fixture(scope="module", autouse=True)
def subreaper():
    become_subreaper()


def upgrade(gateway):
    """The old process; the gateway's is the new one."""
    reply = gateway.control("Upgrade")
    old = gateway.process
    assert reply["old_pid"] == old.pid and reply["new_pid"] != old.pid, reply
    gateway.process = Adopted(reply["new_pid"])
    return old, reply


def refused(gateway):
    with pytest.raises(VarlinkError) as caught:
        gateway.control("Upgrade")
    assert caught.value.name == "io.scribe.Gateway.UpgradeFailed", caught.value
    return caught.value.parameters


def open_stream(gateway, key, model, wire):
    wire.request("POST", "/v1/chat/completions", bearer(key), {"model": model, "stream": True, "messages": []})
    return wire.read_head()


def held(fake, model):
    go_on = threading.Event()

    fake.on(model, held_stream(go_on))
    return go_on


@pytest.fixture
def served(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        yield gateway


def test_the_new_process_serves_and_the_old_one_ends(served):
    key = served.create_key("alice")
    since = served.notices.count()
    old, reply = upgrade(served)
    assert reply["n_open"] == 0 and reply["version"]
    at, _ = served.notices.wait(since, MAINPID=str(reply["new_pid"]))
    served.notices.wait(at, READY="1")
    assert old.wait(20) == 0
    assert served.chat(key).status == 200
    assert served.control("GetStatus")["pid"] == reply["new_pid"]
    assert served.notices.others == []  # before its time the new one says nothing, the old one nothing after


def test_open_stream_is_finished_by_the_old_process(served, fake):
    key = served.create_key("streaming")
    go_on = held(fake, "long")
    with served.connect() as wire:
        answer = open_stream(served, key, "long", wire)
        old, reply = upgrade(served)
        assert reply["n_open"] == 1
        assert served.chat(key).status == 200  # by the new one
        assert old.poll() is None
        go_on.set()
        for _ in wire.each_piece(answer):
            pass
        assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
    assert old.wait(20) == 0
    assert served.event(answer.request_id)["outcome"] == "complete"


def test_requests_during_upgrades_are_all_answered(served):
    key = served.create_key("busy")
    stop, failures, done = threading.Event(), [], []

    def ask(is_kept):
        wire = None
        while not stop.is_set():
            try:
                if wire is None:
                    wire = served.connect()
                answer = served.chat(key, wire=wire)
                done.append(answer.status)
                if answer.status != 200:
                    failures.append(answer.status)
                if not is_kept or answer.header("connection") == "close":
                    wire.close()
                    wire = None
            except Exception as error:  # of a kept connection that was idle, RFC 9112 9.3.1 expects a new attempt
                failures.append(error) if not is_kept else done.append("again")
                wire = None
    threads = [threading.Thread(target=ask, args=(i % 2 == 1,)) for i in range(6)]
    for thread in threads:
        thread.start()
    olds = []
    for _ in range(3):
        since = len(done)
        wait_for(lambda: len(done) > since + 20, what="requests between two upgrades")
        olds.append(upgrade(served)[0])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert done.count("again") <= 3 * 3, "an idle connection may close under a request, one at each upgrade"
    for old in olds:
        assert old.wait(20) == 0


def test_sockets_of_the_service_manager_go_along(fake):
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with Gateway(fake.url, start=False, ledger="own", env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}) as gateway:
        gateway.wrapper = [sys.executable, "-c", LISTEN, str(listener.fileno())]
        gateway.wrapper_fds = (listener.fileno(),)
        gateway.port = listener.getsockname()[1]
        gateway.start()
        key = gateway.create_key("handed")
        for _ in range(2):
            old, _ = upgrade(gateway)
            assert old.wait(20) == 0
            assert gateway.chat(key).status == 200
    listener.close()


def test_watchdog_is_fed_by_the_new_process(fake):
    with Gateway(fake.url, ledger="own", env={"WATCHDOG_USEC": "600000"}) as gateway:
        old, _ = upgrade(gateway)
        for _ in range(3):
            gateway.notices.wait(gateway.notices.count(), timeout=1, WATCHDOG="1")
        assert old.wait(20) == 0


def test_broken_configuration_leaves_the_old_process(served):
    key = served.create_key("safe")
    path = served.write_dropin("90-wrong.conf", "[gateway]\nworkrs = 1\n")
    error = refused(served)
    assert "90-wrong.conf:2" in error["where"] and "workers" in error["text"]
    assert served.chat(key).status == 200
    path.unlink()
    old, _ = upgrade(served)
    assert old.wait(20) == 0


def copy_of_program(gateway):
    program = gateway.directory / "scribe-gateway"
    shutil.copy2(GATEWAY, program)
    gateway.wrapper = [sys.executable, "-c", RUN, str(program)]
    return program


def test_what_is_installed_now_is_started(fake):
    with Gateway(fake.url, start=False, ledger="own") as gateway:
        program = copy_of_program(gateway)
        gateway.start()
        new = program.with_suffix(".new")
        shutil.copy2(GATEWAY, new)
        inode = new.stat().st_ino
        new.rename(program)  # as a package does it
        old, _ = upgrade(gateway)
        assert os.stat(f"/proc/{gateway.pid}/exe").st_ino == inode
        assert old.wait(20) == 0


@pytest.mark.parametrize("text, said", [
    ("#!/bin/sh\nexit 3\n", "ended before it was ready"),
    ("not a program\n", "Exec format error"),
    (None, "No such file"),
])
def test_program_that_does_not_start_changes_nothing(fake, text, said):
    with Gateway(fake.url, start=False, ledger="own") as gateway:
        program = copy_of_program(gateway)
        gateway.start()
        key = gateway.create_key("kept")
        program.unlink()
        if text:
            program.write_text(text)
            program.chmod(0o755)
        assert said in refused(gateway)["text"]
        assert gateway.chat(key).status == 200
        wait_for(lambda: [line for line in gateway.log(level="err") if "not upgraded" in line["message"]
                          and line["message_id"] == UPGRADE_REFUSED], what="the line")


def test_term_hurries_the_old_process(served, fake):
    """systemctl stop reaches both: then the shorter limit counts."""
    served.write_config(served.main_text.replace("drain_timeout = 10s", "drain_timeout = 1s"))
    served.reload()
    key = served.create_key("hurried")
    go_on = held(fake, "too-long")
    with served.connect() as wire:
        answer = open_stream(served, key, "too-long", wire)
        old, _ = upgrade(served)
        old.send_signal(signal.SIGTERM)
        with pytest.raises(Closed):
            for _ in wire.each_piece(answer):
                pass
        assert "[DONE]" not in answer.events() and b'"error"' in answer.body
    go_on.set()
    assert old.wait(20) == 0
    assert served.event(answer.request_id)["outcome"] == "truncated"


def test_upgrade_drain_has_a_limit_of_its_own(fake):
    with Gateway(fake.url, ledger="own", gateway="upgrade_drain_timeout = 1s") as gateway:
        key = gateway.create_key("limited")
        go_on = held(fake, "endless")
        with gateway.connect() as wire:
            answer = open_stream(gateway, key, "endless", wire)
            old, _ = upgrade(gateway)
            with pytest.raises(Closed):
                for _ in wire.each_piece(answer):
                    pass
            assert "[DONE]" not in answer.events()
        go_on.set()
        assert old.wait(20) == 0


def test_reload_reaches_the_new_process(served):
    old, _ = upgrade(served)
    assert old.wait(20) == 0
    served.write_dropin("50-more.conf", "[model \"later\"]\ntarget = echo\n")
    served.reload()
    key = served.create_key("later")
    assert served.chat(key, model="later").status == 200


def test_gateway_with_a_ledger_of_its_own_refuses(gateway):
    assert "restart" in refused(gateway)["text"]
    assert gateway.ask("GET", "/health").status == 200


def test_successor_without_predecessor_refuses_to_start(fake):
    with Gateway(fake.url, start=False, ledger="own", env={"SCRIBE_PREDECESSOR": "77"}) as gateway:
        gateway.start(wait=False)
        assert gateway.wait_end() != 0
        assert "SCRIBE_PREDECESSOR" in gateway.stderr()


def test_scribectl_tells_how_it_went(served):
    key = served.create_key("told")
    old_pid = served.pid
    out = served.ctl("upgrade", as_json=False)
    assert str(old_pid) in out
    new = served.control("GetStatus")["pid"]
    served.process.wait(20)
    served.process = Adopted(new)
    assert str(new) in out
    assert served.chat(key).status == 200
    path = served.write_dropin("90-wrong.conf", "[gateway]\nworkrs = 1\n")
    with pytest.raises(CtlError) as caught:
        served.ctl("upgrade", as_json=False)
    assert "90-wrong.conf:2" in caught.value.message
    path.unlink()


def test_connections_wait_until_the_keys_are_known(fake):
    """Of a first start without a picture on disk: a key that the ledger knows is not refused for being early."""
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("early")
        gateway.terminate()
        assert gateway.wait_end() == 0
        gateway.stop_ledger()
        (gateway.state / "keys.picture").unlink()
        gateway.ledger_mode = "none"
        gateway.start(wait=False)
        wire = wait_for(lambda: connected(gateway), what="the listener")
        wire.request("GET", "/v1/models", bearer(key))
        gateway.start_ledger()
        assert wire.read().status == 200
        wire.close()


def connected(gateway):
    try:
        return gateway.connect()
    except OSError:
        return None
