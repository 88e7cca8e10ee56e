"""Backups are taken under load and put back after a disaster; old usage is pruned."""

import collections
import hashlib
import io
import json
import os
import pwd
import shutil
import signal
import sqlite3
import tarfile
import threading
import time

import pytest

from gateway import Gateway, wait_for
from postgres import Postgres
from wire import Closed

CLIENTS = 6


class Load:
    """Clients that ask without pause, and note the request ids of what was answered whole."""

    def __init__(self, gateway, secret):
        self.gateway, self.secret = gateway, secret
        self.answered = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.over.is_set():
            try:
                with self.gateway.connect() as wire:
                    while not self.over.is_set():
                        answer = self.gateway.chat(self.secret, wire=wire)
                        if answer.status == 200:
                            self.answered.append(answer.header("x-request-id"))
            except (OSError, Closed, AssertionError):
                self.over.wait(0.01)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def counted(gateway):
    return collections.Counter(event["request_id"] for event in gateway.usage())


def restore(gateway, path):
    return gateway.ctl_run("restore", str(path), str(gateway.config))


@pytest.fixture
def gateway():
    with Gateway(ledger="own", dropins={"journal.conf": "[journal]\nsize = 64M\n"}) as g:
        yield g


def backed_up_under_load(gateway, path):
    """What was answered before the backup was asked for, and the load, which goes on."""
    load = Load(gateway, gateway.create_key("alice"))
    wait_for(lambda: len(load.answered) > 300, what="some load")
    before = list(load.answered)
    done = gateway.ctl_run("backup", str(path))
    assert done.returncode == 0, done.stderr
    return before, load


def test_a_node_that_was_destroyed_comes_back(gateway, tmp_path):
    """Every exchange that was answered before the backup is there once, and keys work."""
    path = tmp_path / "node.tar"
    gateway.create_key("bob")
    gateway.ledger("RevokeKey", name="bob")
    before, load = backed_up_under_load(gateway, path)
    wait_for(lambda: len(load.answered) > len(before) + 100, what="load behind the backup")
    gateway.kill()
    gateway.stop_ledger(signal.SIGKILL)
    load.stop()
    shutil.rmtree(gateway.state)
    shutil.rmtree(gateway.run)
    for directory in (gateway.state, gateway.run):
        directory.mkdir(mode=0o755)

    done = restore(gateway, path)
    assert done.returncode == 0, done.stderr
    assert "2 keys" in done.stdout
    gateway.start()
    counts = counted(gateway)
    assert set(before) <= set(counts)
    assert max(counts.values()) == 1
    assert {key["name"]: key["state"] for key in gateway.ledger("ListKeys", include_revoked=True)["keys"]} == {
        "alice": "active", "bob": "revoked"}
    wait_for(lambda: gateway.chat(gateway.keys["alice"]).status == 200, 5, "a key that works")
    assert gateway.chat(gateway.keys["bob"]).status == 401


def test_an_older_database_beside_rings_that_went_on(gateway, tmp_path):
    """The gateway serves on while the ledger is stopped, the database lost and put back: nothing is there twice, what was
    answered before the backup is there, and so is all that the rings still hold."""
    path = tmp_path / "node.tar"
    before, load = backed_up_under_load(gateway, path)
    gateway.stop_ledger()
    behind = len(load.answered)
    wait_for(lambda: len(load.answered) > behind + 50, what="load without a ledger")
    last = load.answered[behind + CLIENTS:]
    database = gateway.state / "ledger.db"
    database.write_bytes(b"no database any more" * 100)
    done = restore(gateway, path)
    assert done.returncode == 0, done.stderr
    assert (gateway.state / "ledger.db.before-restore").read_bytes().startswith(b"no database")
    gateway.start_ledger()
    load.stop()
    last = [*last, *load.answered[-20:]]
    wait_for(lambda: set(last) <= set(counted(gateway)), 20, "what the rings held")
    counts = counted(gateway)
    assert set(before) <= set(counts)
    assert max(counts.values()) == 1
    # A second restore does not take away what the first one kept.
    gateway.stop_ledger()
    done = restore(gateway, path)
    assert done.returncode == 1 and "before-restore" in done.stderr and "move it away" in done.stderr
    gateway.start_ledger()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_restores_belongs_to_the_service(gateway, tmp_path):
    path = tmp_path / "node.tar"
    gateway.ctl("backup", str(path))
    gateway.stop()
    shutil.rmtree(gateway.state)
    gateway.state.mkdir(mode=0o755)
    nobody = pwd.getpwnam("nobody")
    os.chown(gateway.state, nobody.pw_uid, nobody.pw_gid)
    done = restore(gateway, path)
    assert done.returncode == 0, done.stderr
    files = {p.name: (p.stat().st_uid, p.stat().st_gid, p.stat().st_mode & 0o777) for p in gateway.state.iterdir()}
    assert files == {name: (nobody.pw_uid, nobody.pw_gid, 0o600) for name in ("ledger.db", "ledger.db.lock")}


def test_the_archive_is_a_tar_with_a_manifest(gateway, tmp_path):
    path = tmp_path / "node.tar"
    secret = gateway.create_key("alice")
    assert gateway.chat(secret).status == 200
    manifest = gateway.ctl("backup", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["node.tar"]
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["ledger.db", "manifest.json"]
        database = tar.extractfile("ledger.db").read()
        assert json.load(tar.extractfile("manifest.json")) == manifest
    assert manifest["keys"] == 1 and manifest["usage_events"] == 1 and manifest["schema_version"] >= 3
    assert manifest["files"] == [
        {"name": "ledger.db", "bytes": len(database), "sha256": hashlib.sha256(database).hexdigest()}]
    assert secret.encode() not in path.read_bytes()
    again = gateway.ctl_run("backup", str(path))
    assert again.returncode == 1 and "name another" in again.stderr


def test_a_restore_is_refused_while_a_ledger_runs(gateway, tmp_path):
    path = tmp_path / "node.tar"
    gateway.ctl("backup", str(path))
    done = restore(gateway, path)
    assert done.returncode == 1
    assert "another scribe-ledger uses this database" in done.stderr and "stop it first" in done.stderr
    assert sorted(p.name for p in gateway.state.iterdir() if "rest" in p.name) == []
    gateway.create_key("alice")


def spoiled(path, how):
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    elif how == "no manifest":
        with tarfile.open(path) as tar:
            member = tar.getmember("manifest.json")
        data = data[: member.offset] + bytes(1024)
    elif how == "a bit":
        data[512 + 5000] ^= 1
    elif how == "text":
        data = bytearray(b"this is no archive\n" * 100)
    elif how == "empty":
        data = bytearray()
    return bytes(data)


@pytest.mark.parametrize("how", ["cut", "no manifest", "a bit", "text", "empty"])
def test_what_is_no_whole_backup_changes_nothing(gateway, tmp_path, how):
    path, bad = tmp_path / "node.tar", tmp_path / "bad.tar"
    gateway.create_key("alice")
    gateway.ctl("backup", str(path))
    bad.write_bytes(spoiled(path, how))
    gateway.stop_ledger()
    files = sorted(p.name for p in gateway.state.iterdir())
    database = (gateway.state / "ledger.db").read_bytes()
    done = restore(gateway, bad)
    assert done.returncode == 1 and "no whole backup" in done.stderr, done.stderr
    assert (gateway.state / "ledger.db").read_bytes() == database
    assert sorted(p.name for p in gateway.state.iterdir()) == files
    gateway.start_ledger()


def test_a_newer_backup_says_which_version_made_it(gateway, tmp_path):
    path, newer = tmp_path / "node.tar", tmp_path / "newer.tar"
    gateway.ctl("backup", str(path))
    with tarfile.open(path) as tar, tarfile.open(newer, "w", format=tarfile.USTAR_FORMAT) as out:
        out.addfile(tar.getmember("ledger.db"), tar.extractfile("ledger.db"))
        text = json.dumps({**json.load(tar.extractfile("manifest.json")), "schema_version": 999, "version": "9.9"}).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        out.addfile(info, io.BytesIO(text))
    gateway.stop_ledger()
    done = restore(gateway, newer)
    assert done.returncode == 1 and "made by version 9.9" in done.stderr and "schema 999" in done.stderr
    gateway.start_ledger()


def test_without_a_ledger_there_is_no_backup(tmp_path):
    with Gateway(ledger="none") as gateway:
        done = gateway.ctl_run("backup", str(tmp_path / "node.tar"))
        assert done.returncode == 3 and "cannot reach the ledger" in done.stderr
        assert os.listdir(tmp_path) == []


# ---- PostgreSQL


@pytest.fixture
def postgres():
    with Postgres() as server:
        server.prepare()
        yield server


def test_a_postgresql_that_was_destroyed_comes_back(postgres, tmp_path):
    path = tmp_path / "fleet.tar"
    config = f"[ledger]\ndatabase = {postgres.url('scribe_owner')}\n"
    with Gateway(ledger="own", config=config) as gateway:
        before, load = backed_up_under_load(gateway, path)
        wait_for(lambda: len(load.answered) > len(before) + 50, what="load behind the backup")
        running = restore(gateway, path)
        assert running.returncode == 1 and "stop it on every node first" in running.stderr
        load.stop()
        gateway.stop()
        shutil.rmtree(gateway.state)
        gateway.state.mkdir(mode=0o755)
        postgres.sql("TRUNCATE scribe.usage, scribe.usage_hour, scribe.journal_ring; DROP TABLE scribe.audit", "scribe")
        done = restore(gateway, path)
        assert done.returncode == 0, done.stderr
        gateway.start()
        counts = counted(gateway)
        assert set(before) <= set(counts)
        assert max(counts.values()) == 1
        wait_for(lambda: gateway.chat(gateway.keys["alice"]).status == 200, 5, "a key that works")
        # What was there before stays, under another name; and is in nobody's way but the next restore's.
        assert postgres.sql("SELECT count(*) FROM scribe_before_restore.api_key", "scribe").strip() == "1"
        gateway.stop()
        again = restore(gateway, path)
        assert again.returncode == 1 and "scribe_before_restore" in again.stderr


def test_a_restore_that_fails_leaves_the_schema_as_it_was(postgres, tmp_path):
    path = tmp_path / "fleet.tar"
    config = f"[ledger]\ndatabase = {postgres.url('scribe_owner')}\n"
    with Gateway(ledger="own", config=config) as gateway:
        gateway.create_key("alice")
        gateway.ctl("backup", str(path))
        gateway.stop()
        elsewhere = Postgres()
        with elsewhere:
            elsewhere.sql("CREATE ROLE scribe_owner LOGIN SUPERUSER")
            elsewhere.sql("CREATE DATABASE scribe OWNER scribe_owner")
            gateway.write_config(gateway.main_text.replace(postgres.url("scribe_owner"), elsewhere.url("scribe_owner")))
            elsewhere.sql("CREATE SCHEMA scribe; CREATE TABLE scribe.mine (x int)", "scribe")
            done = restore(gateway, path)  # there are no roles to grant anything to
            assert done.returncode == 1 and "scribe_ledger" in done.stderr, done.stderr
            assert elsewhere.sql("SELECT count(*) FROM scribe.mine", "scribe").strip() == "0"


# ---- pruning


def age(gateway, days):
    """All events of the stopped ledger are made older."""
    db = sqlite3.connect(gateway.state / "ledger.db")
    usec = days * 86400 * 1000000
    with db:
        db.execute("UPDATE usage SET start_wall_usec = start_wall_usec - ?", (usec,))
        db.execute("UPDATE usage_hour SET hour = hour - ?, first_wall_usec = first_wall_usec - ?,"
                   " last_wall_usec = last_wall_usec - ?", (days * 24, usec, usec))
    db.close()


def test_old_events_are_pruned_and_their_sums_stay(gateway):
    secret = gateway.create_key("alice")
    old = [gateway.chat(secret).header("x-request-id") for _ in range(3)]
    wait_for(lambda: len(gateway.usage()) == 3, what="the events")
    gateway.stop_ledger()
    age(gateway, 100)
    gateway.start_ledger()
    new = gateway.chat(secret).header("x-request-id")
    gateway.event(new)
    refused = gateway.ctl_run("usage", "prune", "--before", "30d")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert len(gateway.usage()) == 4
    assert gateway.ctl("usage", "prune", "--before", "30d", "--yes") == {"events": 3}
    assert [event["request_id"] for event in gateway.usage()] == [new] and new not in old
    assert gateway.ctl("usage")["rows"][0]["requests"] == 4
    wait_for(lambda: gateway.ledger("GetStatus")["usage_events"] == 1, 30, "a new count")
    assert gateway.ctl("usage", "prune", "--before", "30d", "--yes") == {"events": 0}
    db = sqlite3.connect(gateway.state / "ledger.db")
    entries = db.execute("SELECT verb, subject, uid, before, after FROM audit").fetchall()
    db.close()
    assert [entry[:4] for entry in entries if entry[0] == "PruneUsage"] == [("PruneUsage", "usage:events", os.geteuid(), "")]
    assert abs(json.loads(entries[-1][4])["before_wall_usec"] / 1e6 - (time.time() - 30 * 86400)) < 60


@pytest.mark.parametrize("arguments, text", [
    ([], "needs --before"),
    (["--before", "soon"], "--before takes"),
])
def test_prune_says_what_to_write(gateway, arguments, text):
    done = gateway.ctl_run("usage", "prune", *arguments)
    assert done.returncode == 2 and text in done.stderr


def test_nothing_of_the_future_is_pruned(gateway):
    done = gateway.ctl_run("usage", "prune", "--before", "2999-01-01", "--yes")
    assert done.returncode == 1 and "a time that has been" in done.stderr
