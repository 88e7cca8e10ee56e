"""From start to ready to the end: health, listeners, what is wrong at the start."""

import os
import signal
import subprocess

from gateway import GATEWAY, LEDGER, SCRIBECTL, Gateway, wait_for


def test_health_needs_no_key(gateway):
    answer = gateway.ask("GET", "/health")
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.json()["status"] == "healthy"
    assert answer.request_id


def test_ready_has_the_form_that_probes_know(gateway):
    answer = gateway.ask("GET", "/ready")
    assert answer.status == 200
    assert answer.json() == {"status": "ready", "service": "api-gateway"}


def test_api_health_tells_service_version_and_time(gateway):
    found = gateway.ask("GET", "/api/health").json()
    assert found["service"] == "gateway"
    assert found["version"] in subprocess.run([GATEWAY, "--version"], capture_output=True, text=True, check=True).stdout
    assert found["timestamp"].endswith("Z") and "T" in found["timestamp"]
    assert found["status"]


def test_health_answers_head_without_a_body(gateway):
    with gateway.connect() as wire:
        assert wire.ask("HEAD", "/health").body == b""
        assert wire.ask("GET", "/health").json()["status"] == "healthy"  # nothing of a body came in between


def test_health_is_not_in_the_ledger(gateway, key):
    gateway.ask("GET", "/health")
    mine = gateway.chat(key)
    gateway.event(mine.request_id)
    assert all(row["operation"] == "chat" for row in gateway.usage())


def test_status_tells_pid_workers_and_ledger(gateway):
    status = gateway.control("GetStatus")
    assert status["pid"] == gateway.pid
    assert len(status["workers"]) == gateway.workers
    assert status["state"] == "running"
    assert "version" in status


def test_versions_agree():
    found = {subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
             for path in (GATEWAY, LEDGER)}
    found.add(subprocess.run([SCRIBECTL, "version"], capture_output=True, text=True, env={}).stdout.split()[-1])
    assert len(found) == 1


def test_help_is_worth_reading():
    for path, word in ((GATEWAY, "--check"), (LEDGER, "--config"), (SCRIBECTL, "key")):
        done = subprocess.run([path, "--help"], capture_output=True, text=True, check=True)
        assert "usage" in done.stdout.lower() and word in done.stdout, done.stdout


def test_wrong_options_end_with_status_2():
    for path in (GATEWAY, LEDGER, SCRIBECTL):
        done = subprocess.run([path, "--no-such-option"], capture_output=True, text=True)
        assert done.returncode == 2, done
        assert "no-such-option" in done.stderr


def test_ledger_child_is_started_again_when_it_dies(gateway, key):
    first = wait_for(gateway.ledger_pid, what="the ledger")
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: (pid := gateway.ledger_pid()) not in (None, first) and pid, what="another ledger")
    answer = gateway.chat(key)
    assert answer.status == 200
    assert gateway.event(answer.request_id)
    assert second != first


def test_taken_port_refuses_to_start_with_the_place(gateway):
    with Gateway(config="", start=False) as other:
        other.write_config(other.main_text.replace(f":{other.port}", f":{gateway.port}"))
        other.start(wait=False)
        assert other.wait_end() == 1
        assert f":{gateway.port}" in other.told() and "gateway.conf:" in other.told()
    assert gateway.ask("GET", "/health").status == 200


def test_second_gateway_on_the_same_state_is_refused(gateway):
    """Two of them would fight for the control socket; the first must not suffer."""
    with Gateway(start=False) as other:
        text = other.main_text.replace(str(other.run), str(gateway.run)).replace(str(other.state), str(gateway.state))
        other.write_config(text)
        other.start(wait=False)
        assert other.wait_end() == 1
    assert gateway.control("GetStatus")["pid"] == gateway.pid


def test_end_leaves_no_socket_and_no_ledger(fake):
    with Gateway(fake.url) as other:
        ledger = wait_for(other.ledger_pid, what="the ledger")
        other.stop()
        assert not other.control_socket.exists()
        assert not os.path.exists(f"/proc/{ledger}")
