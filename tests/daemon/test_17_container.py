"""What an image without a shell needs of the program: the choice by SERVICE_TYPE, the health check, letting go of orphans."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gateway import GATEWAY, ROOT, SLOWNESS, Gateway, free_port, wait_for

AGENTS = ["worldsmith", "plotmaster", "outliner", "director", "characterexpert", "worldbuilder", "writer", "critic", "factchecker",
          "rewriter"]
EXAMPLES = ROOT / "etc/examples"


def run(gateway, *arguments, timeout=30, **env):
    clean = {k: v for k, v in gateway.environment().items() if k not in ("SERVICE_TYPE", "SCRIBE_LISTEN")}
    return subprocess.run([GATEWAY, "--config", gateway.config, *arguments], env={**clean, **env}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout * SLOWNESS)


@pytest.fixture
def stopped():
    with Gateway(start=False) as gateway:
        yield gateway


# ---- SERVICE_TYPE


@pytest.mark.parametrize("env", [{}, {"SERVICE_TYPE": ""}, {"SERVICE_TYPE": "api-gateway"}, {"SERVICE_TYPE": "gateway"}],
                         ids=["unset", "empty", "api-gateway", "gateway"])
def test_goes_on_as_the_gateway(stopped, env):
    done = run(stopped, "--container", "--check", **env)
    assert done.returncode == 0 and "is valid" in done.stdout, done


def test_becomes_the_ledger_in_the_same_process(stopped):
    env = {**stopped.environment(), "SERVICE_TYPE": "ledger"}
    with open(stopped.ledger_stderr_path, "ab") as stderr:
        stopped.ledger_process = subprocess.Popen([GATEWAY, "--config", stopped.config, "--container"], env=env, stderr=stderr)
    wait_for(stopped.ledger_socket.exists, what="the ledger's socket")
    assert Path(f"/proc/{stopped.ledger_process.pid}/comm").read_text() == "scribe-ledger\n"
    stopped.stop_ledger()


def test_check_is_handed_on_to_the_ledger(stopped):
    done = run(stopped, "--container", "ledger", "--check")
    assert done.returncode == 0 and done.stdout.startswith("scribe-ledger: "), done


def test_first_argument_goes_before_the_environment(stopped):
    assert run(stopped, "--container", "--check", "gateway", SERVICE_TYPE="agent-writer").returncode == 0
    assert run(stopped, "--container", "--check", "agent-writer", SERVICE_TYPE="gateway").returncode == 1


@pytest.mark.parametrize("agent", AGENTS)
def test_agents_are_not_in_this_release(stopped, agent):
    done = run(stopped, "--container", SERVICE_TYPE=f"agent-{agent}")
    assert done.returncode == 1
    assert f"'agent-{agent}' is not in this release" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("word", ["nonsense", "agent-", "API-GATEWAY", "sh"])
def test_unknown_service_names_the_valid_ones(stopped, word):
    done = run(stopped, "--container", SERVICE_TYPE=word)
    assert done.returncode == 1
    assert f"unknown SERVICE_TYPE '{word}'" in done.stderr and "api-gateway" in done.stderr and "ledger" in done.stderr


def test_service_type_means_nothing_outside_a_container(stopped):
    assert run(stopped, "--check", SERVICE_TYPE="agent-writer").returncode == 0
    assert run(stopped, "gateway").returncode == 2


# ---- --healthcheck


def is_healthy(gateway, *arguments, **env):
    done = run(gateway, "--healthcheck", *arguments, **env)
    assert done.returncode in (0, 1) and done.stdout == "", done
    assert done.stderr.count("\n") == done.returncode, done  # one line why, or none
    return done.returncode == 0


def test_running_gateway_is_healthy_and_a_stopped_one_is_not():
    with Gateway() as gateway:
        assert is_healthy(gateway)
        gateway.terminate()
        gateway.wait_end()
        done = run(gateway, "--healthcheck")
        assert done.returncode == 1 and f"127.0.0.1:{gateway.port}" in done.stderr and "refused" in done.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:{port}", "[::]:{port}", "{port}", "[::1]:{port}", "unix:{directory}/http.socket"])
def test_every_address_is_reached(address):
    with Gateway(start=False) as gateway:
        address = address.format(port=gateway.port, directory=gateway.directory)
        gateway.write_config(gateway.main_text.replace(f"127.0.0.1:{gateway.port}", address))
        gateway.start()
        assert is_healthy(gateway)
        assert is_healthy(gateway, SCRIBE_LISTEN=address)


def test_scribe_listen_goes_before_the_files_and_needs_none_of_them(gateway):
    assert not is_healthy(gateway, SCRIBE_LISTEN=f"127.0.0.1:{free_port()}")
    with Gateway(env={"SCRIBE_LISTEN": f"127.0.0.1:{(port := free_port())}"}, start=False) as other:
        other.port = port
        other.start()
        other.write_config("[broken\n")
        assert is_healthy(other, SCRIBE_LISTEN=f"127.0.0.1:{port}")
        assert not is_healthy(other)
        other.write_config(other.main_text)


class Answering:
    """A server that does with every connection what it is told."""

    def __init__(self, act):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.env = {"SCRIBE_LISTEN": "127.0.0.1:%d" % self.listener.getsockname()[1]}
        threading.Thread(target=self._serve, args=(act,), daemon=True).start()

    def _serve(self, act):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                act(connection)
            except OSError:
                pass  # it has gone, as it should
            connection.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def drip(connection):
    for byte in b"HTTP/1.1 200 OK" * 100:
        connection.send(bytes([byte]))
        time.sleep(0.2)  # what is tested: bytes keep coming, the answer does not


@pytest.mark.parametrize("act, why", [
    (lambda c: (c.recv(999), c.send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")), "HTTP/1.1 503 Service Unavailable"),
    (lambda c: (c.recv(999), c.send(b"HTTP/1.1 2000 OK\r\n")), "HTTP/1.1 2000"),
    (lambda c: (c.recv(999), c.send(b"SSH-2.0-x\r\n")), "SSH-2.0-x"),
    (lambda c: c.recv(999), "breaks off"),
    (lambda c: (c.recv(999), c.send(b"x" * 100000), c.recv(999)), "breaks off"),
    (lambda c: (c.recv(999), c.recv(999)), "within 5 s|timed out"),
    (drip, "within 5 s|timed out"),
], ids=["503", "odd status", "not HTTP", "hangs up", "no end of line", "silent", "dripping"])
def test_wrong_answers_are_told_within_five_seconds(stopped, act, why):
    server = Answering(act)
    try:
        began = time.monotonic()
        done = run(stopped, "--healthcheck", **server.env)
        assert time.monotonic() - began < 5 + 2 * SLOWNESS
    finally:
        server.close()
    assert done.returncode == 1 and re.search(why, done.stderr) and done.stderr.count("\n") == 1, done


def test_ledger_is_asked_by_its_socket():
    with Gateway(ledger="own") as gateway:
        assert is_healthy(gateway, "ledger")
        assert is_healthy(gateway, SERVICE_TYPE="ledger")
        gateway.stop_ledger()
        assert not is_healthy(gateway, "ledger")
        assert is_healthy(gateway)
        assert is_healthy(gateway, SERVICE_TYPE="agent-writer")  # what runs here is asked, not what cannot run


def test_ledger_that_answers_nonsense(stopped):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stopped.ledger_socket))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            connection.recv(999)
            connection.send(b'{"error":"org.varlink.service.InterfaceNotFound"}\0')
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = run(stopped, "--healthcheck", "ledger")
        thread.join()
    assert done.returncode == 1 and "InterfaceNotFound" in done.stderr


# ---- process 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a namespace of processes here")
def test_first_process_lets_go_of_orphans_and_drains():
    with Gateway(start=False) as gateway:
        gateway.wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--"]
        gateway.start(wait=False)
        first = wait_for(lambda: Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split(), what="process 1")[0]
        wait_for(lambda: gateway.control_socket.exists() and gateway.ask("GET", "/ready").status == 200, what="the gateway")
        # A shell that ends before its children: they are process 1's from then on.
        subprocess.run(["nsenter", "--target", first, "--pid", "--", "sh", "-c", "for i in 1 2 3; do sleep 0.1 & done"], check=True)

        def children():
            found = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            return {Path(f"/proc/{child}/comm").read_text().strip() for child in found}

        wait_for(lambda: "sleep" in children(), what="the orphans")
        wait_for(lambda: children() == {"scribe-ledger"}, what="their end")
        # The ledger is still the gateway's own to look after.
        ledger = Path(f"/proc/{first}/task/{first}/children").read_text().split()[0]
        os.kill(int(ledger), signal.SIGKILL)
        wait_for(lambda: children() == {"scribe-ledger"} and not os.path.exists(f"/proc/{ledger}"), what="another ledger")
        os.kill(int(first), signal.SIGTERM)
        assert gateway.wait_end() == 0


# ---- examples


@pytest.mark.parametrize("port", [8000, 8080, 5000])
def test_example_of_a_port(tmp_path, port):
    config = tmp_path / "config"
    (config / "gateway.conf.d").mkdir(parents=True)
    shutil.copy(ROOT / "etc/gateway.conf", config)
    shutil.copy(EXAMPLES / f"listen-{port}.conf", config / "gateway.conf.d")
    env = {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    done = subprocess.run([GATEWAY, "--config", config, "--check"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done
    assert f"\naddress = 0.0.0.0:{port}\n" in (EXAMPLES / f"listen-{port}.conf").read_text()


def test_example_of_services(tmp_path):
    env = {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    for name, first, tells in (("beside", ROOT / "etc/gateway.conf", "1 providers, 2 models, 4 services"),
                               ("alone", EXAMPLES / "listen-8000.conf", "0 providers, 0 models, 4 services")):
        config = tmp_path / name
        (config / "gateway.conf.d").mkdir(parents=True)
        shutil.copy(first, config / "gateway.conf")
        shutil.copy(EXAMPLES / "services.conf", config / "gateway.conf.d")
        done = subprocess.run([GATEWAY, "--config", config, "--check"], env=env, capture_output=True, text=True)
        assert done.returncode == 0 and tells in done.stdout, done


@pytest.mark.parametrize("port", [8000, 8080, 5000])
def test_example_of_a_socket(tmp_path, port):
    text = (EXAMPLES / f"socket-{port}.conf").read_text()
    assert text.endswith(f"[Socket]\nListenStream=\nListenStream=0.0.0.0:{port}\n")
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "scribe-gateway-http.socket"
    shutil.copy(ROOT / "units/scribe-gateway-http.socket", unit)
    (tmp_path / "scribe-gateway.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "scribe-gateway.target").write_text("[Unit]\n")
    (tmp_path / "scribe-gateway-http.socket.d").mkdir()
    shutil.copy(EXAMPLES / f"socket-{port}.conf", tmp_path / "scribe-gateway-http.socket.d")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    found = [line for line in done.stderr.splitlines() if "scribe" in line]
    assert not found, found
