"""Several endpoints of a service: who is asked, who is asked next, and who is left alone."""

import collections
import socket
import threading
import time

import pytest

from backend import Backend
from gateway import SLOWNESS, Gateway, bearer, free_port, wait_for
from test_26_services import service
from wire import Wire


@pytest.fixture
def backends():
    with Backend() as a, Backend() as b, Backend() as c:
        yield [a, b, c]


def urls(backends, weights=()):
    return [b.url + (f" weight={w}" if w else "") for b, w in zip(backends, list(weights) + [0] * len(backends))]


def ports(gateway, n, target="/s/x", headers=()):
    """Which endpoint answered how often."""
    found = collections.Counter()
    with Wire(gateway.port) as wire:
        for _ in range(n):
            answer = wire.ask("GET", target, headers)
            assert answer.status == 200, answer
            found[answer.json()["port"]] += 1
    return found


# ---- balancing

def test_round_robin_by_weight(backends):
    config = service("s", prefix="/s", endpoint=urls(backends, [3, 2, 1]))
    with Gateway(config=config) as g:
        found = ports(g, 60)
        assert [found[b.port] for b in backends] == [30, 20, 10]


def test_the_fewest_open_ones(backends):
    go_on = threading.Event()
    for b in backends:
        b.on("/s/hold", lambda x: (go_on.wait(20 * SLOWNESS), x.answer("")))
    config = service("s", prefix="/s", endpoint=urls(backends), balance="least_outstanding")
    with Gateway(config=config) as g:
        wires = [Wire(g.port) for _ in range(6)]
        for wire in wires:
            wire.request("GET", "/s/hold")
        wait_for(lambda: sum(len(b.requests) for b in backends) == 6, what="all to arrive")
        assert [len(b.requests) for b in backends] == [2, 2, 2]
        go_on.set()
        for wire in wires:
            assert wire.read().status == 200
            wire.close()


def test_the_same_header_goes_to_the_same_endpoint(backends):
    config = service("s", prefix="/s", endpoint=urls(backends), balance="hash", hash_by="header:X-User")
    with Gateway(config=config) as g:
        home = {}
        for user in range(40):
            found = ports(g, 2, headers={"X-User": f"user-{user}"})
            assert len(found) == 1
            home[user] = found.popitem()[0]
        assert len(set(home.values())) == 3
        lost = backends[0].port
        backends[0].close()
        for user, port in home.items():  # only those of the lost one move
            now = ports(g, 1, headers={"X-User": f"user-{user}"}).popitem()[0]
            assert now == port if port != lost else now != lost


def test_the_same_key_goes_to_the_same_endpoint(backends):
    config = service("s", prefix="/s", endpoint=urls(backends), balance="hash", hash_by="key", auth="key")
    with Gateway(config=config) as g:
        for name in "abc":
            assert len(ports(g, 4, headers=bearer(g.create_key(name)))) == 1


# ---- once more

def test_a_refused_connection_is_tried_elsewhere(backends):
    """Whatever the method: the service cannot have seen it."""
    dead = f"http://127.0.0.1:{free_port()}"
    with Gateway(config=service("s", prefix="/s", endpoint=[dead, backends[0].url], breaker_failures=0)) as g:
        for _ in range(4):
            answer = g.ask("POST", "/s/x", body="once")
            assert answer.status == 200 and answer.json()["body"] == "once"
        assert g.wait_log(SCRIBE_SERVICE="s", SCRIBE_ATTEMPTS="2")["SCRIBE_DETAIL"].startswith(dead)
        assert len(backends[0].requests) == 4


def test_a_streamed_body_waits_for_the_connection(backends):
    dead = f"http://127.0.0.1:{free_port()}"
    with Gateway(config=service("s", prefix="/s", endpoint=[dead, backends[0].url], breaker_failures=0)) as g:
        for _ in range(2):
            answer = g.ask("POST", "/s/x", body="a" * 300000)
            assert answer.status == 200 and len(answer.json()["body"]) == 300000


@pytest.mark.parametrize("method, status, n", [("GET", 200, 2), ("PUT", 200, 2), ("DELETE", 200, 2), ("POST", 502, 1), ("PATCH", 502, 1)])
def test_only_what_may_be_repeated_is(backends, method, status, n):
    """The service took the request and hung up: perhaps it has done it."""
    a, b, _ = backends
    a.on("/s/drop", lambda x: (x.read(), x.close()))
    b.on("/s/drop", lambda x: (x.read(), x.answer("done")))
    with Gateway(config=service("s", prefix="/s", endpoint=[a.url + " weight=1000", b.url])) as g:
        body = None if method in ("GET", "DELETE") else "x"
        answer = g.ask(method, "/s/drop", body=body)
        assert answer.status == status
        assert len(a.requests) + len(b.requests) == n


def test_never_after_the_first_byte(backends):
    a, b, _ = backends
    for x in (a, b):
        x.on("/s/half", lambda x: (x.head(200, [("Content-Length", "100")]), x.send("half"), x.close()))
    with Gateway(config=service("s", prefix="/s", endpoint=[a.url, b.url])) as g:
        with Wire(g.port) as wire:
            wire.request("GET", "/s/half")
            assert not wire.read(keep_broken=True).is_whole
        assert len(a.requests) + len(b.requests) == 1


def test_no_retries_when_none_are_allowed(backends):
    dead = f"http://127.0.0.1:{free_port()}"
    with Gateway(config=service("s", prefix="/s", endpoint=[dead, backends[0].url], breaker_failures=0, retries=0)) as g:
        found = collections.Counter(g.ask("GET", "/s/x").status for _ in range(4))
        assert found == {200: 2, 502: 2}


def test_retries_do_not_double_the_load(backends):
    """Both endpoints hang up on everything: the budget ends it."""
    for b in backends[:2]:
        b.default = lambda x: x.close()
    config = service("s", prefix="/s", endpoint=urls(backends[:2]), breaker_failures=0, retry_budget=10)
    with Gateway(config=config) as g:
        n = 300
        for _ in range(n):
            assert g.ask("GET", "/s/x").status == 502
        asked = sum(len(b.requests) for b in backends[:2])
        assert n < asked <= n * 1.1 + 60  # a tenth, and a few a second in any case


# ---- who is left alone

def test_a_breaker_opens_and_closes(backends):
    a, b, _ = backends
    broken = threading.Event()
    broken.set()
    a.on("/s/x", lambda x: x.answer("", 503) if broken.is_set() else x.answer({"port": a.port}))
    config = service("s", prefix="/s", endpoint=[a.url, b.url], breaker_failures=3, breaker_time="300ms", retries=0)
    with Gateway(config=config) as g:
        statuses = [g.ask("GET", "/s/x").status for _ in range(12)]
        assert statuses.count(503) == 3
        line = g.wait_log(message_id="1f32dd91fc3eb0d5418003e150308f97")
        assert line["SCRIBE_SERVICE"] == "s" and line["SCRIBE_ENDPOINT"] == a.url and "status 503" in line["message"]
        broken.clear()
        wait_for(lambda: a.port in ports(g, 2), what="the trial")
        assert g.wait_log(message_id="b2cff95921ff8d8346086a4d84acad67")["SCRIBE_ENDPOINT"] == a.url
        assert [ports(g, 10)[x.port] for x in (a, b)] == [5, 5]


def test_none_is_left(backends):
    config = service("s", prefix="/s", endpoint=f"http://127.0.0.1:{free_port()}", breaker_failures=2, breaker_time="60s")
    with Gateway(config=config) as g:
        assert [g.ask("GET", "/s/x").status for _ in range(3)] == [502, 502, 503]
        answer = g.ask("GET", "/s/x")
        assert answer.json()["error"]["code"] == "no_endpoint" and 1 <= int(answer.header("retry-after")) <= 60
        assert g.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == "no_endpoint"


def test_what_is_known_outlives_a_reload(backends):
    config = service("s", prefix="/s", endpoint=[f"http://127.0.0.1:{free_port()}", backends[0].url], breaker_failures=2,
                     breaker_time="60s")
    with Gateway(config=config) as g:
        for _ in range(6):
            assert g.ask("GET", "/s/x").status == 200
        g.wait_log(message_id="1f32dd91fc3eb0d5418003e150308f97")
        n = len(g.log(message_id="1f32dd91fc3eb0d5418003e150308f97"))
        g.reload()
        for _ in range(6):
            assert g.ask("GET", "/s/x").status == 200
        assert len(g.log(message_id="1f32dd91fc3eb0d5418003e150308f97")) == n
        assert not [x for x in g.log(SCRIBE_ATTEMPTS="2")][4:]


# ---- patience

@pytest.mark.parametrize("settings, script, status, reason", [
    ({"first_byte_timeout": "200ms"}, lambda x: x.connection.recv(1), 504, "upstream_first_byte_timeout"),
    ({"total_timeout": "300ms"}, lambda x: x.connection.recv(1), 504, "upstream_total_timeout"),
])
def test_a_silent_service(backends, settings, script, status, reason):
    backends[0].on("/s/silent", script)
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, retries=0, **settings)) as g:
        answer = g.ask("GET", "/s/silent")
        assert answer.status == status and answer.json()["error"]["message"].startswith("The service did not")
        assert g.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == reason


@pytest.mark.parametrize("settings, reason", [({"between_bytes_timeout": "300ms"}, "upstream_stalled"),
                                              ({"total_timeout": "600ms"}, "upstream_total_timeout")])
def test_a_service_that_comes_to_a_halt(backends, settings, reason):
    def halting(x):
        x.start_chunks()
        x.chunk("a")
        while True:
            if reason == "upstream_total_timeout":
                x.chunk("b")
            x.connection.settimeout(0.05)
            try:
                if not x.connection.recv(1):
                    return
            except TimeoutError:
                pass

    backends[0].on("/s/halt", halting)
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, **settings)) as g:
        with Wire(g.port) as wire:
            wire.request("GET", "/s/halt")
            answer = wire.read(keep_broken=True)
        assert answer.status == 200 and not answer.is_whole
        assert g.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == reason


def test_a_client_that_does_not_go_on(backends):
    """408, and the service is let go."""
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, between_bytes_timeout="300ms")) as g:
        with Wire(g.port) as wire:
            wire.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100000)
            answer = wire.read()
            assert (answer.status, answer.json()["error"]["code"]) == (408, "body_timeout")
        assert backends[0].wait("/s/x").ended.wait(10)


def test_a_silent_tunnel_ends(backends):
    backends[0].on("/s/t", lambda x: (x.head(101, [("Connection", "upgrade"), ("Upgrade", "x")]), x.receive()))
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, between_bytes_timeout="300ms")) as g:
        with Wire(g.port) as wire:
            wire.request("GET", "/s/t", {"Connection": "upgrade", "Upgrade": "x"})
            assert wire.read_head().status == 101
            assert wire.is_closed()


# ---- lies

@pytest.mark.parametrize("lie", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    b"",
])
def test_a_service_that_lies_is_a_clean_502(backends, lie):
    backends[0].on("/s/lie", lambda x: (x.send(lie), x.close()))
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, retries=0, breaker_failures=0)) as g:
        with Wire(g.port) as wire:
            answer = wire.ask("GET", "/s/lie")
            assert answer.status == 502 and answer.json()["error"]["type"] == "upstream_error"
            assert wire.ask("GET", "/s/x").status == 200


def test_more_than_was_announced_is_nobodys_answer(backends):
    """Two answers to one request: the second must not be the next client's."""
    backends[0].on("/s/two", lambda x: x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
                                              b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url), workers=1) as g:
        for _ in range(5):
            assert g.ask("GET", "/s/two").body == b"a"
            assert g.ask("GET", "/s/x").json()["target"] == "/s/x"


# ---- changes under way

def test_reload_under_load(backends):
    """No request fails, and an open stream finishes on the configuration it began with."""
    go_on = threading.Event()

    def long(x):
        x.start_chunks()
        x.chunk("first")
        go_on.wait(30 * SLOWNESS)
        x.chunk("last")
        x.end_chunks()

    backends[0].on("/s/long", long)
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url)) as g:
        stream = Wire(g.port)
        stream.request("GET", "/s/long")
        head = stream.read_head()
        pieces = stream.each_piece(head)
        assert next(pieces)[1] == b"first"
        failed, n, ending = [], [0], threading.Event()

        def load():
            with Wire(g.port) as wire:
                while not ending.is_set():
                    answer = wire.ask("GET", "/s/x")
                    n[0] += 1
                    if answer.status != 200:
                        failed.append(answer)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for t in threads:
            t.start()
        text = g._main_text(None, "", "", "", "", "info", True)
        for i in range(10):
            g.write_config(text + service("s", prefix="/s", endpoint=backends[i % 2].url, strip_prefix="no"))
            g.reload()
            time.sleep(0.02)
        ending.set()
        for t in threads:
            t.join()
        assert n[0] > 50 and not failed
        g.write_config(text)  # the service is gone
        g.reload()
        assert g.ask("GET", "/s/x").status == 404
        go_on.set()
        assert b"".join(data for _, data in pieces) == b"last" and head.body == b"firstlast"


def test_a_worker_serves_others_beside_a_flood(backends):
    """One connection that always has bytes does not keep the others waiting."""
    ending = threading.Event()
    backends[0].on("/s/sink", lambda x: [None for _ in x._exactly(1 << 40)])
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, max_body="4G"), workers=1) as g:
        flood = Wire(g.port)
        flood.send(b"POST /s/sink HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n")

        def pour():
            data = b"f" * (1 << 20)
            try:
                while not ending.is_set():
                    flood.socket.send(data)
            except OSError:
                pass

        thread = threading.Thread(target=pour)
        thread.start()
        took = []
        with Wire(g.port) as wire:
            for _ in range(50):
                start = time.monotonic()
                assert wire.ask("GET", "/s/x").status == 200
                took.append(time.monotonic() - start)
        ending.set()
        flood.socket.shutdown(socket.SHUT_RDWR)
        thread.join()
        assert sorted(took)[25] < 0.1 * SLOWNESS, sorted(took)[-5:]


@pytest.mark.parametrize("size, status", [(100000, 200), (300000, 502)])
def test_a_stale_connection_and_a_streamed_body(backends, size, status):
    """The service ends its connection just as it is used again: what is kept of the body goes to another one."""
    first = threading.Event()

    def once(x):
        if x.number == 1 and first.is_set():
            for _ in x.pieces():
                if len(x.body) >= min(size, 200000):
                    break
            x.close()
            return
        x.read()
        x.answer(str(len(x.body)))

    backends[0].on("/s/once", once)
    with Gateway(config=service("s", prefix="/s", endpoint=backends[0].url, retries=0), workers=1) as g:
        assert g.ask("POST", "/s/once", body="a").status == 200
        first.set()
        answer = g.ask("POST", "/s/once", body="a" * size)
        assert answer.status == status
        if status == 200:
            assert answer.body == str(size).encode() and backends[0].n_connections == 2
