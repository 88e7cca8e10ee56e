"""The control sockets: Varlink by hand, and three kinds of users."""

import grp
import os
import pwd
import shutil
import socket
import stat
import subprocess
import threading

import pytest

from gateway import SCRIBECTL, Gateway, wait_for
from varlink import Varlink, VarlinkError, call

GROUP, MEMBER, STRANGER, ADMIN = "sgt-views", "sgt-member", "sgt-stranger", "sgt-admin"


@pytest.fixture(scope="module")
def users():
    """Three users and a group of the test's own; removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can make users")
    made = []

    def run(*command):
        subprocess.run(command, check=True, capture_output=True)
    try:
        if not any(g.gr_name == GROUP for g in grp.getgrall()):
            run("groupadd", "--system", GROUP)
        made.append(("groupdel", GROUP))
        for name, groups in ((MEMBER, ["-G", GROUP]), (STRANGER, []), (ADMIN, ["-G", GROUP])):
            if not any(p.pw_name == name for p in pwd.getpwall()):
                run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", *groups, name)
            made.append(("userdel", name))
        yield
    finally:
        for command in reversed(made):
            subprocess.run(command, capture_output=True, check=False)


@pytest.fixture(scope="module")
def shared(users, fake):
    with Gateway(fake.url, group=GROUP, config=f"[control]\nadmins = {ADMIN}\n") as running:
        # The checkout may lie where others cannot look.
        running.ctl_copy = running.directory / "scribectl"
        shutil.copy(SCRIBECTL, running.ctl_copy)
        running.ctl_copy.chmod(0o755)
        running.create_key("alice")
        yield running


def run_as(gateway, user, *arguments):
    found = pwd.getpwnam(user)
    # Sanitizers' options may name files of a checkout into which this user may not look.
    env = {name: value for name, value in gateway.environment().items() if not name.endswith("SAN_OPTIONS")}
    return subprocess.run(["setpriv", f"--reuid={user}", f"--regid={found.pw_gid}", "--init-groups", "--", gateway.ctl_copy,
                           *arguments], env={**env, **gateway.control_environment()}, capture_output=True, text=True,
                          timeout=60, cwd="/")


# ---- who may what

def test_sockets_belong_to_the_group_and_to_nobody_else(shared):
    for path in (shared.control_socket, shared.ledger_socket):
        info = os.stat(path)
        assert stat.S_IMODE(info.st_mode) == 0o660, path
        assert grp.getgrgid(info.st_gid).gr_name == GROUP, path


VIEWS = [("status",), ("upstream", "list"), ("key", "list"), ("key", "show", "alice"), ("usage",), ("log-level",), ("config", "show")]
CHANGES = [("key", "create", "mallory"), ("key", "revoke", "alice"), ("key", "rotate", "alice"), ("reload",), ("log-level", "debug"),
           ("upstream", "drain", "x", "y"), ("upstream", "enable", "x", "y")]


@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_member_of_the_group_may_look(shared, arguments):
    done = run_as(shared, MEMBER, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", CHANGES, ids=" ".join)
def test_member_of_the_group_may_change_nothing_and_is_told_who_may(shared, arguments):
    done = run_as(shared, MEMBER, *arguments)
    assert done.returncode not in (0, 2), done.stdout
    assert "root" in done.stderr or "admin" in done.stderr, done.stderr


@pytest.mark.parametrize("arguments", VIEWS + CHANGES, ids=" ".join)
def test_stranger_may_do_nothing_and_is_told_which_group_is_needed(shared, arguments):
    done = run_as(shared, STRANGER, *arguments)
    assert done.returncode not in (0, 2)
    assert GROUP in done.stderr, done.stderr


def test_named_admin_may_change(shared):
    done = run_as(shared, ADMIN, "key", "create", "by-admin", "--json")
    assert done.returncode == 0, done.stderr
    assert run_as(shared, ADMIN, "reload").returncode == 0


def test_refusals_change_nothing(shared):
    names = [row["name"] for row in shared.ctl("key", "list")["keys"]]
    assert "mallory" not in names and "alice" in names
    assert shared.ctl("key", "show", "alice")["key"]["state"] == "active"


# ---- introspection

@pytest.mark.parametrize("which, interface", [("control_socket", "io.scribe.Gateway"), ("ledger_socket", "io.scribe.Ledger")])
def test_introspection(gateway, which, interface):
    path = getattr(gateway, which)
    wait_for(path.exists, what=str(path))
    info = call(path, "org.varlink.service.GetInfo")
    assert {"vendor", "product", "version", "url", "interfaces"} <= set(info)
    assert {"org.varlink.service", interface} <= set(info["interfaces"])
    for name in info["interfaces"]:
        text = call(path, "org.varlink.service.GetInterfaceDescription", interface=name)["description"]
        assert f"interface {name}\n" in text
        assert "method " in text


def test_unknown_things_have_the_errors_of_the_protocol(gateway):
    for method, error in (("io.scribe.Gateway.NoSuch", "org.varlink.service.MethodNotFound"),
                          ("io.nowhere.Method", "org.varlink.service.InterfaceNotFound")):
        with pytest.raises(VarlinkError) as failed:
            call(gateway.control_socket, method)
        assert failed.value.name == error
    with pytest.raises(VarlinkError) as failed:
        call(gateway.control_socket, "io.scribe.Gateway.GetStatus", nonsense=1)
    assert failed.value.name == "org.varlink.service.InvalidParameter"


def test_calls_in_one_write_are_answered_in_order(gateway):
    with Varlink(gateway.control_socket) as connection:
        one = b'{"method":"org.varlink.service.GetInfo"}\0'
        two = b'{"method":"io.nowhere.X"}\0'
        connection.send_raw((one + two) * 10)
        for _ in range(10):
            assert "parameters" in connection.receive()
            assert connection.receive()["error"] == "org.varlink.service.InterfaceNotFound"


def test_oneway_gets_no_answer(gateway):
    with Varlink(gateway.control_socket) as connection:
        connection.send("io.scribe.Gateway.GetStatus", oneway=True)
        assert "vendor" in connection.call("org.varlink.service.GetInfo")


@pytest.mark.parametrize("data", [b"\0", b"{}\0", b"[]\0", b'{"method":5}\0', b"no json\0", b'{"method":"x","parameters":[]}\0',
                                  b"[" * 100000 + b"\0", b"\xff\xfe\0", b'{"method":"a.b","unknown":1}\0'])
@pytest.mark.parametrize("which", ["control_socket", "ledger_socket"])
def test_garbage_ends_the_connection_and_nothing_else(gateway, which, data):
    path = getattr(gateway, which)
    with Varlink(path) as connection:
        try:
            connection.send_raw(data)
        except ConnectionError:
            pass
        answer = connection.receive()
        assert answer is None or "error" in answer
    assert "vendor" in call(path, "org.varlink.service.GetInfo")


def test_message_without_an_end_is_given_up(gateway):
    with Varlink(gateway.control_socket) as connection:
        part = b" " * (1 << 20)
        try:
            for _ in range(40):
                connection.send_raw(part)
            assert connection.receive() is None
        except (ConnectionError, TimeoutError) as error:
            assert isinstance(error, ConnectionError), "40 MiB were taken"
    assert gateway.control("GetStatus")["pid"] == gateway.pid


def test_many_connections_do_not_shut_root_out(gateway):
    held = []
    try:
        for _ in range(300):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(5)
            try:
                connection.connect(str(gateway.control_socket))
            except OSError:
                break
            held.append(connection)
    finally:
        for connection in held:
            connection.close()
    assert wait_for(lambda: gateway.ctl_run("status").returncode == 0, what="the control socket")


def test_views_while_chats_run(gateway, key):
    over, failed = threading.Event(), []

    def look():
        while not over.is_set():
            if gateway.ctl_run("status", "--json").returncode:
                failed.append(1)
    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(100):
        assert gateway.chat(key).status == 200
    over.set()
    thread.join()
    assert not failed


# ---- scribectl itself

def test_exit_status_when_nothing_runs(tmp_path):
    done = subprocess.run([SCRIBECTL, "status"], env={"SCRIBE_CONTROL": str(tmp_path / "none")}, capture_output=True, text=True)
    assert done.returncode not in (0, 1, 2)
    assert "none" in done.stderr, done.stderr


def test_unknown_verbs_are_met_with_a_suggestion():
    done = subprocess.run([SCRIBECTL, "stauts"], capture_output=True, text=True, env={})
    assert done.returncode == 2 and "status" in done.stderr
    done = subprocess.run([SCRIBECTL, "key", "creat", "x"], capture_output=True, text=True, env={})
    assert done.returncode == 2 and "create" in done.stderr


def test_tables_for_people(gateway, key):
    answer = gateway.chat(key)
    gateway.event(answer.request_id)
    by_key = gateway.ctl("usage", "--by", "key", as_json=False)
    assert "tester" in by_key
    for by in ("key", "model", "day"):
        rows = gateway.ctl("usage", "--by", by)["rows"]
        assert sum(row["requests"] for row in rows) >= 1
    assert "tester" in gateway.ctl("key", "list", as_json=False)


def test_usage_sums_agree_with_events(gateway, key):
    gateway.create_key("sums")
    secret = gateway.keys["sums"]
    last = None
    for n in range(5):
        wait_for(lambda: gateway.chat(secret).status == 200, 1)
    last = gateway.chat(secret, content="the last one")
    gateway.event(last.request_id)
    events = gateway.usage(key="sums")
    row = [row for row in gateway.ctl("usage", "--by", "key")["rows"] if row["group"] == "sums"][0]
    assert row["requests"] == len(events) >= 6
    assert row["output_tokens"] == sum(event["output_tokens"] for event in events)
