"""The ledger on PostgreSQL: roles, TLS, and a server that is away for a while. Nothing is lost, nothing is double."""

import os
import subprocess
import time

import pytest

from authority import Authority
from gateway import LEDGER, SLOWNESS, Gateway, wait_for
from postgres import Postgres, postgres_bin
from varlink import VarlinkError

pytestmark = pytest.mark.skipif(not postgres_bin(), reason="there is no PostgreSQL (Debian: postgresql)")


def ledger_on(url, more=""):
    return {"50-database.conf": f"[ledger]\ndatabase = {url}\n{more}"}


def migrate(gateway, url, password=None):
    """As an administrator does, with the service's own configuration."""
    env = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    return subprocess.run([str(LEDGER), "--config", str(gateway.config), "--migrate", url], env=env, text=True, capture_output=True,
                          timeout=60 * SLOWNESS, check=False)


def check(gateway):
    return subprocess.run([str(LEDGER), "--config", str(gateway.config), "--check"], text=True, capture_output=True,
                          timeout=60 * SLOWNESS, check=False)


@pytest.fixture(scope="module")
def server():
    with Postgres() as postgres:
        postgres.prepare()
        with Gateway(start=False) as gateway:
            assert migrate(gateway, postgres.url("scribe_owner")).returncode == 0
        yield postgres


def counted(postgres, request_ids):
    """How many events each of these exchanges has, as the database says."""
    rows = postgres.sql("SELECT request_id, count(*) FROM scribe.usage GROUP BY 1", "scribe").split("\n")
    found = dict(row.split("|") for row in rows if row)
    return [int(found.get(request_id, 0)) for request_id in request_ids]


def creates_again(gateway, name):
    """The verbs' own connection is tried again every second or so: it need not be back when the drain's is."""
    def create():
        try:
            return gateway.create_key(name)
        except VarlinkError as failed:
            assert failed.name.endswith("DatabaseFailed"), failed
            return None
    return wait_for(create, 60, "keys to be made again", pause=0.1)


def test_an_exchange_is_metered_as_the_service_s_role(server):
    with Gateway(dropins=ledger_on(server.url())) as gateway:
        key = gateway.create_key("alice")
        answer = gateway.chat(key)
        assert answer.status == 200
        assert gateway.event(answer.request_id)["outcome"] == "complete"
        assert counted(server, [answer.request_id]) == [1]
        assert server.sql("SELECT outcome, key_name FROM scribe.usage_event ORDER BY id DESC LIMIT 1", "scribe", "scribe_reader") == \
            "complete|alice"


def test_a_key_made_at_one_node_is_known_at_the_other_within_a_second(server):
    with Gateway(dropins=ledger_on(server.url())) as one, Gateway(dropins=ledger_on(server.url())) as other:
        warm = one.create_key("warm")
        wait_for(lambda: other.chat(warm).status == 200, 20, "the other node to follow")
        took = []
        for n in range(5):
            key = one.create_key(f"pushed-{n}")
            began = time.monotonic()
            wait_for(lambda: other.chat(key).status == 200, 10, "the other node to know the key")
            took.append(time.monotonic() - began)
        assert max(took) < SLOWNESS, took
        one.ctl("key", "revoke", "pushed-0")
        wait_for(lambda: other.chat(one.keys["pushed-0"]).status == 401, SLOWNESS, "the other node to refuse it")


@pytest.mark.parametrize("how", ["paused", "killed", "stopped"])
def test_an_outage_costs_nothing(server, how):
    with Gateway(dropins=ledger_on(server.url())) as gateway:
        key = gateway.create_key(f"outage-{how}")
        answers = [gateway.chat(key) for _ in range(20)]
        {"paused": server.pause, "killed": server.kill, "stopped": server.stop}[how]()
        answers += [gateway.chat(key) for _ in range(20)]
        assert {answer.status for answer in answers} == {200}, "known keys go on"
        {"paused": server.resume, "killed": server.start, "stopped": server.start}[how]()
        ids = [answer.request_id for answer in answers]
        wait_for(lambda: counted(server, ids) == [1] * len(ids), 90, "each exchange to have its event")
        creates_again(gateway, f"after-{how}")


def test_another_server_takes_over(tmp_path):
    """The first is killed and the standby promoted; both are named."""
    with Postgres() as first:
        first.prepare()
        with first.standby() as second:
            both = f"postgresql://scribe_owner@127.0.0.1:{first.port},127.0.0.1:{second.port}/scribe"
            with Gateway(dropins=ledger_on(both)) as gateway:
                key = gateway.create_key("alice")
                answers = [gateway.chat(key) for _ in range(10)]
                wait_for(lambda: counted(first, [answer.request_id for answer in answers]) == [1] * 10, 30, "the events")
                wait_for(lambda: first.sql("SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication") == "t", 30,
                         "the standby to have all")
                first.kill()
                answers += [gateway.chat(key) for _ in range(10)]
                second.promote()
                ids = [answer.request_id for answer in answers]
                wait_for(lambda: counted(second, ids) == [1] * len(ids), 90, "each exchange to have its event")
                creates_again(gateway, "bob")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_passes():
    with Postgres() as postgres:
        postgres.prepare()
        postgres.small_tablespace("96m")
        postgres.sql("ALTER DATABASE scribe SET TABLESPACE small")
        with Gateway(dropins=ledger_on(postgres.url("scribe_owner"))) as gateway:
            key = gateway.create_key("alice")
            postgres.fill()
            answers = [gateway.chat(key, content="x" * 2000) for _ in range(3)]
            pad = "INSERT INTO scribe.counter SELECT repeat('x', 900) || n, 0 FROM generate_series(1, 100000) n"
            with pytest.raises(AssertionError):
                postgres.sql(pad, "scribe", "scribe_owner")
            wait_for(lambda: "is full" in gateway.ctl_run("status").stdout or gateway.ctl_run("key", "create", "bob").returncode, 60,
                     "the disk to be full for the ledger, too")
            postgres.free()
            ids = [answer.request_id for answer in answers]
            wait_for(lambda: counted(postgres, ids) == [1] * len(ids), 90, "each exchange to have its event")


# ---- TLS

@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def test_tls_with_certificates_of_both_sides(authority, tmp_path):
    certificate, key = authority.issue_files("server", "DNS:localhost")
    shown, shown_key = authority.issue_files("scribe_ledger", "DNS:client", purpose="clientAuth")
    os.chmod(shown_key, 0o600)
    other = Authority(tmp_path / "other", "Another CA")
    hba = ("hostssl scribe scribe_ledger 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n"
           "hostssl scribe scribe_owner 127.0.0.1/32 scram-sha-256")
    with Postgres(tls=(certificate, key, authority.certificate), hba=hba) as postgres:
        postgres.prepare(passwords={"scribe_ledger": "ledger-password-5", "scribe_owner": "owner-password-6"})
        url = f"postgresql://scribe_ledger@localhost:{postgres.port}/scribe?sslmode=verify-full"
        password = tmp_path / "password"
        password.write_text("ledger-password-5\n")
        password.chmod(0o600)
        files = f"tls_certificate = file:{shown}\ntls_key = file:{shown_key}\n"
        right = f"password = file:{password}\nca_file = {authority.certificate}\n{files}"
        with Gateway(dropins=ledger_on(url, right), start=False) as gateway:
            assert "no schema yet" in check(gateway).stderr
            owner = url.replace("scribe_ledger", "scribe_owner")
            assert "password is wrong" in migrate(gateway, owner, "nonsense").stderr
            done = migrate(gateway, owner, "owner-password-6")
            assert done.returncode == 0, done.stderr
            assert check(gateway).returncode == 0
            gateway.start()
            answer = gateway.chat(gateway.create_key("alice"))
            gateway.event(answer.request_id)
            sessions = "SELECT bool_and(ssl), bool_and(client_dn = '/CN=scribe_ledger'), count(*) >= 3 FROM pg_stat_ssl" \
                       " JOIN pg_stat_activity USING (pid) WHERE usename = 'scribe_ledger'"
            assert postgres.sql(sessions) == "t|t|t"
            for wrong, words in [
                    (right.replace(str(authority.certificate), str(other.certificate)), "not vouched for by [ledger] ca_file"),
                    (f"ca_file = {authority.certificate}\n{files}", "put it into [ledger] password"),
                    (f"password = file:{password}\nca_file = {authority.certificate}\n", "pg_hba.conf")]:
                gateway.write_dropin("50-database.conf", ledger_on(url, wrong)["50-database.conf"])
                assert words in check(gateway).stderr, (words, check(gateway).stderr)
            gateway.write_dropin("50-database.conf", ledger_on(url.replace("localhost", "127.0.0.1"), right)["50-database.conf"])
            assert "has another name" in check(gateway).stderr
            gateway.write_dropin("50-database.conf", ledger_on(url, right)["50-database.conf"])
            for text in (gateway.stderr_path, gateway.ledger_stderr_path, gateway.log_path):
                assert not text.exists() or "ledger-password-5" not in text.read_text()
