"""The database is away, or does not take what it is given: clients do not notice, everybody else is told, and it mends itself.

Under load: known keys keep working, the ledger answers at once and says what is wrong, unknown keys get 503 for as long as nobody
can know them, and afterwards each answered exchange has exactly one event.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest

from fleet import Relay
from gateway import SLOWNESS, Gateway, wait_for
from postgres import Postgres
from test_04_keys import status_of, wait_status, well_formed_key
from varlink import VarlinkError
from wire import Closed

LARGE = {"large.conf": "[journal]\nsize = 16M\n"}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


class Load:
    """Threads that ask without pause until the end; ids of answers, and what was refused."""

    def __init__(self, gateway, key, n=4):
        self.gateway, self.key = gateway, key
        self.whole, self.refused, self.broken = [], [], []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        with contextlib.ExitStack() as stack:
            wire = stack.enter_context(self.gateway.connect())
            while not self.over.is_set():
                try:
                    answer = self.gateway.chat(self.key, wire=wire)
                except (OSError, Closed) as e:
                    with self.lock:
                        self.broken.append(repr(e))
                    return
                with self.lock:
                    if answer.status == 200:
                        self.whole.append(answer.request_id)
                    else:
                        self.refused.append((answer.status, answer.json()["error"].get("code")))
                self.over.wait(0.01)  # so that the rings last as long as the outage

    def wait_more(self, n=50):
        """So many answers after now."""
        end = len(self.whole) + n
        wait_for(lambda: len(self.whole) >= end or self.broken, 20, f"{n} more answers")

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert self.broken == []


def status(gateway):
    """At once, whatever the database does."""
    start = time.monotonic()
    found = gateway.ledger("GetStatus")
    assert time.monotonic() - start < 1 * SLOWNESS
    return found


def wait_status_of(gateway, what, condition, timeout=40):
    return wait_for(lambda: (s := status(gateway)) and condition(s) and s, timeout, what, pause=0.05)


def check_books(gateway, load):
    """Each answered exchange has exactly one event."""
    load.stop()
    wait_status_of(gateway, "the journal to be drained", lambda s: s["state"] == "ok" and s["records_waiting"] == 0, 60)
    events = [event["request_id"] for event in gateway.usage(key="known")]
    assert len(events) == len(set(events)), "an exchange has two events"
    assert set(load.whole) <= set(events), f"{len(set(load.whole) - set(events))} of {len(load.whole)} exchanges have no event"


def refused(gateway, method, **parameters):
    with pytest.raises(VarlinkError) as caught:
        gateway.ledger(method, **parameters)
    assert caught.value.name.endswith((".DatabaseFailed", ".Busy")), caught.value
    return caught.value.parameters["message"]


# ---- PostgreSQL


@pytest.fixture(scope="module")
def server():
    with Postgres() as postgres:
        postgres.prepare()
        yield postgres


@pytest.fixture
def database(server):
    """A database of the test's own: what it does to the server must not trouble the next."""
    name = f"outage_{os.urandom(4).hex()}"
    server.sql(f"CREATE DATABASE {name} OWNER scribe_owner")
    yield name
    with contextlib.suppress(AssertionError):
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def config_of(server, database, port=None):
    url = f"postgresql://scribe_owner@127.0.0.1:{port or server.port}/{database}"
    return f"[ledger]\ndatabase = {url}\n"


@contextlib.contextmanager
def paused(server, relay):
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextlib.contextmanager
def killed(server, relay):
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def refusing(server, relay):
    relay.refuse()
    try:
        yield
    finally:
        relay.heal()


@contextlib.contextmanager
def half_open(server, relay):
    relay.hold()
    try:
        yield
    finally:
        relay.heal()


@pytest.mark.seconds(180)
@pytest.mark.parametrize("fault", [paused, killed, refusing, half_open], ids=lambda fault: fault.__name__)
def test_the_server_is_away(server, database, fault):
    relay = Relay(server.port)
    with Gateway(config=config_of(server, database, relay.port), ledger="own", dropins=LARGE) as gateway:
        known = gateway.create_key("known")
        assert wait_status_of(gateway, "the database", lambda s: s["state"] == "ok")["database_state"] == "up"
        load = Load(gateway, known)
        load.wait_more()
        with fault(server, relay):
            found = wait_status_of(gateway, "the outage to be told", lambda s: s["state"] == "degraded")
            assert found["last_error"]
            load.wait_more()
            assert status_of(gateway, known) == 200
            # Another ledger might have made it a moment ago, and this one cannot ask.
            wait_status(gateway, well_formed_key(), 503, seconds=40)
            assert "Nothing was changed" in (said := refused(gateway, "CreateKey", name="meanwhile")) or "not known" in said
            assert status_of(gateway, known) == 200
            found = wait_status_of(gateway, "what waits", lambda s: s["records_waiting"] > 100)
            assert found["database_state"] == "down" and found["database_since_wall_usec"] > found["start_wall_usec"]
            said = gateway.ctl("status", as_json=False)
            assert "records waiting" in said and "the database does not serve since" in said
            load.wait_more()
        back = time.monotonic()
        wait_status_of(gateway, "the database", lambda s: s["database_state"] == "up")
        wait_status(gateway, well_formed_key(), 401, seconds=15)
        assert time.monotonic() - back < 25 * SLOWNESS
        again = gateway.create_key("afterwards")
        assert status_of(gateway, again) == 200
        load.wait_more()
        assert load.refused == []
        check_books(gateway, load)
        assert gateway.told().count("usage cannot be stored") >= 1 and "usage is stored again" in gateway.told()
    relay.close()


@pytest.mark.seconds(120)
def test_the_server_is_restarted_again_and_again(server, database):
    with Gateway(config=config_of(server, database), ledger="own", dropins=LARGE) as gateway:
        load = Load(gateway, gateway.create_key("known"))
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGINT):
            load.wait_more(100)
            server.restart(how)
        load.wait_more(100)
        check_books(gateway, load)
        assert load.refused == []


@pytest.mark.seconds(120)
def test_a_slow_way_to_the_server_is_only_slow(server, database):
    relay = Relay(server.port)
    with Gateway(config=config_of(server, database, relay.port), ledger="own", dropins=LARGE) as gateway:
        known = gateway.create_key("known")
        load = Load(gateway, known)
        relay.slow(0.15)
        load.wait_more(500)
        assert status(gateway)["database_state"] == "up"
        # Pages, jobs of others and the drain go on side by side; a change takes its round trips.
        start = time.monotonic()
        gateway.ledger("CreateKey", name="slowly")
        assert time.monotonic() - start < 10 * SLOWNESS
        assert status_of(gateway, well_formed_key()) == 401
        relay.heal()
        check_books(gateway, load)
        assert load.refused == []
    relay.close()


@pytest.mark.seconds(120)
def test_a_server_that_takes_no_writes(server, database):
    with Gateway(config=config_of(server, database), ledger="own", dropins=LARGE) as gateway:
        known = gateway.create_key("known")
        load = Load(gateway, known)
        load.wait_more()
        server.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        found = wait_status_of(gateway, "it to be told", lambda s: "takes no writes" in s.get("last_error", ""))
        assert found["state"] == "degraded"
        assert "takes no writes" in refused(gateway, "CreateKey", name="meanwhile")
        load.wait_more()
        server.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        check_books(gateway, load)
        assert load.refused == []


@needs_root
@pytest.mark.seconds(120)
def test_the_servers_disk_is_full(server):
    server.small_tablespace("32m")
    name = f"outage_{os.urandom(4).hex()}"
    server.sql(f"CREATE DATABASE {name} OWNER scribe_owner TABLESPACE small")
    with Gateway(config=config_of(server, name), ledger="own", dropins=LARGE) as gateway:
        known = gateway.create_key("known")
        load = Load(gateway, known)
        load.wait_more()
        server.fill()
        found = wait_status_of(gateway, "it to be told", lambda s: "full" in s.get("last_error", ""), 60)
        assert found["state"] == "degraded"
        load.wait_more()
        # What only reads goes on: nobody else's keys are unknown.
        assert status_of(gateway, well_formed_key()) == 401
        server.free()
        check_books(gateway, load)
        assert load.refused == []
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.seconds(180)
def test_a_standby_takes_over(record_property):
    """Synchronous replication: what was committed is on both, so that nothing may be lost, and nothing counted twice."""
    with Postgres(options="wal_level = replica\nmax_wal_senders = 4\n") as primary:
        primary.prepare()
        with primary.standby() as standby:
            primary.write_settings("synchronous_standby_names = '*'\nsynchronous_commit = remote_apply\n")
            primary.reload()
            wait_for(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1", 30, "the standby")
            relay = Relay(primary.port)
            with Gateway(config=config_of(primary, "scribe", relay.port), ledger="own", dropins=LARGE) as gateway:
                load = Load(gateway, gateway.create_key("known"))
                load.wait_more(200)
                primary.kill()
                wait_status_of(gateway, "the outage to be told", lambda s: s["state"] == "degraded")
                load.wait_more(100)
                standby.write_settings("synchronous_standby_names = ''\n")
                standby.reload()
                standby.promote()
                start = time.monotonic()
                relay.to_port = standby.port
                wait_status_of(gateway, "the standby to be found", lambda s: s["state"] == "ok")
                record_property("figure", f"found {time.monotonic() - start:.1f} s after it was promoted")
                assert status_of(gateway, gateway.create_key("afterwards")) == 200
                check_books(gateway, load)
                assert load.refused == []
            relay.close()


@pytest.mark.seconds(120)
def test_the_ledger_starts_without_its_database(server, database):
    """Killed in the outage, started in the outage: it serves its socket, says what is missing, and begins when it comes."""
    relay = Relay(server.port)
    with Gateway(config=config_of(server, database, relay.port), ledger="own", dropins=LARGE) as gateway:
        known = gateway.create_key("known")
        load = Load(gateway, known)
        load.wait_more()
        relay.refuse()
        load.wait_more()
        gateway.stop_ledger(signal.SIGKILL)
        load.wait_more()
        gateway.start_ledger()
        _, told = gateway.ledger_notices.wait(READY="1")
        assert "does not serve" in told["STATUS"] and "usage waits in the journal" in told["STATUS"]
        found = wait_status_of(gateway, "what waits", lambda s: s["records_waiting"] > 0)
        assert found["database_state"] == "down" and found["last_error"] and found["usage_events"] == 0
        # It has no picture to give: gateways keep theirs.
        assert status_of(gateway, known) == 200
        wait_status(gateway, well_formed_key(), 503, seconds=20)
        relay.heal()
        wait_status(gateway, well_formed_key(), 401, seconds=20)
        gateway.ledger_notices.wait(STATUS="Draining the journal")
        check_books(gateway, load)
        assert load.refused == []
    relay.close()


@pytest.mark.seconds(60)
def test_two_ledgers_of_one_database_tell_each_other(server, database, record_property):
    with Gateway(config=config_of(server, database), ledger="own") as a, Gateway(config=config_of(server, database), ledger="own") as b:
        waits = []
        for each in (a, b):
            wait_status_of(each, "the database", lambda s: s["state"] == "ok" and s["watchers"] == 1)
        for maker, other in ((a, b), (b, a)):
            name = f"of-{maker.port}"
            secret = maker.create_key(name)
            start = time.monotonic()
            wait_status(other, secret, 200, seconds=8)
            waits.append(time.monotonic() - start)
            other.ledger("RevokeKey", name=name)
            start = time.monotonic()
            wait_status(maker, secret, 401, seconds=8)
            waits.append(time.monotonic() - start)
        record_property("figure", f"a change of another ledger was in force after {min(waits):.2f} to {max(waits):.2f} s")
        assert max(waits) < 1 * SLOWNESS
        assert {key["name"] for key in a.ledger("ListKeys", include_revoked=True)["keys"]} == {f"of-{a.port}", f"of-{b.port}"}


@pytest.mark.seconds(60)
def test_a_change_without_a_word_is_found_by_asking(server, database):
    """What another ledger did, and whose word did not come through."""
    with Gateway(config=config_of(server, database), ledger="own") as gateway:
        secret = gateway.create_key("elsewhere")
        wait_status(gateway, secret, 200)
        server.sql("WITH v AS (UPDATE scribe.counter SET value = value + 1 WHERE name = 'key_version' RETURNING value)"
                   " UPDATE scribe.api_key SET revoked_wall_usec = 1, version = v.value FROM v WHERE name = 'elsewhere'", database)
        start = time.monotonic()
        wait_status(gateway, secret, 401, seconds=8)
        assert time.monotonic() - start < 6 * SLOWNESS


# ---- SQLite, and the disk of the state directory


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "scribe-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


def fill(path):
    room = os.statvfs(path)
    with open(path / "ballast", "ab") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, max(room.f_bavail * room.f_frsize, 1))


@needs_root
@pytest.mark.seconds(120)
@pytest.mark.parametrize("when_full", ["refuse", "count"])
def test_the_state_directory_is_full(when_full):
    """Rings have their blocks, so that usage goes on until they are full; the picture and SQLite need new ones."""
    gateway = Gateway(ledger="own", workers=1, start=False, journal=f"when_full = {when_full}\n")
    gateway.write_config(gateway.main_text.replace("size = 1M", "size = 64K"))
    with small_disk(gateway.state, "16m") as disk, gateway:
        gateway.start()
        known = gateway.create_key("known")
        with gateway.connect() as wire:
            before = [gateway.chat(known, wire=wire).request_id for _ in range(20)]
        wait_status_of(gateway, "an empty journal", lambda s: s["records_waiting"] == 0)
        fill(disk)
        answered, last = [], None
        with gateway.connect() as wire:
            for _ in range(3000):
                last = gateway.chat(known, wire=wire)
                if last.status != 200 or (when_full == "count" and len(answered) >= 1000):
                    break
                answered.append(last.request_id)
        if when_full == "refuse":
            assert last.status == 503 and last.json()["error"]["code"] == "journal_full"
        else:
            assert last.status == 200
        found = wait_status_of(gateway, "it to be told", lambda s: "disk is full" in s.get("last_error", ""))
        assert found["state"] == "degraded" and found["records_waiting"] > 0 and found["failing_since_wall_usec"] > 0
        assert "disk is full" in refused(gateway, "CreateKey", name="meanwhile")
        assert "cannot be stored" in gateway.told()
        (disk / "ballast").unlink()
        wait_status_of(gateway, "all to be stored", lambda s: s["state"] == "ok" and s["records_waiting"] == 0)
        assert status_of(gateway, gateway.create_key("afterwards")) == 200
        events = [event["request_id"] for event in gateway.usage(key="known")]
        assert len(events) == len(set(events)) and set(before) <= set(events)
        uncounted = set(answered) - set(events)
        if when_full == "refuse":
            assert not uncounted
        else:
            counted = gateway.control("GetStatus")["counters"]["unrecorded"]
            assert len(uncounted) <= counted, "exchanges without a record are counted"


@needs_root
@pytest.mark.seconds(90)
def test_the_databases_disk_is_read_only():
    """As after a repair that found too much. The kernel does not let a disk become so under files that are open for writing."""
    gateway = Gateway(ledger="own", start=False, dropins=LARGE)
    disk = gateway.directory / "disk"
    gateway.write_config(gateway.main_text + f"[ledger]\ndatabase = sqlite:{disk}/ledger.db\n")
    with small_disk(disk, "64m"), gateway:
        gateway.start()
        known = gateway.create_key("known")
        load = Load(gateway, known)
        load.wait_more()
        gateway.stop_ledger()
        remount(disk, "ro")
        gateway.start_ledger()
        _, told = gateway.ledger_notices.wait(READY="1")
        assert "Read-only file system" in told["STATUS"]
        assert wait_status_of(gateway, "it to be told", lambda s: s["state"] == "degraded")["database_state"] == "down"
        refused(gateway, "CreateKey", name="meanwhile")
        load.wait_more()
        wait_status(gateway, well_formed_key(), 503, seconds=10)
        remount(disk, "rw")
        wait_status(gateway, well_formed_key(), 401, seconds=20)
        check_books(gateway, load)
        assert status_of(gateway, gateway.create_key("afterwards")) == 200
        assert load.refused == []


def remount(disk, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)
