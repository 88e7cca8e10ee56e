"""What goes wrong between a client and a service: every case ends, gives back all it held, and leaves the next request alone."""

import os
import random
import socket
import threading

import h2.events
import pytest

from authority import Authority
from backend import Backend
from campaign import SWITCH, Campaign, chunk
from gateway import SLOWNESS, Gateway, bearer, free_port, wait_for
from test_25_http2 import Client
from test_26_services import service
from wire import Closed, Wire, request_bytes

SECONDS = float(os.environ.get("SCRIBE_CAMPAIGN_SECONDS", "20"))


def open_now(gateway):
    """What the gateway still holds, but for idle connections to endpoints."""
    status = gateway.ctl("status")
    return {"exchanges": status["exchanges"]["n_open"], "bodies_bytes": status["memory"]["bodies_bytes"],
            "connections": sum(w["connections"] for w in status["workers"]),
            "busy_upstreams": sum(w["busy_upstreams"] for w in status["workers"]),
            "outstanding": sum(e["n_open"] for e in gateway.ctl("upstream", "list")["endpoints"])}


def wait_settled(gateway, timeout=10):
    """All that was open is over and was given back."""
    wait_for(lambda: not any(open_now(gateway).values()), timeout, "all to be given back", pause=0.05)


def state(gateway, name):
    return [e["state"] for e in gateway.ctl("upstream", "list", name)["endpoints"]]


def chunked(target, headers=()):
    return request_bytes("POST", target, {"Transfer-Encoding": "chunked", **dict(headers)})


def sized(target, length, headers=()):
    return request_bytes("POST", target, {"Content-Length": str(length), **dict(headers)})


def pieces_to_end(x):
    for _ in x.pieces():
        pass


def reverse(x):
    x.head(101, [("Connection", "upgrade"), ("Upgrade", x.header("upgrade", "reverse"))])
    while data := x.receive():
        x.send(data[::-1])
    x.close()


class Held:
    """TLS that waits before its handshake: the gateway has a connection, and none to send on."""

    def __init__(self, context):
        self.context = context
        self.may_go = threading.Event()

    def wrap_socket(self, connection, server_side):
        assert self.may_go.wait(60 * SLOWNESS)
        return self.context.wrap_socket(connection, server_side=server_side)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def backend():
    with Backend() as b:
        b.on("/s/reverse", reverse)
        yield b


@pytest.fixture(scope="module")
def gateway(backend):
    config = "".join([
        service("s", prefix="/s", endpoint=backend.url, max_body="256M"),
        service("brisk", prefix="/brisk", endpoint=backend.url, between_bytes_timeout="200ms", breaker_failures=1, breaker_time="1h"),
        service("none", prefix="/none", endpoint=f"http://127.0.0.1:{free_port()}", breaker_failures=0),
        service("keyed", prefix="/keyed", endpoint=backend.url, auth="key"),
        service("small", prefix="/small", endpoint=backend.url, max_body="1K"),
    ])
    with Gateway(config=config, gateway="max_body = 16K\nmax_bodies = 64K\nwrite_timeout = 1s\n") as g:
        yield g


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    yield
    if "gateway" in request.fixturenames:
        wait_settled(request.getfixturevalue("gateway"))


# ---- the body of a request

def test_a_body_that_is_shorter_than_what_is_held_but_longer_than_max_body(gateway):
    """[gateway] max_body is not that of services."""
    answer = gateway.ask("POST", "/s/x", body="a" * 20000)
    assert answer.status == 200 and len(answer.json()["body"]) == 20000


def test_the_end_of_a_body_whose_last_piece_has_paused_the_client(authority):
    tls = Held(authority.issue("localhost", "DNS:localhost"))
    with Backend(tls=tls) as slow:
        config = service("s", prefix="/s", endpoint=slow.url, ca_file=authority.certificate)
        with Gateway(config=config, workers=1) as g, g.connect() as wire:
            wire.send(sized("/s/x", 70000) + b"a" * 70000)
            wait_for(lambda: slow.n_connections == 1)
            wait_for(lambda: open_now(g)["outstanding"] == 1)
            tls.may_go.set()
            answer = wire.read()
            assert answer.status == 200 and len(answer.json()["body"]) == 70000
            assert answer.header("connection") is None
            assert wire.ask("GET", "/s/y").status == 200
            assert slow.n_connections == 1  # the request was whole there, too
            wire.close()
            wait_settled(g)


def test_a_paused_body_that_is_whole_gives_its_window_back(authority):
    """HTTP/2: streams whose answer takes long do not hold up others of their connection."""
    tls = Held(authority.issue("held", "DNS:localhost"))
    go_on = threading.Event()

    def long(x):
        x.read()
        assert go_on.wait(60 * SLOWNESS)
        x.answer(str(len(x.body)))

    with Backend(tls=tls) as slow, Backend() as quick:
        slow.default = long
        config = (service("slow", prefix="/slow", endpoint=slow.url, ca_file=authority.certificate)
                  + service("quick", prefix="/quick", endpoint=quick.url))
        with Gateway(config=config, workers=1) as g, Client(g.port) as client:
            streams = [client.request("POST", f"/slow/{i}", body=b"a" * 200000) for i in range(5)]
            tls.may_go.set()
            wait_for(lambda: len(slow.requests) == 5 and all(len(x.body) == 200000 for x in slow.requests), what="the bodies")
            for i in range(3):
                answer = client.ask("POST", f"/quick/{i}", body=b"b" * 250000)
                assert answer.status == 200 and len(answer.json()["body"]) == 250000
            go_on.set()
            for stream in streams:
                assert client.wait(stream).body == b"200000"
            client.socket.close()
            wait_settled(g)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_broken_chunk_in_a_body_on_its_way(gateway, backend, has_begun):
    def listen(x):
        if has_begun:
            x.start_chunks()
            x.chunk("begun")
        pieces_to_end(x)

    backend.on("/s/broken", listen)
    with gateway.connect() as wire:
        wire.send(chunked("/s/broken") + chunk(b"a" * 100))
        if has_begun:
            head = wire.read_head()
            assert head.status == 200 and head.header("connection") == "close"
            wire.send(b"nonsense\r\n")
            with pytest.raises(Closed):
                for _ in wire.each_piece(head):
                    pass
        else:
            backend.wait("/s/broken")
            wire.send(b"nonsense\r\n")
            assert wire.read().status == 400
        assert wire.is_closed()
    assert backend.wait("/s/broken", 1 + has_begun).gone.wait(10 * SLOWNESS)


def test_a_broken_chunk_while_the_record_goes_to_disk(backend):
    """The exchange is over but for the disk, and the connection still reads its body."""
    early = threading.Event()

    def answer_early(x):
        x.receive()
        x.answer("early")
        early.set()
        x.close()

    backend.on("/s/broken", pieces_to_end)
    backend.on("/s/early", answer_early)
    config = service("s", prefix="/s", endpoint=backend.url, auth="key")
    with Gateway(config=config, journal="sync = always\n", workers=1) as g:
        key = bearer(g.create_key("sync"))
        with g.connect() as wire:
            wire.send(chunked("/s/broken", key) + chunk(b"a" * 100) + b"nonsense\r\n")
            assert wire.read().status == 400
        for _ in range(40):
            early.clear()
            with g.connect() as wire:
                wire.send(chunked("/s/early", key) + chunk(b"a" * 100))
                assert early.wait(10 * SLOWNESS)
                wire.send(b"nonsense\r\n")
                assert wire.read(keep_broken=True).status in (200, 400)
        wait_settled(g)


def test_empty_pieces_are_no_end(gateway):
    with Client(gateway.port) as client:
        stream = client.request("POST", "/s/x", end=False)
        for data in (b"", b"one", b"", b"", b"two", b""):
            client.h2.send_data(stream, data)
            client.flush()
        client.h2.end_stream(stream)
        client.flush()
        assert client.wait(stream).json()["body"] == "onetwo"


@pytest.mark.parametrize("version", [1, 2])
def test_a_body_that_goes_on_while_its_connection_is_replaced(authority, version):
    """More comes than is kept for another attempt, when that has begun already."""
    tls = Held(authority.issue(f"replaced{version}", "DNS:localhost"))
    tls.may_go.set()

    def end_the_first(x):
        if x.path == "/s/whole" and x.number == 1:
            for _ in x.pieces():
                if len(x.body) == 100000:
                    tls.may_go.clear()
                    x.close()
                    return
        x.read()
        x.answer(str(len(x.body)))

    with Backend(tls=tls) as b:
        b.default = end_the_first
        config = service("s", prefix="/s", endpoint=b.url, ca_file=authority.certificate)
        with Gateway(config=config, workers=1) as g, (Client(g.port) if version == 2 else g.connect()) as client:
            assert g.ask("GET", "/s/warm").status == 200
            body = b"a" * 100000
            if version == 1:
                client.send(sized("/s/whole", 200000) + body)
            else:
                stream = client.request("POST", "/s/whole", {"content-length": "200000"}, body, end=False)
            wait_for(lambda: b.n_connections == 2)
            client.send(body) if version == 1 else client.send_body(stream, body)
            for _ in range(3):
                assert g.ask("GET", "/health").status == 200  # it has seen what came before
            tls.may_go.set()
            answer = client.read() if version == 1 else client.wait(stream)
            assert (answer.status, answer.body) == (200, b"200000")


def test_requests_behind_a_body_that_streams(gateway):
    with gateway.connect() as wire:
        wire.send(chunked("/s/one") + chunk(b"1" * 90000) + chunk(b"1" * 90000) + b"0\r\n\r\n" + sized("/s/two", 80000) + b"2" * 80000
                  + request_bytes("GET", "/s/three"))
        assert wire.read().json()["body"] == "1" * 180000
        assert wire.read().json()["body"] == "2" * 80000
        assert wire.read().json()["target"] == "/s/three"


def test_an_early_answer_does_not_make_a_request_of_the_body(gateway, backend):
    backend.on("/s/refuses", lambda x: (x.receive(), x.answer("no", 403), x.close()))
    with gateway.connect() as wire:
        wire.send(sized("/s/refuses", 1000000) + b"a" * 1000)
        answer = wire.read()
        assert (answer.status, answer.body, answer.header("connection")) == (403, b"no", "close")
        try:
            wire.send(request_bytes("GET", "/s/smuggled") * 20)
        except ConnectionError:
            pass
        assert wire.read_all() == b""
    assert not any(x.path == "/s/smuggled" for x in backend.requests)


def test_an_early_answer_over_http2(gateway, backend):
    backend.on("/s/refuses", lambda x: (x.receive(), x.answer("no", 403), x.close()))
    with Client(gateway.port) as client:
        stream = client.request("POST", "/s/refuses", body=b"a" * 1000, end=False)
        answer = client.wait(stream)
        assert (answer.status, answer.body, answer.is_whole) == (403, b"no", True)
        assert client.ask("GET", "/s/x").status == 200


def test_100_continue_is_not_said_to_who_is_refused(gateway):
    expect = {"Expect": "100-continue"}
    for target, length, status in (("/small/x", 2000, 413), ("/keyed/x", 100000, 401), ("/nowhere", 100, 404)):
        with gateway.connect() as wire:
            wire.send(sized(target, length, expect))
            answer = wire.read()
            assert (answer.status, answer.interim, answer.header("connection")) == (status, [], "close")
            assert wire.is_closed()


def test_held_bodies_have_a_limit(gateway):
    """max_bodies is for those that wait here; a refused one gives back what it held."""
    with Wire(gateway.port) as a, Wire(gateway.port) as b, Wire(gateway.port) as c, Wire(gateway.port) as d, Wire(gateway.port) as e:
        wires = [a, b, c, d, e]
        for n, wire in enumerate(wires[:4], 1):
            wire.send(sized("/s/held", 16000) + b"a" * 15000)
            wait_for(lambda: open_now(gateway)["bodies_bytes"] == 15000 * n)
        e.send(sized("/s/held", 16000) + b"a" * 15000)
        assert e.read().status == 503
        wait_for(lambda: open_now(gateway)["bodies_bytes"] == 60000)
        for wire in wires[:4]:
            wire.send(b"a" * 1000)
            assert len(wire.read().json()["body"]) == 16000


# ---- answers

@pytest.mark.parametrize("method, raw", [
    ("GET", b"HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 7\r\n\r\nsmuggle"),
    ("GET", b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello"),
    ("GET", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello"),
    ("GET", b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nhello"),
    ("HEAD", b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: b\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 X\r\n\r\n"),
])
def test_bodies_where_there_are_none(gateway, backend, method, raw):
    backend.on("/s/bodiless", lambda x: (setattr(x, "is_whole", True), x.send(raw)))
    with gateway.connect() as wire:
        for _ in range(3):
            answer = wire.ask(method, "/s/bodiless")
            assert answer.status in (200, 204, 304) and not wire.pending
            assert wire.ask("GET", "/s/next").json()["target"] == "/s/next"
    with Client(gateway.port) as client:
        for _ in range(3):
            answer = client.ask(method, "/s/bodiless")
            assert answer.status in (200, 204, 304) and answer.body == b"" and answer.is_whole
            assert client.ask("GET", "/s/next").json()["target"] == "/s/next"


def test_interim_answers_are_passed_over(gateway, backend):
    def patient(x):
        for status in (100, 102, 103, 103):
            x.head(status, [("X-Early", "1")])
        x.read()
        x.head(103)
        x.answer("done")

    backend.on("/s/patient", patient)
    with gateway.connect() as wire:
        wire.send(sized("/s/patient", 100000) + b"a" * 100000)
        answer = wire.read()
        assert (answer.status, answer.body, answer.interim) == (200, b"done", [])
        assert wire.ask("GET", "/s/x").status == 200


def test_http_1_0(gateway, backend):
    def trailing(x):
        x.start_chunks()
        x.chunk("one")
        x.chunk("two")
        x.end_chunks([("X-Sum", "6")])

    backend.on("/s/trailing", trailing)
    backend.on("/s/sized", lambda x: x.answer("sized"))
    with gateway.connect() as wire:
        wire.send(b"GET /s/sized HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /s/trailing HTTP/1.0\r\nConnection: keep-alive, upgrade\r\n"
                  b"Upgrade: reverse\r\nExpect: 100-continue\r\n\r\n")
        first = wire.read()
        assert first.body == b"sized" and first.header("connection") == "keep-alive"
        answer = wire.read_head()
        assert answer.header("transfer-encoding") is None and answer.header("connection") == "close"
        assert wire.read_all() == b"onetwo"


def test_trailers_only(gateway, backend):
    def trailers_only(x):
        pieces_to_end(x)
        x.start_chunks(headers=[("Content-Type", "application/grpc")])
        x.end_chunks([("grpc-status", "5"), ("grpc-message", "no")])

    backend.on("/s/trailers-only", trailers_only)
    grpc = {"Content-Type": "application/grpc", "TE": "trailers"}
    answer = gateway.ask("POST", "/s/trailers-only", grpc, body=b"\0\0\0\0\0")
    assert answer.body == b"" and answer.trailers == [("grpc-status", "5"), ("grpc-message", "no")]
    with Client(gateway.port) as client:
        trailers = []
        take = client.take
        client.take = lambda event: (take(event), isinstance(event, h2.events.TrailersReceived) and trailers.extend(event.headers))
        answer = client.ask("POST", "/s/trailers-only", grpc, b"\0\0\0\0\0")
        assert answer.is_whole and trailers == [("grpc-status", "5"), ("grpc-message", "no")]


@pytest.mark.parametrize("is_whole", [True, False])
def test_failures_of_grpc(gateway, is_whole):
    grpc = {"content-type": "application/grpc", "te": "trailers"}
    with Client(gateway.port) as client:
        answer = client.wait(client.request("POST", "/none/x", grpc, b"\0\0\0\0\0" * 2000, end=is_whole))
        assert (answer.status, answer.headers["grpc-status"], answer.is_whole) == (200, "14", True)
        assert client.ask("GET", "/s/x").status == 200
    with gateway.connect() as wire:
        answer = wire.ask("POST", "/none/x", grpc, body=b"\0\0\0\0\0")
        assert (answer.status, answer.header("grpc-status"), answer.body) == (200, "14", b"")
        assert wire.ask("GET", "/s/x").status == 200


# ---- clients that stop, and services that stop

def test_a_client_that_sends_and_does_not_read(gateway, backend):
    """Both directions stand still; what it does not take for write_timeout ends it."""
    def echo(x):
        x.start_chunks()
        for data in x.pieces():
            x.chunk(data)
        x.end_chunks()

    backend.on("/s/echo", echo)
    with gateway.connect(receive_buffer=4096) as wire:
        wire.send(sized("/s/echo", 200 << 20))
        wire.socket.settimeout(1)
        try:
            while True:
                wire.socket.send(b"a" * 65536)
        except (TimeoutError, ConnectionError):
            pass
        wait_for(lambda: not open_now(gateway)["exchanges"], 20, "the client to be given up")
    assert state(gateway, "s") == ["up"]


def test_half_a_request_and_a_fin(gateway, backend):
    backend.on("/s/half", pieces_to_end)
    with gateway.connect() as wire:
        wire.send(chunked("/s/half") + chunk(b"a" * 100000))
        x = backend.wait("/s/half")
        wire.half_close()
        assert x.gone.wait(10 * SLOWNESS)
        assert not x.is_whole


@pytest.mark.parametrize("target, begins", [("/brisk/mute", False), ("/brisk/talk", True)])
def test_a_client_that_falls_silent_is_not_the_fault_of_the_endpoint(gateway, backend, target, begins):
    def listen(x):
        if begins:
            x.start_chunks()
            x.chunk("begun")
        pieces_to_end(x)

    backend.on(target, listen)
    with gateway.connect() as wire:
        wire.send(chunked(target) + chunk(b"a" * 100))
        answer = wire.read(keep_broken=True)
        assert answer.status == (200 if begins else 408) and answer.is_whole == (not begins)
    assert state(gateway, "brisk") == ["up"]


def test_a_silent_tunnel_is_not_the_fault_of_the_endpoint(gateway, backend):
    backend.on("/brisk/reverse", reverse)
    with gateway.connect() as wire:
        wire.request("GET", "/brisk/reverse", SWITCH)
        assert wire.read_head().status == 101
        assert wire.read_all() == b""
    assert state(gateway, "brisk") == ["up"]


def test_a_tunnel_that_is_broken_off_is_not_the_fault_of_the_endpoint(gateway, backend):
    """Its protocol is not known here: perhaps the client has misused it."""
    def hang_up(x):
        x.head(101, [("Connection", "upgrade"), ("Upgrade", "reverse")])
        x.receive()
        x.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        x.connection.close()
        x.close()

    backend.on("/brisk/hang-up", hang_up)
    with gateway.connect() as wire:
        wire.request("GET", "/brisk/hang-up", SWITCH)
        assert wire.read_head().status == 101
        wire.send(b"a")
        assert wire.read_all() == b""
    assert state(gateway, "brisk") == ["up"]


def test_streams_that_are_reset_while_their_body_is_paused(gateway, backend):
    go_on = threading.Event()
    backend.on("/s/stuck", lambda x: (go_on.wait(60 * SLOWNESS), pieces_to_end(x)))
    backend.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with Client(gateway.port) as client:
        for _ in range(6):  # six windows are more than that of the connection
            stream = client.request("POST", "/s/stuck", end=False)
            client.socket.settimeout(1 * SLOWNESS)
            try:
                client.send_body(stream, b"a" * (32 << 20))
            except TimeoutError:
                pass
            client.socket.settimeout(20 * SLOWNESS)
            client.h2.reset_stream(stream)
            client.flush()
        assert client.ask("POST", "/s/x", body=b"b" * 900000).status == 200
    go_on.set()


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("where", ["head", "piece", "paused", "answer", "full", "tunnel"])
def test_clients_that_leave(gateway, backend, how, where):
    path = f"/s/leave-{how}-{where}"

    def serve(x):
        if where == "paused":
            x.gone.wait(1)
        if where in ("answer", "full"):
            x.start_chunks()
            while True:
                x.chunk("a" * 65536)
                if where == "answer":
                    break
        pieces_to_end(x)

    backend.on(path, reverse if where == "tunnel" else serve)
    wire = gateway.connect(receive_buffer=4096)
    if where == "tunnel":
        wire.request("GET", path, SWITCH)
        assert wire.read_head().status == 101
        wire.send(b"abc")
        assert wire.exactly(3) == b"cba"
    else:
        wire.send(chunked(path))
        if where != "head":
            wire.send(chunk(b"a" * 70000))
        x = backend.wait(path)
        if where == "paused":
            wire.socket.settimeout(0.2)
            try:
                while True:
                    wire.socket.send(chunk(b"a" * 65536))
            except TimeoutError:
                pass
        if where in ("answer", "full"):
            assert wire.read_head().status == 200
    getattr(wire, how)()
    x = backend.wait(path)
    assert x.ended.wait(20 * SLOWNESS)
    assert not x.is_whole or where == "tunnel"


# ---- tunnels

@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0"])
def test_nobody_speaks_http_past_the_gateway(gateway, backend, protocol):
    """In a tunnel that speaks HTTP a client could ask for what no service lets it."""
    backend.on("/s/any", lambda x: reverse(x) if x.header("upgrade") else x.answer("no"))
    with gateway.connect() as wire:
        answer = wire.ask("GET", "/s/any", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AAMAAABkAAQAAP__"})
        assert (answer.status, answer.body) == (200, b"no")
        assert wire.ask("GET", "/s/x").status == 200


def test_head_asks_for_no_tunnel(gateway, backend):
    backend.on("/s/any", lambda x: reverse(x) if x.header("upgrade") else x.answer("no"))
    with gateway.connect() as wire:
        assert wire.ask("HEAD", "/s/any", SWITCH).status == 200
        assert wire.ask("GET", "/s/x").status == 200


def test_a_tunnel_whose_service_ends_first(gateway, backend):
    backend.on("/s/bye", lambda x: (x.head(101, [("Connection", "upgrade"), ("Upgrade", "reverse")]), x.send("b" * 1000000), x.close()))
    with gateway.connect() as wire:
        wire.request("GET", "/s/bye", SWITCH)
        assert wire.read_head().status == 101
        assert wire.read_all() == b"b" * 1000000


# ---- drains and reloads

def test_a_reload_with_open_bodies_and_tunnels(backend):
    backend.on("/s/read", lambda x: (x.read(), x.answer(str(len(x.body)))))
    backend.on("/s/reverse", reverse)
    with Gateway(config=service("s", prefix="/s", endpoint=backend.url)) as g, g.connect() as wire, g.connect() as tunnel:
        wire.send(chunked("/s/read") + chunk(b"a" * 100000))
        tunnel.request("GET", "/s/reverse", SWITCH)
        assert tunnel.read_head().status == 101
        g.write_config(g.main_text.replace("prefix = /s", "prefix = /t"))
        g.reload()
        assert g.ask("GET", "/s/x").status == 404 and g.ask("GET", "/t/x").status == 200
        assert open_now(g)["outstanding"] == 2
        tunnel.send(b"abc")
        assert tunnel.exactly(3) == b"cba"
        wire.send(chunk(b"a" * 100000) + b"0\r\n\r\n")
        assert wire.read().body == b"200000"
        tunnel.half_close()
        assert tunnel.read_all() == b""
        wire.close()
        wait_settled(g)


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_drain_cuts_what_does_not_end(backend, sync):
    """Open and paused bodies, answers, tunnels, of both versions."""
    def endless(x):
        x.start_chunks()
        while not x.gone.is_set():
            x.chunk("a" * 10000)

    backend.on("/s/read", pieces_to_end)
    backend.on("/s/stuck", lambda x: x.gone.wait(3))
    backend.on("/s/endless", endless)
    backend.on("/s/reverse", reverse)
    config = service("s", prefix="/s", endpoint=backend.url, auth="key")
    with Gateway(config=config, journal=f"sync = {sync}\n") as g:
        key = bearer(g.create_key("drain"))
        g.write_config(g.main_text.replace("drain_timeout = 10s", "drain_timeout = 500ms"))
        g.reload()
        wires = [g.connect(receive_buffer=4096) for _ in range(4)]
        wires[0].send(chunked("/s/read", key) + chunk(b"a" * 100000))
        wires[1].send(sized("/s/stuck", 64 << 20, key))
        wires[1].socket.settimeout(0.2)
        try:
            wires[1].send(b"a" * (64 << 20))
        except TimeoutError:
            pass
        wires[2].request("GET", "/s/endless", key)
        wires[2].read_head()
        wires[3].request("GET", "/s/reverse", {**SWITCH, **key})
        assert wires[3].read_head().status == 101
        with Client(g.port) as client:
            lower = {k.lower(): v for k, v in key.items()}
            client.request("POST", "/s/read", lower, b"a" * 100000, end=False)
            client.wait(client.request("GET", "/s/endless", lower), lambda a: a.body)
            wait_for(lambda: open_now(g)["outstanding"] == 6)
            g.stop()
        for wire in wires:
            wire.close()


# ---- all at once

def test_a_campaign():
    seed = os.environ.get("SCRIBE_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"SCRIBE_SEED={seed}")
    with Backend() as one, Backend() as two:
        dead = f"http://127.0.0.1:{free_port()}"
        options = {"breaker_failures": 0, "retries": 2, "retry_budget": 100, "connect_timeout": "2s",
                   "between_bytes_timeout": "2s", "first_byte_timeout": "5s"}
        config = (service("a", prefix="/a", endpoint=[one.url, two.url], **options)
                  + service("b", prefix="/b", endpoint=[two.url, dead], auth="key", balance="least_outstanding", max_body="1M", **options))
        with Gateway(config=config, journal="sync = always\n", gateway="write_timeout = 5s\nmax_body = 64K\nmax_bodies = 512K\n") as g:
            campaign = Campaign(g, [one, two], seed, SECONDS)
            campaign.key = bearer(g.create_key("campaign"))
            campaign.play(http1=8, http2=4, disturb=1)
            assert sum(n for what, n in campaign.counts.items() if what in (101, 200)) > 50
            wait_settled(g, 20)
            assert g.ask("GET", "/a/x", {"X-Mark": "m", "X-Seed": "1"}).status > 0
