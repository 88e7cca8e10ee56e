"""Who may call: keys from their creation to their end, with the ledger there and without it."""

import re
import signal
import socket
import subprocess
import time

import pytest

from gateway import SLOWNESS, Gateway, bearer, wait_for
from varlink import VarlinkError

CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def status_of(gateway, key, **options):
    return gateway.chat(key, **options).status


def wait_status(gateway, key, wanted, seconds=1):
    """Seconds until the gateway answers this key so; what a change may take is one second."""
    start = time.monotonic()
    wait_for(lambda: status_of(gateway, key) == wanted, seconds, f"status {wanted}")
    return time.monotonic() - start


def test_created_key_is_shown_once_and_works_at_once(gateway):
    secret = gateway.create_key("alice", wait=False)
    assert re.fullmatch(r"sk-[0-9A-Za-z]{32}", secret)
    wait_status(gateway, secret, 200)
    assert secret not in str(gateway.ledger("ShowKey", name="alice")) + str(gateway.ledger("ListKeys"))


def test_secret_is_stored_nowhere(gateway, key):
    status_of(gateway, key)
    for path in gateway.directory.rglob("*"):
        if path.is_file() and path.name != "notify":
            assert key.encode() not in path.read_bytes(), path


def test_list_and_show(gateway):
    gateway.create_key("listed")
    names = {row["name"]: row for row in gateway.ledger("ListKeys")["keys"]}
    assert names["listed"]["state"] == "active"
    assert gateway.ledger("ShowKey", name="listed")["key"]["name"] == "listed"


def test_name_is_taken(gateway):
    gateway.create_key("twice")
    with pytest.raises(VarlinkError) as failed:
        gateway.create_key("twice")
    assert failed.value.name.endswith(".KeyExists") and "twice" in failed.value.parameters["message"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "new\nline", "../up"])
def test_bad_names_are_refused(gateway, name):
    with pytest.raises(VarlinkError) as failed:
        gateway.create_key(name)
    assert failed.value.name.endswith(".BadName")


def test_no_key_and_strange_keys(gateway, key):
    for header in (None, "", "Bearer", "Bearer ", f"Basic {key}", f"Bearer {key} {key}"):
        answer = gateway.ask("POST", "/v1/chat/completions", {"Authorization": header} if header is not None else {},
                             {"model": "echo", "messages": []})
        assert answer.status == 401, header
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.header("www-authenticate", "Bearer").startswith("Bearer")
    assert status_of(gateway, key) == 200


def test_wrong_by_one_character(gateway, key):
    for at in (3, 10, len(key) - 1):
        other = CHARS[(CHARS.index(key[at]) + 1) % len(CHARS)]
        answer = gateway.chat(key[:at] + other + key[at + 1:])
        assert answer.status == 401
        assert key not in answer.body.decode()


def test_bearer_is_spelled_in_any_case(gateway, key):
    answer = gateway.ask("POST", "/v1/chat/completions", {"authorization": f"bearer {key}"}, {"model": "echo", "messages": [
        {"role": "user", "content": "x"}]})
    assert answer.status == 200


def test_two_different_credentials_are_refused(gateway, key):
    """Which of them counts would be a guess; the same one twice is none."""
    other = gateway.create_key("other")
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    assert gateway.ask("POST", "/v1/chat/completions", {"x-api-key": other, **bearer(key)}, body).status == 400
    assert gateway.ask("POST", "/v1/chat/completions", {"x-api-key": key, **bearer(key)}, body).status == 200


def test_revocation_is_effective_within_a_second(gateway):
    secret = gateway.create_key("revoked")
    wait_status(gateway, secret, 200)
    with gateway.connect() as wire:  # a connection that is open already is no way around it
        assert gateway.chat(secret, wire=wire).status == 200
        gateway.ledger("RevokeKey", name="revoked")
        start = time.monotonic()
        wait_for(lambda: gateway.chat(secret, wire=wire).status == 401, 1, "the revocation")
        assert time.monotonic() - start < 1 * SLOWNESS
    assert gateway.ledger("ShowKey", name="revoked")["key"]["state"] == "revoked"
    assert gateway.wait_log(SCRIBE_REASON="key_revoked")["SCRIBE_STATUS"] == "401"


def test_revoked_name_can_be_given_again(gateway):
    gateway.create_key("again")
    gateway.ledger("RevokeKey", name="again")
    secret = gateway.create_key("again")
    wait_status(gateway, secret, 200)


def test_revoke_of_nobody(gateway):
    with pytest.raises(VarlinkError) as failed:
        gateway.ledger("RevokeKey", name="nobody")
    assert failed.value.name.endswith(".NoSuchKey") and "nobody" in failed.value.parameters["message"]


def test_rotation_replaces_the_secret(gateway):
    old = gateway.create_key("rotated")
    wait_status(gateway, old, 200)
    new = gateway.ledger("RotateKey", name="rotated")["secret"]
    gateway.secrets.append(new)
    assert new != old
    wait_status(gateway, new, 200)
    wait_status(gateway, old, 401)


def test_expiry(gateway):
    secret = gateway.create_key("brief", expires_in_sec=int(2 * SLOWNESS))
    wait_status(gateway, secret, 200)
    wait_status(gateway, secret, 401, seconds=4)
    assert gateway.wait_log(SCRIBE_REASON="key_expired")


def test_allowed_models(gateway):
    secret = gateway.create_key("narrow", models=["echo", "gpt-4*"])
    wait_status(gateway, secret, 200)
    assert status_of(gateway, secret, model="gpt-4o-mini") == 200
    answer = gateway.chat(secret, model="claude-3")
    assert answer.status == 403
    assert "claude-3" in answer.json()["error"]["message"] and answer.json()["error"]["param"] == "model"
    names = [model["id"] for model in gateway.ask("GET", "/v1/models", bearer(secret)).json()["data"]]
    assert names == ["echo"]


def test_allowed_models_bind_the_default_too(fake):
    with Gateway(fake.url, config='[model "default"]\ntarget = fake/expensive\n') as gateway:
        secret = gateway.create_key("narrow", models=["echo"])
        wait_status(gateway, secret, 200)
        assert gateway.chat(secret, model=None).status == 403
        assert fake.of("expensive") == []


# ---- without the ledger

def test_known_keys_work_while_the_ledger_is_down(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        secret = gateway.create_key("known")
        wait_status(gateway, secret, 200)
        gateway.stop_ledger(signal.SIGKILL)
        first = gateway.chat(secret)
        assert first.status == 200
        gateway.start_ledger()
        # What happened meanwhile was kept in the journal.
        assert gateway.event(first.request_id)["outcome"] == "complete"


def test_unknown_keys_are_not_refused_for_good_while_the_ledger_is_down(fake):
    """Such a key may have been created a moment ago on another way: 503 says 'try again', 401 would say 'wrong'."""
    with Gateway(fake.url, ledger="own") as gateway:
        secret = gateway.create_key("known")
        wait_status(gateway, secret, 200)
        stranger = gateway.create_key("stranger")
        gateway.ledger("RevokeKey", name="stranger")
        wait_status(gateway, stranger, 401)
        gateway.stop_ledger(signal.SIGKILL)
        unknown = well_formed_key()
        wait_status(gateway, unknown, 503)
        answer = gateway.chat(unknown)
        assert int(answer.header("retry-after")) > 0
        assert status_of(gateway, stranger) == 401, "a key known to be revoked stays so"
        assert status_of(gateway, "sk-tooshort") == 401, "what is no key at all needs no ledger to refuse"
        assert status_of(gateway, secret) == 200
        gateway.start_ledger()
        wait_status(gateway, unknown, 401, seconds=5)


def unread_of(path):
    """Connections to this socket, and bytes in them, that wait for whoever serves it."""
    lines = subprocess.run(["ss", "-xanH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sum(int(line.split()[2]) for line in lines if str(path) in line.split())


def test_a_flood_of_wrong_keys_asks_nobody_and_fills_no_log(fake):
    """The ledger stands still meanwhile: so there can be no question to the database, and what the ledger was asked would wait."""
    with Gateway(fake.url, ledger="own") as gateway:
        secret, gone = gateway.create_key("known"), gateway.create_key("gone")
        gateway.ledger("RevokeKey", name="gone")
        wait_status(gateway, gone, 401)
        unknown = well_formed_key()
        ledger = gateway.ledger_process
        ledger.send_signal(signal.SIGSTOP)
        try:
            before = unread_of(gateway.ledger_socket)
            for key in (unknown, gone, "sk-wrong-" + "w" * 26):
                with gateway.connect() as wire:
                    assert all(wire.ask("GET", "/v1/models", bearer(key)).status == 401 for _ in range(500))
                assert all(gateway.ask("GET", "/v1/models", bearer(key)).status == 401 for _ in range(20))
                assert gateway.ask("GET", "/v1/models", bearer(secret)).status == 200
            assert unread_of(gateway.ledger_socket) == before
            with socket.socket(socket.AF_UNIX) as asker:  # a question would be seen
                asker.connect(str(gateway.ledger_socket))
                asker.sendall(b"{}")
                assert unread_of(gateway.ledger_socket) > before
        finally:
            ledger.send_signal(signal.SIGCONT)
        for reason, n in (("bad_key", 1040), ("key_revoked", 520)):
            assert gateway.control("GetStatus")["counters"][reason] >= n
            assert 0 < len(gateway.log(SCRIBE_REASON=reason)) < n / 2, "the rest is counted: test_20_log"


def test_cold_start_without_the_ledger(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        secret, gone = gateway.create_key("known"), gateway.create_key("gone")
        gateway.ledger("RevokeKey", name="gone")
        wait_status(gateway, secret, 200)
        wait_status(gateway, gone, 401)
        gateway.kill()
        gateway.stop_ledger(signal.SIGKILL)
        gateway.ledger_mode = "none"
        gateway.start()
        assert gateway.ask("GET", "/ready").status == 200
        answer = gateway.chat(secret)
        assert answer.status == 200
        assert status_of(gateway, gone) == 401
        assert status_of(gateway, well_formed_key()) == 503
        gateway.start_ledger()
        wait_status(gateway, well_formed_key(), 401, seconds=5)
        assert gateway.event(answer.request_id)


def test_cold_start_with_nothing_known_is_not_ready_until_the_ledger_comes(fake):
    with Gateway(fake.url, ledger="none", start=False) as gateway:
        gateway.start(wait=False)
        wait_for(lambda: is_listening(gateway), what="the listener")
        answer = gateway.ask("GET", "/ready")
        assert answer.status == 503 and answer.json()["status"] == "not ready"
        assert gateway.ask("GET", "/health").status == 200
        gateway.start_ledger()
        wait_for(lambda: gateway.ask("GET", "/ready").status == 200, what="readiness")
        secret = gateway.create_key("late")
        wait_status(gateway, secret, 200)


def test_broken_picture_on_disk_is_set_aside(fake):
    with Gateway(fake.url) as gateway:
        secret = gateway.create_key("known")
        wait_status(gateway, secret, 200)
        gateway.stop()
        pictures = [path for path in gateway.state.rglob("*") if path.is_file() and b'"known"' in path.read_bytes()
                    and b"SQLite" not in path.read_bytes()[:16] and path.suffix != ".ring"]
        assert pictures, "the picture of the keys is not kept on disk"
        for path in pictures:
            path.write_bytes(b"\xff" * 300 + path.read_bytes()[300:])
        gateway.start()
        wait_status(gateway, secret, 200, seconds=5)


def is_listening(gateway):
    try:
        gateway.connect().close()
        return True
    except OSError:
        return False


def well_formed_key():
    """A key that passes every check that needs no table: checksum and all. It is made and forgotten elsewhere."""
    with Gateway() as elsewhere:
        return elsewhere.create_key("elsewhere")
