"""The service manager's side: readiness, reload, watchdog, the end; sockets handed over; draining."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from fake import held_stream
from gateway import SLOWNESS, Gateway, bearer, wait_for
from wire import Closed

LISTEN = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
fds = [int(fd) for fd in sys.argv[1].split(",")]
for at, fd in enumerate(fds):
    os.dup2(fd, 3 + at)
    os.set_inheritable(3 + at, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


def is_listening(gateway):
    try:
        gateway.connect().close()
        return True
    except OSError:
        return False


def open_stream(gateway, key, model, wire):
    wire.request("POST", "/v1/chat/completions", bearer(key), {"model": model, "stream": True, "messages": []})
    return wire.read_head()


# ---- notices

def test_ready_comes_with_a_status(gateway):
    _, message = gateway.notices.wait(READY="1")
    assert gateway.notices.find(0, STATUS=True)
    assert message.get("MAINPID", str(gateway.pid)) == str(gateway.pid)


def test_reloading_carries_the_monotonic_stamp(gateway):
    since = gateway.notices.count()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    gateway.process.send_signal(signal.SIGHUP)
    at, message = gateway.notices.wait(since, RELOADING="1")
    assert before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    gateway.notices.wait(at, READY="1")


def test_ready_follows_a_failed_reload_too(gateway):
    path = gateway.write_dropin("90-wrong.conf", "[gateway]\nworkrs = 1\n")
    gateway.reload()  # waits for READY
    path.unlink()
    gateway.reload()


def test_only_the_main_process_speaks_to_the_service_manager(fake):
    """A ledger that says READY=1 for its parent would end the parent's start too early."""
    with Gateway(fake.url, env={"WATCHDOG_USEC": "400000"}) as gateway:
        wait_for(lambda: gateway.ctl_run("usage", "--json").returncode == 0, what="the ledger")
        gateway.notices.wait(gateway.notices.count(), WATCHDOG="1")
        assert gateway.notices.others == []


def test_stopping_is_announced_before_the_end(fake):
    with Gateway(fake.url) as gateway:
        since = gateway.notices.count()
        notices = gateway.notices
        gateway.terminate()
        notices.wait(since, STOPPING="1")
        assert gateway.wait_end() == 0


def test_stop_right_after_the_start(fake):
    """SIGTERM may come at any moment, also before READY."""
    for delay in (0, 0.002, 0.01, 0.03):
        with Gateway(fake.url, start=False) as gateway:
            gateway.start(wait=False)
            threading.Event().wait(delay)
            gateway.terminate()
            assert gateway.wait_end() in (0, -signal.SIGTERM)


def test_watchdog_is_fed(fake):
    with Gateway(fake.url, env={"WATCHDOG_USEC": "400000"}) as gateway:
        for _ in range(4):
            gateway.notices.wait(gateway.notices.count(), timeout=1, WATCHDOG="1")


def stop_thread(tid):
    """Stops one thread of another process, the others go on. Returns a function that lets it go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(0x4206, tid, None, None) != 0:  # PTRACE_SEIZE
        pytest.skip(f"this machine does not let one process trace another: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(0x4207, tid, None, None) == 0  # PTRACE_INTERRUPT
    os.waitpid(tid, 0x40000000)  # __WALL
    return lambda: libc.ptrace(17, tid, None, None)  # PTRACE_DETACH


def worker_threads(gateway):
    """Thread ids of the workers: those that have an event loop of their own are named so."""
    found = []
    for task in Path(f"/proc/{gateway.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("worker"):
            found.append(int(task.name))
    return found


def test_watchdog_starves_when_one_worker_stands_still(fake):
    with Gateway(fake.url, env={"WATCHDOG_USEC": "600000"}) as gateway:
        workers = worker_threads(gateway)
        assert len(workers) == gateway.workers, os.listdir(f"/proc/{gateway.pid}/task")
        gateway.notices.wait(gateway.notices.count(), WATCHDOG="1")
        let_go = stop_thread(workers[0])
        try:
            # What was under way may still arrive; then there must be silence for longer than the limit.
            threading.Event().wait(1.0 * SLOWNESS)
            since = gateway.notices.count()
            with pytest.raises(AssertionError):
                gateway.notices.wait(since, timeout=1.5 / SLOWNESS, WATCHDOG="1")
        finally:
            let_go()
        gateway.notices.wait(gateway.notices.count(), WATCHDOG="1")


# ---- sockets handed over

def test_listeners_by_name_from_the_service_manager(fake):
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    with Gateway(fake.url, start=False, env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}) as gateway:
        gateway.wrapper = [sys.executable, "-c", LISTEN, str(listener.fileno())]
        gateway.wrapper_fds = (listener.fileno(),)
        gateway.start()
        own_port = gateway.port
        gateway.port = port
        key = gateway.create_key("handed")
        wait_for(lambda: gateway.chat(key).status == 200, 2)
        gateway.port = own_port
        with pytest.raises(OSError):
            gateway.connect()  # its own address was not bound as well
    listener.close()


def test_connection_made_before_the_start_is_served(fake):
    """What systemd accepted into the backlog waits for the daemon."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with Gateway(fake.url, start=False, env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}) as gateway:
        gateway.wrapper = [sys.executable, "-c", LISTEN, str(listener.fileno())]
        gateway.wrapper_fds = (listener.fileno(),)
        gateway.port = listener.getsockname()[1]
        with gateway.connect() as wire:
            wire.request("GET", "/health")
            gateway.start()
            assert wire.read().status == 200
    listener.close()


def test_unknown_socket_name_is_told_and_closed(fake):
    listener = socket.create_server(("127.0.0.1", 0))
    with Gateway(fake.url, start=False, env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "htpp"}) as gateway:
        gateway.wrapper = [sys.executable, "-c", LISTEN, str(listener.fileno())]
        gateway.wrapper_fds = (listener.fileno(),)
        gateway.start()
        assert [entry for entry in gateway.log(level="warning") if "htpp" in entry["message"]]
        assert gateway.ask("GET", "/health").status == 200
    listener.close()


# ---- draining

def test_open_stream_is_finished_before_the_end(fake):
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("drained")
        go_on = threading.Event()
        fake.on("drained", held_stream(go_on))
        with gateway.connect() as wire:
            wait_for(lambda: gateway.chat(key).status == 200, 1)
            answer = open_stream(gateway, key, "drained", wire)
            since = gateway.notices.count()
            gateway.terminate()
            gateway.notices.wait(since, STOPPING="1")
            assert gateway.is_running()
            go_on.set()
            for _ in wire.each_piece(answer):
                pass
            assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
        assert gateway.wait_end() == 0
        gateway.start()
        assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_connections_in_the_backlog_are_served_at_the_end(fake):
    """A connection that the kernel has accepted for us is a promise."""
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("burst")
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        wires = [gateway.connect() for _ in range(100)]
        for wire in wires:
            wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "echo", "messages": [{"role": "user", "content": "x"}]})
        gateway.terminate()
        statuses = []
        for wire in wires:
            statuses.append(wire.read().status)
            wire.close()
        assert statuses == [200] * 100
        assert gateway.wait_end() == 0


def test_idle_connections_do_not_delay_the_end(fake):
    with Gateway(fake.url) as gateway:
        wires = [gateway.connect() for _ in range(20)]
        for wire in wires:
            assert wire.ask("GET", "/health").status == 200
        start = time.monotonic()
        gateway.terminate()
        assert gateway.wait_end() == 0
        assert time.monotonic() - start < 3 * SLOWNESS
        for wire in wires:
            wire.close()


def test_stream_longer_than_the_drain_is_told_so(fake):
    with Gateway(fake.url, start=False) as gateway:
        gateway.write_config(gateway.main_text.replace("drain_timeout = 10s", "drain_timeout = 1s"))
        gateway.start()
        key = gateway.create_key("cut")
        fake.on("too-long", held_stream(threading.Event()))
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        with gateway.connect() as wire:
            answer = open_stream(gateway, key, "too-long", wire)
            gateway.terminate()
            try:
                for _ in wire.each_piece(answer):
                    pass
            except Closed:
                pass
            assert "[DONE]" not in answer.events() and b'"error"' in answer.body
        assert gateway.wait_end() == 0
        gateway.start()
        assert gateway.event(answer.request_id)["outcome"] == "truncated"


def test_second_sigterm_does_not_wait(fake):
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("impatient")
        fake.on("impatient", held_stream(threading.Event()))
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        with gateway.connect() as wire:
            open_stream(gateway, key, "impatient", wire)
            start = time.monotonic()
            since = gateway.notices.count()
            gateway.terminate()
            gateway.notices.wait(since, STOPPING="1")
            gateway.terminate()
            gateway.wait_end()
            assert time.monotonic() - start < 5 * SLOWNESS


def test_readiness_ends_with_the_drain(fake):
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("lb")
        go_on = threading.Event()
        fake.on("lb", held_stream(go_on))
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        with gateway.connect() as wire, gateway.connect() as probe:
            assert probe.ask("GET", "/ready").status == 200
            answer = open_stream(gateway, key, "lb", wire)
            since = gateway.notices.count()
            probe.send(b"GET /ready HTTP/1.1\r\nHo")
            gateway.terminate()
            gateway.notices.wait(since, STOPPING="1")
            # The listening socket is closed once every worker drains.
            wait_for(lambda: not is_listening(gateway), what="the listener to close")
            probe.send(b"st: x\r\n\r\n")
            found = probe.read()
            assert found.status == 503 and found.header("connection") == "close"
            go_on.set()
            for _ in wire.each_piece(answer):
                pass
        assert gateway.wait_end() == 0


def test_log_file_is_opened_again_by_sigusr1(gateway):
    """So that logrotate can rename it."""
    gateway.log_path.rename(gateway.log_path.with_suffix(".1"))
    gateway.process.send_signal(signal.SIGUSR1)
    wait_for(gateway.log_path.exists, what="a new log file")
    answer = gateway.ask("GET", "/nowhere")
    gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
