"""The service under its manager: install, first chat, reload, watchdog, crash, sandbox, journal, reboot, purge."""

import ctypes
import json
import os
import re
import time
from pathlib import Path

import pytest

from box import wait_for
from service import GATEWAY, LEDGER, SUITE

UNITS = [GATEWAY, LEDGER]
RELOADED = "4741c448b2934268ad84709125ac03b7"
WORKER_HANGS = "8c47a5ad63e8494e9a227e628802a3eb"


# ---- installed

def test_installed_it_runs(shared):
    for unit in UNITS:
        assert shared.is_active(unit)
        assert shared.out("systemctl", "is-enabled", unit) == "enabled"
    assert "scribe" not in shared.out("systemctl", "--failed", "--plain", "--no-legend")


def test_runs_as_a_user_of_its_own(shared):
    for unit in UNITS:
        assert shared.out("ps", "-o", "user:32=", "-p", str(shared.pid(unit))) == "scribe-gateway"


def test_first_chat_by_curl(shared):
    before = shared.requests()
    answer = shared.chat("hello box")
    assert answer.status == 200 and answer.content() == "hello box", answer
    wait_for(lambda: shared.requests() == before + 1, "the chat to be metered")


def test_without_a_key_there_is_no_chat(shared):
    assert shared.chat("hello", key=None).status == 401


def test_status_text_tells_the_state(shared):
    assert shared.show("StatusText").startswith("Running")


def test_verify_is_silent(shared):
    units = shared.out("sh", "-c", "cd /usr/lib/systemd/system && ls -d scribe*").split()
    assert {GATEWAY, LEDGER, "scribe-gateway-http.socket", "scribe-gateway.target"} <= set(units)
    assert shared.run("systemd-analyze", "verify", "--man=no", *units).stdout == ""


@pytest.mark.parametrize("unit, most", [(GATEWAY, 1.5), (LEDGER, 2.0)])
def test_sandbox_is_tight(shared, unit, most):
    text = shared.run("systemd-analyze", "security", "--no-pager", unit).stdout
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)[1])
    assert exposure <= most, text


def test_local_databases_come_first_and_are_not_required(own):
    """One that is slow to start is waited for; one that fails, or is not there at all (redis), holds nobody up."""
    for name, command in (("postgresql", "sleep 1"), ("redis-server", "false")):
        own.put(f"/etc/systemd/system/{name}.service", f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={command}\n"
                "[Install]\nWantedBy=multi-user.target\n")
        own.ctl("enable", name + ".service")
    own.reboot()
    own.await_active()
    began = int(own.show("ActiveEnterTimestampMonotonic", "postgresql.service"))
    assert own.show("ActiveState", "redis-server.service") == "failed"
    for unit in UNITS:
        assert int(own.show("InactiveExitTimestampMonotonic", unit)) >= began > 0
    assert own.chat("hello").status == 200


# ---- reload

def test_reload_takes_a_good_configuration_in_the_same_process(shared):
    pid = shared.pid()
    shared.configure("box", '[model "box"]\ntarget = echo\n')
    shared.ctl("reload", GATEWAY)
    assert shared.chat("hello", model="box").status == 200
    assert shared.pid() == pid
    shared.unconfigure("box")
    shared.ctl("reload", GATEWAY)
    assert shared.chat("hello", model="box").status == 404


def test_reload_refuses_a_broken_configuration_and_goes_on(shared):
    pid = shared.pid()
    since = shared.cursor()
    shared.configure("zz", "[gateway]\nworkrs = 1\n")
    try:
        done = shared.ctl("reload", GATEWAY, check=False)
        assert done.returncode != 0, "systemctl reload says that all is well"
        assert shared.is_active() and shared.pid() == pid
        assert shared.show("StatusText").startswith("Running; the last reload was refused")
        assert shared.chat("hello").status == 200
        refused = [line["MESSAGE"] for line in shared.journal("_SYSTEMD_UNIT=" + GATEWAY, since=since)]
        assert any("zz.conf:2" in text and "'workers'" in text for text in refused), refused
        assert shared.run("scribectl", "config", "check", check=False).returncode == 1
    finally:
        shared.unconfigure("zz")
    shared.ctl("reload", GATEWAY)
    assert "refused" not in shared.show("StatusText")


def test_sighup_is_a_reload_too(shared):
    pid = shared.pid()
    number = shared.status()["config"]["number"]
    shared.ctl("kill", "-s", "HUP", "--kill-whom=main", GATEWAY)
    wait_for(lambda: shared.status()["config"]["number"] == number + 1, "another configuration")
    assert shared.pid() == pid and shared.is_active()


@pytest.mark.parametrize("kind", ["notify", "notify-reload"])
def test_reload_by_the_protocol_of_systemd(own, kind):
    """Type=notify with ExecReload= is what the unit has; notify-reload (systemd 253) sends SIGHUP and waits for READY=1."""
    if kind == "notify-reload":
        if SUITE == "bookworm":
            pytest.skip("systemd 252 has no Type=notify-reload")
        own.dropin("[Service]\nType=notify-reload\nExecReload=\n")
        own.ctl("restart", GATEWAY)
    assert own.show("Type") == kind
    pid, number = own.pid(), own.status()["config"]["number"]
    own.configure("box", '[model "box"]\ntarget = echo\n')
    own.ctl("reload", GATEWAY)
    # In force when systemctl returns, not some time later.
    assert own.status()["config"]["number"] == number + 1
    assert own.chat("hello", model="box").status == 200
    own.configure("zz", "[gateway]\nworkrs = 1\n")
    own.ctl("reload", GATEWAY, check=False)
    assert own.is_active() and own.pid() == pid
    assert own.show("StatusText").startswith("Running; the last reload was refused")
    assert own.chat("hello", model="box").status == 200


# ---- what goes wrong by itself

def stop_thread(tid):
    """Stops one thread of another process by tracing it; the others go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(0x4206, tid, None, None) != 0:  # PTRACE_SEIZE
        pytest.skip(f"this machine does not let one process trace another: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(0x4207, tid, None, None) == 0  # PTRACE_INTERRUPT
    os.waitpid(tid, 0x40000000)  # __WALL


@pytest.mark.parametrize("is_successor", [False, True], ids=["started", "upgraded"])
def test_hung_worker_is_ended_by_the_watchdog_and_the_service_is_back(own, is_successor):
    own.dropin("[Service]\nWatchdogSec=2\n")
    own.ctl("restart", GATEWAY)
    if is_successor:
        own.run("scribectl", "upgrade")
    pid = own.pid()
    since = own.cursor()
    outside = own.host_pid(pid)
    workers = [int(task.name) for task in Path(f"/proc/{outside}/task").iterdir()
               if (task / "comm").read_text().startswith("worker")]
    assert workers
    stop_thread(workers[0])
    begun = time.monotonic()
    _, status = os.waitpid(workers[0], 0x40000000)  # the end of the thread, as its tracer is told
    assert 1 < time.monotonic() - begun < 20 and os.WIFSIGNALED(status)
    own.await_other(pid)
    assert own.show("NRestarts") == "1"
    own.await_journal("MESSAGE_ID=" + WORKER_HANGS, since=since)
    wait_for(lambda: own.chat("again").status == 200, "a chat after the watchdog")


def test_crash_loses_no_usage(own):
    before = own.requests()
    for number in range(20):
        assert own.chat(f"number {number}").status == 200
    pid = own.pid()
    own.ctl("kill", "-s", "KILL", "--kill-whom=main", GATEWAY)
    own.await_other(pid)
    assert own.show("NRestarts") == "1"
    wait_for(lambda: own.chat("after").status == 200, "a chat after the crash")
    wait_for(lambda: own.requests() >= before + 21, "usage from before the crash")
    assert own.requests() == before + 21


def test_crash_of_the_ledger_stops_nobody(own):
    before = own.requests()
    pid = own.pid()
    ledger = own.pid(LEDGER)
    own.ctl("kill", "-s", "KILL", "--kill-whom=main", LEDGER)
    for number in range(10):
        assert own.chat(f"number {number}").status == 200
    own.await_other(ledger, LEDGER)
    wait_for(lambda: own.run("scribectl", "usage", "--json", check=False).returncode == 0, "the ledger")
    wait_for(lambda: own.requests() == before + 10, "usage from while the ledger was away")
    assert own.pid() == pid


# ---- the journal

def test_journal_is_queried_by_fields(shared):
    since = shared.cursor()
    answer = shared.chat("find me")
    request = answer.fields["x-request-id"]
    found = shared.await_journal(f"SCRIBE_REQUEST={request}", since=since)
    assert len(found) == 1
    assert found[0]["SCRIBE_KEY"] == "alice" and found[0]["SCRIBE_STATUS"] == "200" and found[0]["SCRIBE_MODEL"] == "echo"
    assert any(line["SCRIBE_REQUEST"] == request for line in shared.journal("SCRIBE_KEY=alice", "SCRIBE_STATUS=200", since=since))
    assert not any(line["SCRIBE_REQUEST"] == request for line in shared.journal("SCRIBE_KEY=alice", "SCRIBE_STATUS=502"))


def test_catalogue_explains_a_message(shared):
    since = shared.cursor()
    shared.ctl("reload", GATEWAY)
    shared.await_journal("MESSAGE_ID=" + RELOADED, since=since)
    text = shared.out("journalctl", "-q", "-x", "--no-pager", "-n", "1", "MESSAGE_ID=" + RELOADED)
    assert "Subject: A new configuration is in force" in text and "Defined-By: scribe-gateway" in text


def test_every_manual_named_by_a_unit_is_there(shared):
    named = set(re.findall(r"man:([\w.-]+)\((\d)\)", shared.out("sh", "-c", "cat /usr/lib/systemd/system/scribe*")))
    assert ("scribe-gateway", "8") in named
    for name, section in named:
        shared.run("test", "-s", f"/usr/share/man/man{section}/{name}.{section}.gz")


# ---- the control socket

def test_varlinkctl_talks_to_the_control_socket(shared):
    if SUITE == "bookworm":
        pytest.skip("systemd 252 has no varlinkctl")
    address = "/run/scribe-gateway/control.socket"
    assert "io.scribe.Gateway" in shared.out("varlinkctl", "info", address)
    text = shared.out("varlinkctl", "introspect", address, "io.scribe.Gateway")
    assert "interface io.scribe.Gateway" in text and "method GetStatus" in text
    status = json.loads(shared.out("varlinkctl", "call", address, "io.scribe.Gateway.GetStatus", "{}"))
    assert status["pid"] == shared.pid()


# ---- start and end

def test_reboot_brings_it_back_by_itself(own):
    assert own.chat("before").status == 200
    wait_for(lambda: own.requests() == 2, "the chat to be metered")
    own.reboot()
    own.await_active()
    wait_for(lambda: own.chat("after").status == 200, "a chat after the reboot")
    wait_for(lambda: own.requests() == 3, "the chat to be metered")


def test_stop_ends_in_order(own):
    since = own.cursor()
    own.ctl("stop", GATEWAY, LEDGER)
    for unit in UNITS:
        assert own.show("Result", unit) == "success" and own.show("ExecMainStatus", unit) == "0"
    assert not [line for line in own.journal(since=since) if int(line["PRIORITY"]) <= 4]


def test_purge_leaves_nothing(own):
    own.chat("hello")
    before = own.out("getent", "passwd", "scribe-gateway")
    own.apt("purge", "scribe-gateway")
    left = own.sh("find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -name '*scribe*' -print").stdout.split()
    allowed = re.compile(r"/root/|/var/log/|/var/lib/dpkg/|/var/cache/apt/|/var/lib/systemd/deb-systemd-")
    assert [path for path in left if not allowed.match(path)] == []
    assert own.ctl("list-units", "--all", "--plain", "--no-legend", "scribe*").stdout.strip() == ""
    assert own.curl("/health").exit_status == 7
    # The user stays, so that its number is not given to another.
    assert own.out("getent", "passwd", "scribe-gateway") == before
