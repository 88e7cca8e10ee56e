"""[service]: what is passed on, what comes back, who may, and where it goes."""

import hashlib
import threading

import pytest

from backend import Backend
from gateway import Gateway, bearer, is_instrumented, wait_for
from wire import Wire, request_bytes


def service(name="open", **settings):
    """A section; a list makes a line each. Without a key, unless said."""
    lines = {"auth": "none", **settings}
    text = f'[service "{name}"]\n'
    for key, value in lines.items():
        for one in value if isinstance(value, list) else [value]:
            text += f"{key} = {one}\n"
    return text


@pytest.fixture(scope="module")
def backend():
    with Backend() as b:
        yield b


@pytest.fixture(scope="module")
def gateway(backend):
    config = "".join([
        service("open", prefix="/open", endpoint=backend.url),
        service("stripped", prefix="/stripped/", endpoint=f"{backend.url}/base", strip_prefix="yes"),
        service("deep", prefix="/open/deep/", endpoint=f"{backend.url}/deeper", strip_prefix="yes"),
        service("host", prefix="/", host=["a.example", "*.b.example"], endpoint=f"{backend.url}/by-host"),
        service("get", prefix="/only", method=["GET"], endpoint=f"{backend.url}/get"),
        service("v1", prefix="/v1/own/", endpoint=backend.url),
        service("keyed", prefix="/keyed", auth="key", endpoint=backend.url),
        service("edited", prefix="/edited", endpoint=backend.url,
                request_header=["X-Team: blue", "Host: inner.example", "x-replaced: ours"], remove_request_header=["cookie"],
                response_header=["X-Frame-Options: DENY", "server: scribe"], remove_response_header=["x-powered-by"]),
        service("small", prefix="/small", endpoint=backend.url, max_body="1K"),
        service("large", prefix="/large", endpoint=backend.url, max_body="256M"),
        service("cors", prefix="/cors", endpoint=backend.url, auth="key", cors_origin=["https://app.example"],
                cors_methods="GET, POST", cors_headers="authorization, content-type", cors_expose="x-total",
                cors_credentials="yes", cors_max_age="5min"),
        service("bare", prefix="/bare", endpoint=backend.url, upgrade="no"),
    ])
    with Gateway(config=config, gateway="max_body = 64K\nmax_bodies = 1M\n") as g:
        yield g


def names(answer):
    return [name for name, _ in answer.json()["headers"]]


def sent(answer, name):
    return [value for key, value in answer.json()["headers"] if key == name]


# ---- where a request goes

@pytest.mark.parametrize("target, gets", [
    ("/open", "/open"),
    ("/open/", "/open/"),
    ("/open/x?a=1&b=%2F", "/open/x?a=1&b=%2F"),
    ("/open/x?", "/open/x?"),
    ("/open/%41", "/open/%41"),
    ("/stripped/x/y?q", "/base/x/y?q"),
    ("/stripped/", "/base/"),
    ("/stripped", "/base/"),
    ("/open/deep/x", "/deeper/x"),
    ("/v1/own/x", "/v1/own/x"),
    ("/only/x", "/get/only/x"),
])
def test_the_longest_prefix_wins(gateway, target, gets):
    answer = gateway.ask("GET", target)
    assert (answer.status, answer.json()["target"]) == (200, gets)


@pytest.mark.parametrize("host, status", [("a.example", 200), ("A.example:8000", 200), ("x.b.example", 200), ("b.example", 404),
                                          ("x.y.b.example", 404), ("other.example", 404)])
def test_a_service_may_be_for_some_hosts(gateway, host, status):
    answer = gateway.ask("GET", "/anything", host=host)
    assert answer.status == status
    if status == 200:
        assert answer.json()["target"] == "/by-host/anything"


@pytest.mark.parametrize("target", ["/openx", "/strippedx", "/nothing", "/v1x"])
def test_prefixes_end_at_segments(gateway, target):
    answer = gateway.ask("GET", target)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "unknown_route")


def test_a_method_that_no_service_takes(gateway):
    assert gateway.ask("POST", "/only/x", body="a").status == 405
    assert gateway.ask("GET", "/only/x").status == 200


@pytest.mark.parametrize("target", ["/health", "/ready", "/api/health"])
def test_built_in_paths_stay(gateway, target):
    assert gateway.ask("GET", target, host="a.example").status == 200


@pytest.mark.parametrize("target", ["/open/../keyed", "/open/%2e%2e/keyed", "/open//x", "/open/./x", "/open/..%2fkeyed", "/open/%zz",
                                    "/open/%252e%252e/keyed", "/open/%25%32%65./x"])
def test_paths_with_two_readings_are_refused(gateway, target):
    assert gateway.ask("GET", target).status == 400


@pytest.mark.parametrize("target", ["/%6beyed/x", "/keyed;a=1/x", "/%256beyed/x", "/keyed%2fx", "/open/%2564eep/x"])
def test_no_service_is_reached_by_way_of_another(gateway, target):
    assert gateway.ask("GET", target, host="a.example").status == 400


@pytest.mark.parametrize("target", ["/open/a%20b;c=%3D", "/open/100%25", "/open/%2541"])
def test_escapes_and_parameters_pass_as_they_stand(gateway, target):
    assert gateway.ask("GET", target).json()["target"] == target


def test_an_absolute_target_without_a_path_keeps_its_query(gateway):
    with Wire(gateway.port) as wire:
        wire.send(b"GET http://a.example?a=1 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert wire.read().json()["target"] == "/by-host/?a=1"


def test_methods_pass_as_they_are(gateway):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"):
        assert gateway.ask(method, "/open/x").json()["method"] == method
    with Wire(gateway.port) as wire:
        answer = wire.ask("HEAD", "/open/x")
        assert answer.status == 200 and int(answer.header("content-length")) > 0
        assert wire.ask("GET", "/open/x").status == 200  # nothing of a body stood between
    assert gateway.ask("TRACE", "/open/x").status == 405


# ---- fields

def test_what_the_service_is_told(gateway, backend):
    answer = gateway.ask("GET", "/open/x", {"Cookie": "a=b", "Authorization": "Basic eDp5", "Accept-Encoding": "br",
                                            "X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Real-IP": "6.6.6.6",
                                            "X-Scribe-Key": "forged", "Connection": "x-hop", "X-Hop": "1", "TE": "trailers",
                                            "Keep-Alive": "5"}, host="public.example:8000")
    assert sent(answer, "host") == [f"127.0.0.1:{backend.port}"]
    assert sent(answer, "cookie") == ["a=b"] and sent(answer, "authorization") == ["Basic eDp5"]
    assert sent(answer, "accept-encoding") == ["br"] and sent(answer, "te") == ["trailers"]
    assert sent(answer, "x-forwarded-for") == ["127.0.0.1"]
    assert sent(answer, "forwarded") == ['for=127.0.0.1;host="public.example:8000";proto=http']
    assert sent(answer, "x-forwarded-proto") == ["http"] and sent(answer, "x-forwarded-host") == ["public.example:8000"]
    assert sent(answer, "x-request-id") == [answer.request_id]
    assert not {"x-real-ip", "x-scribe-key", "x-hop", "keep-alive"} & set(names(answer))


def test_fields_are_set_and_removed(gateway, backend):
    backend.on("/edited/powered", lambda x: x.answer("", headers=[("X-Powered-By", "PHP"), ("Server", "inner"), ("Set-Cookie", "a=1"),
                                                                   ("Set-Cookie", "b=2"), ("Alt-Svc", 'h3=":443"')]))
    answer = gateway.ask("GET", "/edited/x", {"Cookie": "a=b", "X-Replaced": "theirs"})
    assert sent(answer, "host") == ["inner.example"] and sent(answer, "x-team") == ["blue"]
    assert sent(answer, "x-replaced") == ["ours"] and not sent(answer, "cookie")
    answer = gateway.ask("GET", "/edited/powered")
    assert answer.all("server") == ["scribe"] and answer.header("x-frame-options") == "DENY"
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert not answer.all("x-powered-by") and not answer.all("alt-svc")


def test_what_is_set_or_removed_goes_before_the_gateways_own_word(backend):
    config = service("own", prefix="/own", endpoint=backend.url, request_header=["X-Request-Id: fixed", "X-Forwarded-Proto: https"],
                     remove_request_header=["X-Forwarded-For Forwarded"], response_header=["X-Request-Id: shown"],
                     remove_response_header=["Date", "X-Inner"])
    backend.on("/own/trailers", lambda x: (x.start_chunks(headers=[("Trailer", "x-inner, x-sum")]), x.chunk("abc"),
                                           x.end_chunks([("X-Inner", "1"), ("X-Sum", "6")])))
    with Gateway(config=config) as g:
        answer = g.ask("GET", "/own/x", {"X-Request-Id": "mine", "X-Forwarded-Proto": "ftp"})
        assert sent(answer, "x-request-id") == ["fixed"] and sent(answer, "x-forwarded-proto") == ["https"]
        assert not {"x-forwarded-for", "forwarded"} & set(names(answer))
        assert answer.all("x-request-id") == ["shown"] and not answer.all("date")
        assert g.ask("GET", "/own/trailers", {"TE": "trailers"}).trailers == [("x-sum", "6")]


def test_an_underscore_makes_no_other_field(gateway):
    """Servers that make variables of fields (WSGI: HTTP_X_SCRIBE_KEY) take it for a hyphen."""
    answer = gateway.ask("GET", "/edited/x", {"X_Scribe_Key": "forged", "x_forwarded_for": "6.6.6.6", "X_Request_ID": "6",
                                              "X_Team": "red", "X_Real_IP": "6.6.6.6", "X_Other": "1"})
    assert [name for name in names(answer) if "_" in name] == ["x_other"]


def test_trusted_proxies_are_quoted(backend):
    config = service("open", prefix="/open", endpoint=backend.url)
    with Gateway(config=config, gateway="trusted_proxies = 127.0.0.1\n") as g:
        answer = g.ask("GET", "/open", {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "pub.example"})
        assert sent(answer, "x-forwarded-for") == ["9.9.9.9, 127.0.0.1"]
        assert sent(answer, "x-forwarded-proto") == ["https"] and sent(answer, "x-forwarded-host") == ["pub.example"]
        assert g.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_CLIENT"] == "9.9.9.9"


# ---- who may

def test_a_key_is_needed_and_kept_from_the_service(gateway):
    assert gateway.ask("GET", "/keyed/x").status == 401
    key = gateway.create_key("services")
    answer = gateway.ask("GET", "/keyed/x", {**bearer(key), "X-API-Key": key})
    assert answer.status == 200 and sent(answer, "x-scribe-key") == ["services"]
    assert not {"authorization", "x-api-key"} & set(names(answer))
    event = gateway.event(answer.request_id)
    assert (event["operation"], event["provider"], event["outcome"], event["status"]) == ("service", "keyed", "complete", 200)
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id, SCRIBE_SERVICE="keyed", SCRIBE_KEY="services")


def test_a_key_bound_to_models_needs_the_service_among_them(gateway):
    bound = gateway.create_key("bound", models=["echo"], wait=False)
    named = gateway.create_key("named", models=["echo", "service:keyed"], wait=False)
    wait_for(lambda: gateway.ask("GET", "/keyed/x", bearer(named)).status == 200, what="the new key")
    answer = gateway.ask("GET", "/keyed/x", bearer(bound))
    assert (answer.status, answer.json()["error"]["code"]) == (403, "service_not_allowed")


# ---- bodies

def test_a_large_body_streams_in_both_directions(gateway, backend):
    """16 MiB through a gateway that may hold 1 MiB."""
    piece = bytes(range(256)) * 256
    n, before = 256, gateway.memory()[0]

    def back(x):
        digest = hashlib.sha256()
        for data in x.pieces():
            digest.update(data)
        x.start_chunks()
        for _ in range(n):
            x.chunk(piece)
        x.end_chunks()
        x.digest = digest.hexdigest()

    backend.on("/large/echo", back)
    with Wire(gateway.port) as wire:
        wire.send(f"POST /large/echo HTTP/1.1\r\nHost: x\r\nContent-Length: {n * len(piece)}\r\n\r\n".encode())
        for _ in range(n):
            wire.send(piece)
        answer = wire.read()
        assert answer.body == piece * n
        assert backend.wait("/large/echo").digest == hashlib.sha256(piece * n).hexdigest()
        assert wire.ask("GET", "/open/x").status == 200
    if not is_instrumented():
        assert gateway.memory()[0] - before < 4096


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_arrives_as_it_is_sent(gateway, backend, is_chunked):
    """The service has the first piece before the client has sent the second."""
    first = threading.Event()

    def slow(x):
        got = b""
        for data in x.pieces():
            got += data
            if len(got) >= 70000:
                first.set()
        x.answer(str(len(got)))

    backend.on("/open/slow", slow)
    with Wire(gateway.port) as wire:
        piece = b"a" * 70000
        if is_chunked:
            wire.send(b"POST /open/slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + piece + b"\r\n")
        else:
            wire.send(b"POST /open/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 140000\r\n\r\n" + piece)
        assert first.wait(10)
        wire.send(b"11170\r\n" + piece + b"\r\n0\r\n\r\n" if is_chunked else piece)
        assert wire.read().body == b"140000"
        assert wire.ask("GET", "/open/x").status == 200


def test_a_slow_service_holds_the_client_back(gateway, backend):
    """What nobody takes stays with the sender: the gateway's memory does not grow."""
    go_on = threading.Event()
    before = gateway.memory()[0]

    def lazy(x):
        go_on.wait(30)
        x.read()
        x.answer(str(len(x.body)))

    backend.on("/large/lazy", lazy)
    total = 64 << 20
    with Wire(gateway.port) as wire:
        wire.send(f"POST /large/lazy HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\n\r\n".encode())
        wire.socket.settimeout(1)
        n = 0
        with pytest.raises(TimeoutError):
            while n < total:
                n += wire.socket.send(b"b" * 65536)
        assert n < 32 << 20
        if not is_instrumented():  # which keeps what was freed
            assert gateway.memory()[0] - before < 4096
        wire.socket.settimeout(30)
        go_on.set()
        while n < total:
            n += wire.socket.send(b"b" * min(65536, total - n))
        assert wire.read().body == str(total).encode()


def test_a_body_over_the_limit(gateway, backend):
    answer = gateway.ask("POST", "/small/x", body="a" * 1025)
    assert (answer.status, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert gateway.ask("POST", "/small/x", body="a" * 1024).status == 200
    with Wire(gateway.port) as wire:  # not declared: found when it comes
        wire.send(b"POST /small/y HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + b"a" * 2048 + b"\r\n0\r\n\r\n")
        assert wire.read().status == 413
        assert wire.is_closed()


def test_an_answer_before_the_body_is_whole(gateway, backend):
    backend.on("/large/early", lambda x: (x.answer("no", 403), x.close()))
    with Wire(gateway.port) as wire:
        wire.send(b"POST /large/early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100000)
        answer = wire.read()
        assert (answer.status, answer.body) == (403, b"no")


def test_100_continue(gateway):
    with Wire(gateway.port) as wire:
        wire.send(b"POST /open/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
        assert wire.read_head().status == 100
        wire.send(b"a" * 100000)
        answer = wire.read()
        assert answer.status == 200 and len(answer.json()["body"]) == 100000 and not sent(answer, "expect")


def test_a_client_that_leaves_ends_the_call(gateway, backend):
    gone = threading.Event()

    def watch(x):
        for _ in x.pieces():
            pass

    def watching(x):
        try:
            watch(x)
        finally:
            gone.set()

    backend.on("/large/leave", watching)
    with Wire(gateway.port) as wire:
        wire.send(b"POST /large/leave HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100000)
        backend.wait("/large/leave")
    assert gone.wait(10)


def test_trailers_pass(gateway, backend):
    def trailing(x):
        x.start_chunks(headers=[("Trailer", "x-sum")])
        x.chunk("abc")
        x.end_chunks([("X-Sum", "6"), ("Set-Cookie", "a=b")])

    backend.on("/open/trailers", trailing)
    answer = gateway.ask("GET", "/open/trailers", {"TE": "trailers"})
    assert answer.body == b"abc" and answer.trailers == [("x-sum", "6")]


def test_compressed_bytes_pass_as_they_are(gateway, backend):
    backend.on("/open/zip", lambda x: x.answer(b"\x1f\x8b\x00\xff", headers=[("Content-Encoding", "gzip"), ("ETag", '"1"')]))
    answer = gateway.ask("GET", "/open/zip", {"Accept-Encoding": "gzip, br"})
    assert answer.body == b"\x1f\x8b\x00\xff" and answer.header("content-encoding") == "gzip"


def test_events_pass_as_they_come(gateway, backend):
    go_on = threading.Event()

    def events(x):
        x.start_chunks(headers=[("Content-Type", "text/event-stream")])
        x.chunk("data: 1\n\n")
        go_on.wait(10)
        x.chunk(": comment\n\ndata: 2\n\n")
        x.end_chunks()

    backend.on("/open/events", events)
    with Wire(gateway.port) as wire:
        wire.request("GET", "/open/events")
        head = wire.read_head()
        pieces = wire.each_piece(head)
        assert next(pieces)[1] == b"data: 1\n\n"
        go_on.set()
        assert b"".join(data for _, data in pieces) == b": comment\n\ndata: 2\n\n"


def test_a_head_goes_out_before_its_body(gateway, backend):
    go_on = threading.Event()

    def late(x):
        x.start_chunks()
        go_on.wait(10)
        x.chunk("x")
        x.end_chunks()

    backend.on("/open/late", late)
    with Wire(gateway.port) as wire:
        wire.request("GET", "/open/late")
        assert wire.read_head().status == 200
        go_on.set()


def test_a_cut_answer_is_not_passed_off_as_whole(gateway, backend):
    def cut(x):
        x.start_chunks()
        x.chunk("abc")
        x.close()

    backend.on("/open/cut", cut)
    with Wire(gateway.port) as wire:
        wire.request("GET", "/open/cut")
        answer = wire.read(keep_broken=True)
        assert not answer.is_whole and answer.body == b"abc"
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == "upstream_truncated"


# ---- tunnels

def switch(x):
    assert x.header("connection").lower() == "upgrade" and x.header("upgrade") == "reverse"
    x.head(101, [("Connection", "upgrade"), ("Upgrade", "reverse"), ("X-Chosen", "1")])
    while data := x.receive():
        x.send(data[::-1])
    x.send(b"bye")
    x.close()


def test_an_upgrade_becomes_a_tunnel(gateway, backend):
    backend.on("/open/switch", switch)
    with Wire(gateway.port) as wire:
        wire.send(request_bytes("GET", "/open/switch", {"Connection": "Upgrade", "Upgrade": "reverse"}) + b"olleh")
        head = wire.read_head()
        assert head.status == 101 and head.header("upgrade") == "reverse" and head.header("x-chosen") == "1"
        assert wire.exactly(5) == b"hello"
        wire.send(b"dlrow")
        assert wire.exactly(5) == b"world"
        wire.half_close()
        assert wire.read_all() == b"bye"
    line = gateway.wait_log(SCRIBE_REQUEST=head.header("x-request-id"))
    assert line["SCRIBE_STATUS"] == "101" and "SCRIBE_REASON" not in line


def test_bulk_through_a_tunnel(gateway, backend):
    backend.on("/open/switch", switch)
    data = bytes(range(251)) * 20000
    with Wire(gateway.port) as wire:
        early = b"early bytes"
        wire.send(request_bytes("GET", "/open/switch", {"Connection": "Upgrade", "Upgrade": "reverse"}) + early)
        assert wire.read_head().status == 101
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        got = wire.exactly(len(early) + len(data))
        sender.join()
        assert sorted(got) == sorted(early + data)
        wire.half_close()
        assert wire.read_all() == b"bye"  # and nothing came twice


def test_a_service_may_decline_an_upgrade(gateway, backend):
    with Wire(gateway.port) as wire:
        answer = wire.ask("GET", "/open/declined", {"Connection": "Upgrade", "Upgrade": "websocket"})
        assert answer.status == 200 and sent(answer, "upgrade") == ["websocket"]
        assert wire.ask("GET", "/open/x").status == 200
    answer = gateway.ask("GET", "/bare/x", {"Connection": "Upgrade", "Upgrade": "websocket"})
    assert not sent(answer, "upgrade")


def test_a_switch_that_nobody_asked_for(gateway, backend):
    backend.on("/open/unasked", lambda x: (x.head(101, [("Connection", "upgrade"), ("Upgrade", "x")]), x.close()))
    assert gateway.ask("GET", "/open/unasked").status == 502


# ---- CORS

ORIGIN = {"Origin": "https://app.example"}


def test_preflight(gateway):
    answer = gateway.ask("OPTIONS", "/cors/x", {**ORIGIN, "Access-Control-Request-Method": "POST"})
    assert answer.status == 204 and answer.body == b""
    assert answer.header("access-control-allow-origin") == "https://app.example"
    assert answer.header("access-control-allow-methods") == "GET, POST"
    assert answer.header("access-control-allow-headers") == "authorization, content-type"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-max-age") == "300" and answer.header("vary") == "origin"
    other = gateway.ask("OPTIONS", "/cors/x", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
    assert other.status == 403 and not other.all("access-control-allow-origin")


def test_answers_to_other_origins(gateway, backend):
    key = gateway.keys.get("services") or gateway.create_key("services")
    backend.on("/cors/loose", lambda x: x.answer("x", headers=[("Access-Control-Allow-Origin", "*")]))
    answer = gateway.ask("GET", "/cors/loose", {**ORIGIN, **bearer(key)})
    assert answer.all("access-control-allow-origin") == ["https://app.example"]
    assert answer.header("access-control-expose-headers") == "x-total" and "origin" in answer.all("vary")
    answer = gateway.ask("GET", "/cors/loose", {"Origin": "https://evil.example", **bearer(key)})
    assert answer.status == 200 and not answer.all("access-control-allow-origin") and "origin" in answer.all("vary")
    # a script must be able to read why it was refused
    assert gateway.ask("GET", "/cors/loose", ORIGIN).header("access-control-allow-origin") == "https://app.example"
