"""What an administrator or a disk gets wrong: the state of the unit, STATUS=, one message with an entry in the catalogue, and
the service back once it is mended."""

import re
from pathlib import Path

import pytest

from box import wait_for
from service import GATEWAY, LEDGER

ROOT = Path(__file__).resolve().parents[2]
STATE = "/var/lib/scribe-gateway"
CONFIGURATION = "5fb605b653ad4bd7a7c03230eed66299"
CREDENTIAL = "4186007e80f741d1ab35919122cd0c4e"
CERTIFICATE = "50dc0b470fdf4589809f19279f4c59d3"
ADDRESS = "03db91fe3a3348bab5bfb3fd7ae12c47"
DIRECTORY = "1654a5d99fd34101bdc79d5c333f7833"
DISK_FULL = "516d7852b9404f4f8631768b7b31f31d"
DATABASE_NEWER = "0ae171eacfb848c48cfd5eb1bda0f413"
STORE_FAILING = "9b12c87b0f7745cbab7d637e4e97bb04"
STORE_AGAIN = "8bee0ea22f5e483c8dee6aaf773827c8"


def told(service, message, words, unit, since):
    """One message says it, with its name; the catalogue says what to do."""
    found = service.await_journal(f"MESSAGE_ID={message}", unit=unit, since=since)
    assert words in found[0]["MESSAGE"], found[0]["MESSAGE"]
    pids = {line["_PID"] for line in found}
    errors = [line for line in service.journal(unit=unit, since=since) if line.get("_PID") in pids and int(line["PRIORITY"]) <= 3]
    assert len(errors) == len(pids), [line["MESSAGE"] for line in errors]
    text = service.out("journalctl", "-q", "-x", "--no-pager", "-n", "1", f"MESSAGE_ID={message}")
    assert re.search(r"^\S+ Subject: \S", text, re.M) and "Defined-By: scribe-gateway" in text, text
    return found[0]["MESSAGE"]


def has_failed(service, message, words, since, unit=GATEWAY):
    """It stays down until somebody mends it."""
    wait_for(lambda: service.show("ActiveState", unit) == "failed", f"{unit} to fail")
    assert service.show("ExecMainStatus", unit) == "78" and service.show("NRestarts", unit) == "0"
    assert words in service.show("StatusText", unit), service.show("StatusText", unit)
    told(service, message, words, unit, since)


def is_tried_again(service, message, words, since, unit=GATEWAY):
    """It comes back by itself when the cause is gone."""
    wait_for(lambda: int(service.show("NRestarts", unit)) >= 2, f"{unit} to be tried again")
    wait_for(lambda: words in service.show("StatusText", unit), f"'{words}' in the status of {unit}")
    told(service, message, words, unit, since)


def restart(service, unit=GATEWAY):
    return service.ctl("restart", unit, check=False)


# ---- what somebody must mend

@pytest.mark.parametrize("text, message, words", [
    ("[gateway]\nworkrs = 1\n", CONFIGURATION, "unknown setting 'workrs'"),
    ('[provider "p"]\ndialect = openai\nbase_url = https://api.example.com/v1\napi_key = credential:absent\n', CREDENTIAL, "absent"),
    ('[provider "p"]\ndialect = openai\nbase_url = https://api.example.com/v1\napi_key = file:/etc/shadow\n', CREDENTIAL, "/etc/shadow"),
    ('[provider "p"]\ndialect = openai\nbase_url = https://api.example.com/v1\nca_file = /etc/hostname\n', CERTIFICATE, "/etc/hostname"),
], ids=["unknown setting", "missing credential", "unreadable key file", "broken certificate"])
def test_wrong_configuration_is_told_and_not_tried_again(own, text, message, words):
    own.configure("zz", text)
    since = own.cursor()
    assert restart(own).returncode != 0
    has_failed(own, message, words, since)
    # What was mended is taken without more ado.
    own.unconfigure("zz")
    assert restart(own).returncode == 0
    assert own.chat("mended").status == 200


def test_connections_to_a_service_that_cannot_start_do_not_wear_it_out(own):
    """Each one starts it again, until systemd has had enough. Ten seconds later a mended service starts, with its sockets."""
    own.configure("zz", "[gateway]\nworkrs = 1\n")
    assert restart(own).returncode != 0
    wait_for(lambda: own.curl("/health", timeout=1).exit_status == 7, "systemd to give up the socket")
    own.unconfigure("zz")
    wait_for(lambda: restart(own).returncode == 0, "systemd to start it again")
    assert own.is_active("scribe-gateway-http.socket") and own.is_active("scribe-gateway-control.socket")
    assert own.chat("mended").status == 200


def test_credential_that_cannot_be_decrypted(own):
    own.put("/etc/credstore.encrypted/broken", "bm90IGVuY3J5cHRlZAo=\n")
    own.dropin("[Service]\nLoadCredentialEncrypted=broken:/etc/credstore.encrypted/broken\n")
    assert restart(own).returncode != 0
    wait_for(lambda: own.show("ExecMainStatus") == "243", "the unit to fail")  # EXIT_CREDENTIALS
    assert not own.is_active()
    own.run("rm", f"/etc/systemd/system/{GATEWAY}.d/50-test.conf")
    own.ctl("daemon-reload")
    assert restart(own).returncode == 0
    assert own.chat("mended").status == 200


def test_database_of_a_newer_version(own):
    before = own.requests()
    own.ctl("stop", LEDGER)
    its_own = re.search(r"SG_SCHEMA_VERSION\s+(\d+)", (ROOT / "src/ledger/store.h").read_text())[1]
    own.run("python3", "-c", f"import sqlite3; sqlite3.connect('{STATE}/ledger.db').execute('pragma user_version = 9999')")
    since = own.cursor()
    assert restart(own, LEDGER).returncode != 0
    has_failed(own, DATABASE_NEWER, "9999", since, LEDGER)
    # The gateway goes on with the keys that it knows, also from a cold start.
    assert own.chat("without the ledger").status == 200
    assert restart(own).returncode == 0
    assert own.chat("without the ledger").status == 200
    own.run("python3", "-c", f"import sqlite3; sqlite3.connect('{STATE}/ledger.db').execute('pragma user_version = {its_own}')")
    assert restart(own, LEDGER).returncode == 0
    wait_for(lambda: own.requests() == before + 2, "usage from while the ledger was away")


# ---- what may pass by itself

LISTEN = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\nprint('listens', flush=True)\nsys.stdin.read()"


class Squatter:
    """Another program on a port."""

    def __init__(self, box, port):
        self.process = box.start("python3", "-c", LISTEN, port)
        assert self.process.stdout.readline() == "listens\n"

    def go(self):
        self.process.communicate()


def test_taken_port_is_waited_for(own):
    """A listener of the gateway's own; those that systemd holds go on taking connections, which wait."""
    other = Squatter(own, 8001)
    own.configure("more", '[listener "more"]\naddress = 127.0.0.1:8001\n')
    since = own.cursor()
    assert restart(own).returncode != 0
    is_tried_again(own, ADDRESS, "127.0.0.1:8001", since)
    waiting = own.start("sh", "-c", "curl -sS -m 60 -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/health")
    other.go()
    own.await_active()
    assert waiting.communicate(timeout=60)[0] == "200"
    assert own.out("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8001/health") == "200"


def test_taken_port_of_the_socket_is_told_by_systemd(own):
    own.ctl("stop", "scribe-gateway-http.socket", GATEWAY)
    other = Squatter(own, 8000)
    since = own.cursor()
    assert own.ctl("start", "scribe-gateway-http.socket", check=False).returncode != 0
    assert own.show("ActiveState", "scribe-gateway-http.socket") == "failed"
    wait_for(lambda: [line for line in own.journal(unit=None, since=since) if "Address already in use" in line["MESSAGE"]],
             "systemd to say why")
    other.go()
    own.ctl("start", "scribe-gateway-http.socket")
    assert own.chat("back").status == 200


def state_on_a_disk_of_its_own(service, size):
    """The state directory is moved to a small file system."""
    service.ctl("stop", GATEWAY, LEDGER)
    service.sh(f"""mv {STATE} /root/state; mkdir {STATE}
        mount -t tmpfs -o size={size},mode=0750,uid=scribe-gateway,gid=scribe-gateway small {STATE}; cp -a /root/state/. {STATE}/""")


def test_full_disk_at_the_start_is_waited_for(own):
    own.ctl("stop", GATEWAY)
    own.sh(f"rm -f {STATE}/journal/*.ring")
    state_on_a_disk_of_its_own(own, "8m")
    own.ctl("start", LEDGER)
    since = own.cursor()
    assert own.ctl("start", GATEWAY, check=False).returncode != 0
    is_tried_again(own, DISK_FULL, STATE, since)
    own.run("mount", "-o", "remount,size=1g", STATE)
    own.await_active()
    wait_for(lambda: own.chat("room again").status == 200, "a chat")


def test_full_disk_while_it_runs_loses_no_usage(own):
    state_on_a_disk_of_its_own(own, "1g")
    own.ctl("start", LEDGER, GATEWAY)
    wait_for(lambda: own.chat("first").status == 200, "a chat")
    wait_for(lambda: own.requests() == 2, "the chat to be metered")
    since = own.cursor()
    own.sh(f"cat /dev/zero >{STATE}/ballast 2>/dev/null || test -s {STATE}/ballast")
    for number in range(10):
        assert own.chat(f"number {number}" + "x" * 1000).status == 200
    told(own, STORE_FAILING, "", LEDGER, since)
    assert own.is_active(LEDGER) and own.is_active()
    own.run("rm", f"{STATE}/ballast")
    wait_for(lambda: own.requests() == 12, "usage from while the disk was full", 30)
    own.await_journal(f"MESSAGE_ID={STORE_AGAIN}", unit=LEDGER, since=since)


def test_read_only_state_is_told_and_waited_for(own):
    state_on_a_disk_of_its_own(own, "1g")
    own.run("mount", "-o", "remount,ro", STATE)
    since = own.cursor()
    assert own.ctl("start", GATEWAY, check=False).returncode != 0
    is_tried_again(own, DIRECTORY, f"{STATE}: the file system is read-only", since)
    own.run("mount", "-o", "remount,rw", STATE)
    own.await_active()
    own.await_active(LEDGER)
    wait_for(lambda: own.chat("again").status == 200, "a chat")
