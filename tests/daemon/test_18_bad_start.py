"""Starts that cannot succeed: one line that says what to do, under its name in the catalogue; the same in STATUS=; and an
exit status by which systemd knows whether trying again may help."""

import errno
import os
import re
import shutil

import socket
import sqlite3
import subprocess

import pytest

from gateway import GATEWAY, LEDGER, ROOT, SLOWNESS, Gateway, Notices
from journal import ENTER, Journal, why_no_namespaces

IDS = dict(re.findall(r'#define SG_MESSAGE_(\w+)\s+"(\w+)"', (ROOT / "src/base/message_id.h").read_text()))
MAY_PASS, MUST_BE_MENDED = 1, 78
NOBODY = 65534

needs_namespaces = pytest.mark.skipif(why_no_namespaces() is not None, reason=f"no mount namespaces here: {why_no_namespaces()}")


def replace_line(gateway, name, value, section=None):
    """Another value for a setting of the main file."""
    text, n = re.subn(rf"^{name} = .*$", f"{name} = {value}", gateway.main_text, count=1, flags=re.MULTILINE)
    assert n == 1, name
    gateway.main_text = text
    gateway.write_config(text)


def add_provider(gateway, lines):
    gateway.write_dropin("50-broken.conf", '[provider "broken"]\ndialect = openai\nbase_url = https://127.0.0.1:9\n' + lines)


def as_nobody(gateway):
    """Root may read and write everything."""
    if os.geteuid() != 0:
        return
    for path in (gateway.directory, *gateway.directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    gateway.wrapper = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *gateway.wrapper]


# ---- what may be wrong. Each breaks a gateway that would start, and answers what is expected of the line.

def broken_configuration(gateway):
    gateway.write_config(gateway.main_text + "\n[gateway]\nworkerz = 3\n")
    return "gateway.conf", "workers", errno.EINVAL


def missing_configuration(gateway):
    (gateway.config / "gateway.conf").unlink()
    return "gateway.conf", "there is no such file", errno.ENOENT


def missing_credential(gateway):
    directory = gateway.directory / "credentials"
    directory.mkdir()
    gateway.env["CREDENTIALS_DIRECTORY"] = str(directory)
    add_provider(gateway, "api_key = credential:moonshot\n")
    return "50-broken.conf:4", "LoadCredential=moonshot:", errno.EINVAL


def unreadable_credential(gateway):
    path = gateway.directory / "secret"
    path.write_text("sk-of-somebody-else-1234")
    gateway.secrets.append("sk-of-somebody-else-1234")
    add_provider(gateway, f"api_key = file:{path}\n")
    as_nobody(gateway)
    path.chmod(0)
    return "50-broken.conf:4", "the user of the service must be able to", errno.EINVAL


def taken_port(gateway):
    gateway.taken = socket.create_server(("127.0.0.1", gateway.port), reuse_port=False)
    return f"127.0.0.1:{gateway.port}", "ss -ltnp", errno.EADDRINUSE


def foreign_address(gateway):
    replace_line(gateway, "address", "192.0.2.1:8000")
    return "192.0.2.1:8000", "no interface of this machine has this address", errno.EADDRNOTAVAIL


def broken_certificate(gateway):
    path = gateway.directory / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    add_provider(gateway, f"ca_file = {path}\n")
    return "ca.pem", "PEM", errno.EINVAL


def missing_certificate(gateway):
    add_provider(gateway, f"ca_file = {gateway.directory}/nowhere.pem\n")
    return "nowhere.pem", "cannot read the CA certificates", errno.ENOENT


def state_of_another_user(gateway):
    as_nobody(gateway)
    gateway.state.chmod(0o555)
    return str(gateway.state), "cannot be written", errno.EACCES


def missing_runtime_directory(gateway):
    replace_line(gateway, "runtime_directory", f"{gateway.directory}/nowhere/run")
    return f"{gateway.directory}/nowhere/run", "cannot be made", errno.ENOENT


def mount_over_state(gateway, how):
    gateway.wrapper = [*ENTER, f'mount {how} "$0"; exec "$@"', str(gateway.state), *gateway.wrapper]


def read_only_state(gateway):
    mount_over_state(gateway, "-t tmpfs -o ro none")
    return str(gateway.state), "the file system is read-only", errno.EROFS


def full_state(gateway):
    mount_over_state(gateway, "-t tmpfs -o size=256k none")
    return f"{gateway.state}/journal", "free some space", errno.ENOSPC


def full_runtime_directory(gateway):
    run = gateway.directory / "small"
    run.mkdir()
    replace_line(gateway, "runtime_directory", run)
    gateway.wrapper = [*ENTER, 'mount -t tmpfs -o size=64k none "$0"; exec "$@"', str(run), *gateway.wrapper]
    return f"{run}/journal", "journal's newest records", errno.ENOSPC


CASES = [
    (broken_configuration, "CONFIGURATION", MUST_BE_MENDED),
    (missing_configuration, "CONFIGURATION", MUST_BE_MENDED),
    (missing_credential, "CREDENTIAL", MUST_BE_MENDED),
    (unreadable_credential, "CREDENTIAL", MUST_BE_MENDED),
    (taken_port, "ADDRESS", MAY_PASS),
    (foreign_address, "ADDRESS", MAY_PASS),
    (broken_certificate, "CERTIFICATE", MUST_BE_MENDED),
    (missing_certificate, "CERTIFICATE", MUST_BE_MENDED),
    (state_of_another_user, "DIRECTORY", MAY_PASS),
    (missing_runtime_directory, "DIRECTORY", MAY_PASS),
    pytest.param(read_only_state, "DIRECTORY", MAY_PASS, marks=needs_namespaces),
    pytest.param(full_state, "DISK_FULL", MAY_PASS, marks=needs_namespaces),
    pytest.param(full_runtime_directory, "DISK_FULL", MAY_PASS, marks=needs_namespaces),
]
CASE_NAMES = [getattr(case, "values", case)[0].__name__ for case in CASES]




@pytest.fixture
def broken():
    running = Gateway(ledger="none", start=False)
    running.taken = None
    yield running
    if running.taken:
        running.taken.close()
    running.remove()


def end_of(gateway):
    """(exit status, the last message with a STATUS=) of a start that fails."""
    gateway.start(wait=False)
    status = gateway.process.wait(20 * SLOWNESS)
    _, told = gateway.notices.wait(0, STATUS=True, ERRNO=True)
    assert not any("READY" in message for _, message in gateway.notices.messages)
    gateway.notices.close()
    gateway.process = None
    return status, told


@pytest.mark.parametrize("break_it, name, status", CASES, ids=CASE_NAMES)
def test_a_start_in_vain_says_why(broken, break_it, name, status):
    where, words, number = break_it(broken)
    ended, told = end_of(broken)
    assert ended == status, broken.stderr()
    assert where in told["STATUS"] and words in told["STATUS"]
    assert told["ERRNO"] == str(number)
    assert [line for line in broken.stderr().splitlines() if words in line] != []
    broken.check_stderr()
    broken.check_no_secret_was_written()


@needs_namespaces
@pytest.mark.parametrize("break_it, name, status", CASES, ids=CASE_NAMES)
def test_the_journal_gets_it_once_under_its_name(broken, break_it, name, status):
    replace_line(broken, "to", "journal")
    where, words, number = break_it(broken)
    with Journal(broken) as journal:
        ended, _ = end_of(broken)
    assert ended == status, broken.stderr()
    errors = [entry for entry in journal.entries if int(entry["PRIORITY"]) <= 3]
    assert len(errors) == 1, journal.entries
    assert errors[0]["MESSAGE_ID"] == IDS[name]
    assert errors[0]["ERRNO"] == str(number) and where in errors[0]["SCRIBE_WHERE"]
    assert words in errors[0]["MESSAGE"] and errors[0]["SYSLOG_IDENTIFIER"] == "scribe-gateway"
    assert words not in broken.stderr()  # it went there only once


@pytest.mark.parametrize("break_it", [broken_configuration, missing_credential, broken_certificate],
                         ids=lambda function: function.__name__)
def test_check_has_the_same_exit_status(broken, break_it):
    _, words, _ = break_it(broken)
    done = subprocess.run([str(GATEWAY), "--config", str(broken.config), "--check"], env=broken.environment(), capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=20 * SLOWNESS)
    assert done.returncode == MUST_BE_MENDED and words in done.stderr, done


def test_a_start_succeeds_once_it_is_mended(broken):
    taken_port(broken)
    assert end_of(broken)[0] == MAY_PASS
    broken.taken.close()
    broken.taken = None
    broken.start()
    assert broken.ask("GET", "/health").status == 200
    broken.stop()


# ---- the ledger: the gateway goes on without it

def newer_database(gateway):
    with sqlite3.connect(gateway.state / "ledger.db") as db:
        db.execute("UPDATE schema_version SET version = version + 1000")
    db.close()
    return "DATABASE_NEWER", "install the newer scribe-gateway again", errno.ENOTSUP


def damaged_database(gateway):
    for path in gateway.state.glob("ledger.db*"):
        if path.name != "ledger.db":
            path.unlink()
    size = (gateway.state / "ledger.db").stat().st_size
    with open(gateway.state / "ledger.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))
    return "DATABASE_DAMAGED", "ledger.db", None


def database_of_nobody(gateway):
    (gateway.state / "ledger.db").write_text("this is a letter to my aunt, and no database " * 40)
    return "DATABASE_DAMAGED", "no SQLite database", errno.EMEDIUMTYPE


@pytest.mark.parametrize("break_it", [newer_database, damaged_database, database_of_nobody],
                         ids=lambda function: function.__name__)
def test_a_database_that_cannot_be_used_stops_the_ledger_alone(fake, break_it):
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("tester")
        gateway.stop_ledger()
        name, words, number = break_it(gateway)
        before = (gateway.state / "ledger.db").read_bytes()
        notices = Notices(gateway.directory / "notify-ledger")
        done = subprocess.run([str(LEDGER), "--config", str(gateway.config)],
                              env={**gateway.environment(), "NOTIFY_SOCKET": str(notices.path)}, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20 * SLOWNESS)
        _, told = notices.wait(0, STATUS=True, ERRNO=True)
        notices.close()
        assert done.returncode == MUST_BE_MENDED, done
        assert words in told["STATUS"] and str(gateway.state / "ledger.db") in told["STATUS"]
        assert number is None or told["ERRNO"] == str(number)
        line = gateway.wait_log(message_id=IDS[name])
        assert line["level"] == "err" and words in line["message"]
        assert line["SCRIBE_WHERE"] == str(gateway.state / "ledger.db")
        assert (gateway.state / "ledger.db").read_bytes() == before  # for whoever repairs it
        # The gateway goes on, with the keys that it knows, and says so.
        assert gateway.chat(key, model="echo").status == 200
        assert gateway.ask("GET", "/v1/models", {"Authorization": "Bearer sk-scribe-unknown"}).status in (401, 503)
        gateway.wait_log(message_id=IDS["LEDGER_LOST"])
        assert "the ledger is not connected" in gateway.ctl("status", as_json=False)
        shutil.copy(gateway.state / "ledger.db", gateway.directory / "kept.db")
        for path in gateway.state.glob("ledger.db*"):
            path.unlink()


def test_a_restart_without_a_usable_database_serves_known_keys(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        key = gateway.create_key("tester")
        gateway.stop()
        database_of_nobody(gateway)
        gateway.start_ledger()
        assert gateway.ledger_process.wait(20 * SLOWNESS) == MUST_BE_MENDED
        gateway.ledger_mode, gateway.ledger_process = "none", None
        gateway.start()
        assert gateway.chat(key, model="echo").status == 200


def test_a_ledger_child_with_a_broken_database_does_not_spin(fake):
    """The gateway's own child is tried again, ever more seldom, and each attempt is told."""
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("tester")
        gateway.stop()
        database_of_nobody(gateway)
        gateway.start()
        assert gateway.chat(key, model="echo").status == 200
        gateway.wait_log(message_id=IDS["DATABASE_DAMAGED"])
        failed = gateway.wait_log(message_id=IDS["LEDGER_FAILED"])
        assert "status 78" in failed["message"]
