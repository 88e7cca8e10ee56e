"""Aggregated health: the gateway, its ledger and its dependencies, asked in the background."""

import json
import re
import shutil
import subprocess
import time

import pytest

from authority import Authority
from gateway import GATEWAY, SLOWNESS, Gateway, free_port, wait_for
from fake import stream_frames
from peers import Peer, Redis, bolt, drips, floods, hang, hang_up, says
from postgres import Postgres, postgres_bin

DOWN, UP = "5f40d8cbce9847fd9dd482dbc8e12d55", "2297cd1f90314a5da6a4145ba2b65c4c"
ALL = "/api/health/all"


def dependency(name, probe, interval="200ms", timeout="2s", **more):
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[dependency "{name}"]\nprobe = {probe}\ninterval = {interval}\ntimeout = {timeout}\n{lines}\n'


def health(gateway, query="", path=ALL):
    answer = gateway.ask("GET", path + query)
    return answer.status, answer.json()


def state(gateway, name):
    return next(d for d in health(gateway)[1]["dependencies"] if d["name"] == name)


def wait_status(gateway, name, status, timeout=20):
    return wait_for(lambda: (found := state(gateway, name))["status"] == status and found, timeout, f"{name} to be {status}")


def seen_by_ctl(gateway, name):
    return next(d for d in gateway.control("GetStatus")["dependencies"] if d["name"] == name)


# ---- the answer

def test_without_dependencies_the_gateway_and_its_ledger_are_told(gateway):
    wait_for(lambda: health(gateway)[1]["status"] == "ok", what="the ledger")
    for path in (ALL, "/api/health/aggregated"):
        answer = gateway.ask("GET", path)
        assert answer.status == 200
        assert answer.header("content-type") == "application/json"
        assert answer.header("cache-control") == "no-store"
        found = answer.json()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("timestamp"))
        assert found.pop("version")
        assert found == {"status": "ok", "service": "gateway", "gateway": {"status": "ok", "state": "serving"},
                         "ledger": {"status": "ok", "keys": "current"}, "services": {}, "dependencies": []}
    assert health(gateway, "?strict=1")[0] == 200


def test_methods_and_neighbours(gateway):
    with gateway.connect() as wire:
        head = wire.ask("HEAD", ALL)
        assert head.status == 200 and head.body == b"" and int(head.header("content-length")) > 50
        assert wire.ask("GET", ALL).status == 200  # the same connection goes on
    assert gateway.ask("POST", ALL, body={}).status == 405
    assert gateway.ask("GET", "/api/health/nothing").status == 404
    assert set(gateway.ask("GET", "/api/health").json()) == {"status", "service", "version", "timestamp"}


@pytest.mark.parametrize("ledger, keys, status", [("none", "empty", "down"), ("own", "stale", "degraded")])
def test_ledger_that_is_gone(ledger, keys, status):
    with Gateway(ledger=ledger) as gateway:
        if ledger == "own":
            wait_for(lambda: health(gateway)[1]["status"] == "ok", what="the ledger")
            gateway.stop_ledger()
        wait_for(lambda: health(gateway)[1]["status"] == status, what=status)
        code, found = health(gateway)
        assert (code, found["ledger"]) == (200, {"status": status, "keys": keys})
        assert health(gateway, "?strict=1")[0] == 503


@pytest.mark.parametrize("required, status", [("yes", "down"), ("no", "degraded")])
def test_required_or_not(required, status):
    with Gateway(config=dependency("gone", f"tcp://127.0.0.1:{free_port()}", required=required)) as gateway:
        wait_status(gateway, "gone", "down")
        for query, code in (("", 200), ("?strict=0", 200), ("?strict=false", 200), ("?strict=no", 200), ("?strict=1", 503),
                            ("?strict", 503), ("?strict=true", 503), ("?a=b&strict=1", 503), ("?strictly=1", 200)):
            found = health(gateway, query)
            assert found[0] == code, query
            assert found[1]["status"] == status
        found = state(gateway, "gone")
        assert found["required"] == (required == "yes") and found["type"] == "tcp" and found["error"] == "refused"
        assert "latency_ms" not in found
        line = gateway.wait_log(message_id=DOWN)
        assert line["SCRIBE_DEPENDENCY"] == "gone" and line["SCRIBE_REASON"] == "refused"
        assert line["level"] == ("err" if required == "yes" else "warning")


# ---- real servers

@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server (Debian: redis-server)")
@pytest.mark.parametrize("options", [(), ("--requirepass", "redis-password-55d1")], ids=["open", "password"])
def test_real_redis(tmp_path, options):
    with Redis(tmp_path, *options) as redis, Gateway(config=dependency("cache", f"redis://localhost:{redis.port}")) as gateway:
        found = wait_status(gateway, "cache", "ok")
        assert 0 < found["latency_ms"] < 2000 and found["type"] == "redis" and "error" not in found
        since = found["since"]
        redis.stop()
        found = wait_status(gateway, "cache", "down")
        assert found["error"] == "refused"
        assert gateway.wait_log(message_id=DOWN)["SCRIBE_DEPENDENCY"] == "cache"
        time.sleep(1.1)  # so that the second in which it changed is another one
        redis.start()
        found = wait_status(gateway, "cache", "ok")
        assert found["since"] > since
        assert gateway.wait_log(message_id=UP)["SCRIBE_DEPENDENCY"] == "cache"
        assert len(gateway.log(message_id=DOWN)) == 1, "once, not at each probe"


needs_postgres = pytest.mark.skipif(not postgres_bin(), reason="there is no PostgreSQL (Debian: postgresql)")


@needs_postgres
@pytest.mark.parametrize("authentication", ["scram-sha-256", "trust", "reject"])
def test_real_postgres(authentication):
    with Postgres(authentication) as postgres:
        postgres.wait_serving()
        with Gateway(config=dependency("db", f"postgres://127.0.0.1:{postgres.port}", interval="100ms")) as gateway:
            found = wait_status(gateway, "db", "ok")
            assert found["type"] == "postgres" and "error" not in found
            checked = seen_by_ctl(gateway, "db")["checked_wall_usec"]
            wait_for(lambda: seen_by_ctl(gateway, "db")["checked_wall_usec"] > checked + 500000, what="five probes more")
            assert "FATAL" not in postgres.log.read_text() or authentication != "scram-sha-256"
            assert "invalid" not in postgres.log.read_text()
            postgres.stop()
            assert wait_status(gateway, "db", "down")["error"] == "refused"


@needs_postgres
def test_real_postgres_that_does_not_serve_is_down():
    """It listens and answers, also an SSLRequest, but takes no session: SQLSTATE 57P03."""
    options = "hot_standby = off\nprimary_conninfo = 'host=127.0.0.1 port=1'\n"
    with Postgres(options=options, signal_file="standby.signal") as postgres, \
            Gateway(config=dependency("db", f"postgres://127.0.0.1:{postgres.port}")) as gateway:
        assert wait_status(gateway, "db", "down")["error"] == "unavailable"
        assert "the database system is" in seen_by_ctl(gateway, "db")["detail"]


# ---- what others do

@pytest.mark.parametrize("scheme, behave, error", [
    ("bolt", bolt, None),
    ("bolt", says(b"\0\0\0\0", 20), None),
    ("bolt", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "garbage"),
    ("bolt", hang_up, "closed"),
    ("redis", says(b"-LOADING Redis is loading the dataset in memory\r\n"), "unavailable"),
    ("redis", says(b"220 mail.example ESMTP\r\n"), "garbage"),
    ("redis", drips, "timeout"),
    ("redis", floods, "garbage"),
    ("redis", hang_up, "closed"),
    ("postgres", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "garbage"),
    ("postgres", hang, "timeout"),
    ("http", says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None),
    ("http", says(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 9999999\r\n\r\n"), None),
    ("http", says(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"), "unavailable"),
    ("http", says(b"HTTP/1.1 200 OK\r\ncontent-le"), "timeout"),
    ("http", says(b"\x16\x03\x01"), "garbage"),
    ("tcp", hang, None),
], ids=lambda v: getattr(v, "__name__", str(v)))
def test_what_stands_at_the_other_end(scheme, behave, error):
    with Peer(behave) as peer, \
            Gateway(config=dependency("it", f"{scheme}://127.0.0.1:{peer.port}", interval="100ms", timeout="500ms")) as gateway:
        if error is None:
            assert "error" not in wait_status(gateway, "it", "ok")
        else:
            assert wait_status(gateway, "it", "down")["error"] == error
            assert str(peer.port) in seen_by_ctl(gateway, "it")["detail"]


def test_http_probe_is_a_plain_request():
    seen = []

    def behave(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(4096)
        seen.append(data)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    with Peer(behave) as peer, Gateway(config=dependency("web", f"http://localhost:{peer.port}/healthz?full=1")) as gateway:
        wait_status(gateway, "web", "ok")
    lines = seen[0].decode().split("\r\n")
    assert lines[0] == "GET /healthz?full=1 HTTP/1.1"
    assert f"host: localhost:{peer.port}" in lines and "connection: close" in lines
    assert not any(line.lower().startswith("authorization") for line in lines)


def test_name_that_is_none():
    with Gateway(config=dependency("web", "tcp://nowhere.invalid:1", timeout="1s")) as gateway:
        assert wait_status(gateway, "web", "down")["error"] in ("unresolved", "timeout")  # a machine without name servers


def test_over_tls(tmp_path):
    authority, stranger = Authority(tmp_path / "one"), Authority(tmp_path / "other", "Other CA")
    context = authority.issue("localhost", "DNS:localhost")
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    with Peer(says(ok), context) as web, Peer(bolt, context) as graph, Peer(says(b"+PONG\r\n"), context) as cache, \
            Peer(hang) as mute:
        config = (dependency("web", f"https://localhost:{web.port}", ca_file=authority.certificate)
                  + dependency("graph", f"bolt+s://localhost:{graph.port}", ca_file=authority.certificate)
                  + dependency("cache", f"rediss://localhost:{cache.port}", ca_file=authority.certificate)
                  + dependency("strange", f"https://localhost:{web.port}", ca_file=stranger.certificate)
                  + dependency("system", f"https://localhost:{web.port}")
                  + dependency("named", f"https://127.0.0.1:{web.port}", ca_file=authority.certificate)
                  + dependency("mute", f"https://localhost:{mute.port}", ca_file=authority.certificate, timeout="500ms"))
        with Gateway(config=config) as gateway:
            for name in ("web", "graph", "cache"):
                wait_status(gateway, name, "ok")
            for name in ("strange", "system", "named"):
                assert wait_status(gateway, name, "down")["error"] == "tls", name
            assert wait_status(gateway, "mute", "down")["error"] == "timeout"
            assert "not connected and secured" in seen_by_ctl(gateway, "mute")["detail"]


# ---- side by side, and beside everything else

@pytest.mark.parametrize("n", [5, 50])
def test_hanging_probes_take_one_timeout_together(n):
    timeout = 1.0 * SLOWNESS
    with Peer(hang) as peer:
        config = "".join(dependency(f"d{i}", f"redis://127.0.0.1:{peer.port}", timeout=f"{int(timeout * 1000)}ms", interval="1h")
                         for i in range(n))
        with Gateway(config=config, start=False) as gateway:
            begun = time.monotonic()
            gateway.start()
            slowest = 0
            while True:
                at = time.monotonic()
                found = health(gateway)[1]["dependencies"]
                slowest = max(slowest, time.monotonic() - at)
                if all("checked" in d for d in found):
                    break
                time.sleep(0.01)
            took = time.monotonic() - begun
            assert all(d["error"] == "timeout" for d in found)
            assert timeout <= took < 2 * timeout, f"{n} probes took {took:.2f} s"
            assert slowest < timeout / 4, "who asks for health waits for no probe"
            wait_for(lambda: all(d["status"] == "down" for d in health(gateway)[1]["dependencies"]), 20, "the confirmation")


def test_nothing_is_left_behind():
    with Peer(bolt) as good, Peer(hang) as bad:
        config = dependency("good", f"bolt://127.0.0.1:{good.port}", interval="100ms") \
            + dependency("bad", f"bolt://127.0.0.1:{bad.port}", interval="100ms", timeout="50ms")
        with Gateway(config=config) as gateway:
            wait_status(gateway, "bad", "down")
            before = gateway.n_descriptors()
            since = good.n_connections
            wait_for(lambda: good.n_connections >= since + 20, 30, "twenty probes")
            assert gateway.n_descriptors() <= before + 4
            assert len(gateway.log(message_id=DOWN)) == 1


def test_flapping_does_not_flood_the_log():
    turn = [0]

    def behave(connection):
        turn[0] += 1
        if turn[0] % 3 == 0:
            bolt(connection)
    with Peer(behave) as peer, Gateway(config=dependency("flap", f"bolt://127.0.0.1:{peer.port}", interval="100ms")) as gateway:
        wait_for(lambda: turn[0] > 40, 60, "forty probes")
        assert 2 <= len(gateway.log(message_id=DOWN)) + len(gateway.log(message_id=UP)) <= 6


# ---- who may see what

def test_everybody_sees_states_and_only_scribectl_sees_addresses():
    with Peer(says(b"-ERR secret-word-91ab of the server\r\n")) as peer:
        with Gateway(config=dependency("cache", f"redis://127.0.0.1:{peer.port}", required="yes")) as gateway:
            key = gateway.create_key("alice")
            wait_status(gateway, "cache", "down")
            for headers in ({}, {"Authorization": f"Bearer {key}"}):
                text = gateway.ask("GET", ALL, headers).body.decode()
                for hidden in ("127.0.0.1", str(peer.port), "redis://", "secret-word-91ab"):
                    assert hidden not in text
            found = seen_by_ctl(gateway, "cache")
            assert found["probe"] == f"redis://127.0.0.1:{peer.port}"
            assert found["detail"] == f"127.0.0.1:{peer.port}: it says: ERR secret-word-91ab of the server"
            assert (found["status"], found["required"], found["error"]) == ("down", True, "unavailable")
            assert found["n_failures"] >= 2 and found["checked_wall_usec"] >= found["since_wall_usec"] > 0
            text = gateway.ctl("status", as_json=False)
            assert re.search(rf"^  depends on cache: down \(required\), since .*: unavailable: 127\.0\.0\.1:{peer.port}: it says",
                             text, re.MULTILINE), text
            assert gateway.ctl("status")["dependencies"][0]["name"] == "cache"


def test_variables_of_containers_are_probes_without_their_passwords():
    with Peer(bolt) as graph, Peer(says(b"+PONG\r\n")) as cache:
        env = {"NEO4J_URI": f"neo4j://neo4j:graph-password-3c@127.0.0.1:{graph.port}/db", "REDIS_HOST": "127.0.0.1",
               "REDIS_PORT": f"tcp://127.0.0.1:{cache.port}", "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(free_port()),
               "POSTGRES_PASSWORD": "db-password-77"}
        with Gateway(env=env, log_level="debug") as gateway:
            gateway.secrets += ["graph-password-3c", "db-password-77"]  # in no log at the end
            wait_status(gateway, "neo4j", "ok")
            wait_status(gateway, "redis", "ok")
            wait_status(gateway, "postgres", "down")
            assert health(gateway)[1]["status"] == "degraded"
            text = gateway.ctl("config", "show", as_json=False)
            assert f"probe = bolt://127.0.0.1:{graph.port}  # environment variable NEO4J_URI" in text
            assert "password" not in text and "password" not in json.dumps(gateway.control("GetStatus"))


# ---- reload, drain

def test_reload_changes_the_set_as_a_whole_or_not_at_all():
    with Peer(bolt) as graph, Peer(says(b"+PONG\r\n")) as cache:
        graph_text = dependency("graph", f"bolt://127.0.0.1:{graph.port}", interval="1h")
        with Gateway(dropins={"50-it.conf": graph_text}) as gateway:
            since = wait_status(gateway, "graph", "ok") and seen_by_ctl(gateway, "graph")["since_wall_usec"]
            gateway.write_dropin("50-it.conf", graph_text + dependency("cache", f"redis://127.0.0.1:{cache.port}"))
            gateway.ctl("reload")
            assert state(gateway, "graph")["status"] == "ok"  # known already
            assert seen_by_ctl(gateway, "graph")["since_wall_usec"] == since
            wait_status(gateway, "cache", "ok")

            gateway.write_dropin("50-it.conf", dependency("web", "https://127.0.0.1:1", ca_file="/nowhere.pem"))
            done = gateway.ctl_run("reload")
            assert done.returncode and "/nowhere.pem" in done.stderr
            assert gateway.ctl_run("config", "check").returncode
            checked = subprocess.run([GATEWAY, "--config", gateway.config, "--check"], env=gateway.environment(),
                                     capture_output=True, text=True)
            assert checked.returncode == 78 and "/nowhere.pem" in checked.stderr
            assert [d["name"] for d in health(gateway)[1]["dependencies"]] == ["graph", "cache"]
            checked_at = seen_by_ctl(gateway, "cache")["checked_wall_usec"]
            wait_for(lambda: seen_by_ctl(gateway, "cache")["checked_wall_usec"] > checked_at, what="a probe after the refusal")

            gateway.write_dropin("50-it.conf", "")
            gateway.ctl("reload")
            assert health(gateway)[1]["dependencies"] == []
            since = cache.n_connections
            time.sleep(0.5)  # more than two intervals
            assert cache.n_connections == since


def test_drain_ends_the_probing(fake):
    def held(x):
        x.start_stream()
        for data in stream_frames(("Hello",), finish=None, usage=None, done=False):
            x.chunk(data)
        x.pause(60)
    fake.on("held", held)
    with Peer(bolt) as graph:
        with Gateway(fake.url, config=dependency("graph", f"bolt://127.0.0.1:{graph.port}", interval="100ms")) as gateway:
            key = gateway.create_key("drained")
            wait_status(gateway, "graph", "ok")
            with gateway.connect() as wire:
                wire.request("POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"},
                             {"model": "held", "stream": True, "messages": [{"role": "user", "content": "x"}]})
                assert wire.read_head().status == 200
                gateway.terminate()
                gateway.notices.wait(STOPPING="1")
                since = graph.n_connections
                time.sleep(0.5)  # five intervals
                assert gateway.is_running() and graph.n_connections <= since + 1
            assert gateway.wait_end() == 0
