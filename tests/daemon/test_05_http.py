"""HTTP/1.1 as clients speak it, and as they should not."""

import json
import time

import pytest

from fake import chat_json, frame, chunk_json, stream_frames
from gateway import SLOWNESS, Gateway, bearer, wait_for
from wire import request_bytes

GATEWAY_OPTIONS = {"gateway": "head_timeout = 2s\nbody_timeout = 2s\nidle_timeout = 3s\nwrite_timeout = 3s\nmax_body = 1M\n"
                              "max_head = 16K\n"}
GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def chat_bytes(key, content="x", model="echo", headers=(), **fields):
    return request_bytes("POST", "/v1/chat/completions", [*bearer(key).items(), *headers],
                         {"model": model, "messages": [{"role": "user", "content": content}], **fields})


# ---- what must work

def test_keep_alive(gateway, key):
    with gateway.connect() as wire:
        for n in range(50):
            assert gateway.chat(key, content=f"number {n}", wire=wire).text().endswith(f"number {n}")


def test_pipelined_requests_are_answered_in_order(gateway, key):
    with gateway.connect() as wire:
        wire.send(b"".join(chat_bytes(key, f"<{n}>") for n in range(20)) + GOOD)
        for n in range(20):
            assert f"<{n}>" in wire.read().text()
        assert wire.read().json()["status"] == "healthy"


def test_request_byte_by_byte(gateway, key):
    with gateway.connect() as wire:
        wire.send_split(chat_bytes(key, "slowly"))
        assert "slowly" in wire.read().text()


def test_http_1_0_closes(gateway):
    with gateway.connect() as wire:
        wire.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert wire.read().status == 200
        assert wire.is_closed()


def test_http_1_0_stream_ends_with_the_connection(gateway, key):
    with gateway.connect() as wire:
        wire.send(chat_bytes(key, "a b", stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = wire.read()
        assert answer.header("transfer-encoding") is None
        assert answer.events()[-1] == "[DONE]"


def test_connection_close_is_obeyed(gateway, key):
    with gateway.connect() as wire:
        wire.send(chat_bytes(key, headers=[("Connection", "close")]))
        answer = wire.read()
        assert answer.status == 200 and answer.header("connection") == "close"
        assert wire.is_closed()


def test_expect_continue_is_answered_before_the_body(gateway, key):
    with gateway.connect() as wire:
        head, _, body = chat_bytes(key, "expected", headers=[("Expect", "100-continue")]).partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        interim = wire.read_head()
        assert interim.status == 100
        wire.send(body)
        assert "expected" in wire.read().text()


def test_expect_continue_with_a_bad_key_is_refused_before_the_body(gateway):
    with gateway.connect() as wire:
        head = chat_bytes("sk-nonsense", headers=[("Expect", "100-continue")]).partition(b"\r\n\r\n")[0]
        wire.send(head + b"\r\n\r\n")
        assert wire.read().status == 401


def test_chunked_upload_with_extensions_and_trailers(gateway, fake, key):
    body = json.dumps({"model": "chunked", "messages": []}).encode()
    parts = [body[:5], body[5:6], body[6:]]
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {**bearer(key), "Transfer-Encoding": "chunked"}))
        for part in parts:
            wire.send(b"%X;name=value\r\n" % len(part) + part + b"\r\n")
        wire.send(b"0\r\nX-Trailer: yes\r\nAuthorization: Bearer other\r\n\r\n" + GOOD)
        assert wire.read().status == 200
        assert wire.read().json()["status"] == "healthy"
    assert fake.wait("chunked").body == body
    assert fake.wait("chunked").header("x-trailer") is None


def test_absolute_target(gateway, key):
    host = f"localhost:{gateway.port}"
    assert gateway.ask("GET", f"http://{host}/health", host=host).status == 200
    assert gateway.ask("GET", f"http://{host}/health", host="elsewhere").status == 400, "two answers to the question which host"


def test_head_has_no_body(gateway):
    with gateway.connect() as wire:
        answer = wire.ask("HEAD", "/health")
        assert answer.status == 200 and answer.body == b""
        assert wire.ask("GET", "/health").status == 200


def test_empty_lines_before_a_request(gateway):
    with gateway.connect() as wire:
        wire.send(b"\r\n" + GOOD)
        assert wire.read().status == 200


def test_request_id_of_the_client_is_kept_when_it_is_harmless(gateway, fake, key):
    with_id = gateway.ask("POST", "/v1/chat/completions", {**bearer(key), "X-Request-Id": "abc-123"}, {"model": "rid",
                                                                                                   "messages": []})
    assert with_id.request_id
    odd = gateway.ask("GET", "/health", {"X-Request-Id": "a b<script>" + "x" * 300})
    assert odd.request_id and "<" not in odd.request_id and len(odd.request_id) <= 64


def test_every_answer_has_an_id_of_its_own(gateway):
    ids = [gateway.ask("GET", path).request_id for path in ("/health", "/nowhere", "/v1/models", "/health")]
    assert None not in ids and len(set(ids)) == len(ids)


# ---- what must be refused

@pytest.mark.parametrize("data, status", [
    (b"GET /health\r\n\r\n", 400),
    (b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\nHost: x\n\n", 400),
    (b"GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (b"GET /health HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", None),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", None),
    (b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/chat HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS on a plain port
    (b"G" * 20_000, None),
    (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", None),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", 431),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
])
def test_malformed_heads(gateway, data, status):
    """Refused with the right status, the connection closed, and nothing after it read as a request."""
    with gateway.connect() as wire:
        wire.send(data + GOOD)
        answer = wire.read()
        assert answer.status == status if status else 400 <= answer.status <= 505, answer
        assert answer.header("connection") == "close"
        assert answer.json()["error"]
        assert wire.read_all() == b""
    assert gateway.ask("GET", "/health").status == 200


@pytest.mark.parametrize("chunks", [b"5\nhello\r\n", b"5\r\nhelloX\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b" 5\r\nhello\r\n",
                                    b"5;" + b"x" * 5000 + b"\r\nhello\r\n"])
def test_malformed_chunks(gateway, key, chunks):
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {**bearer(key), "Transfer-Encoding": "chunked"}) + chunks)
        wire.send(b"0\r\n\r\n" + GOOD)
        assert wire.read().status == 400
        assert wire.read_all() == b""


def test_method_and_route_that_do_not_exist(gateway, key):
    assert gateway.ask("GET", "/nowhere").status == 404
    assert gateway.ask("GET", "/v2/chat", bearer(key)).status == 404
    answer = gateway.ask("GET", "/v1/chat/completions", bearer(key))
    assert answer.status == 405 and "POST" in answer.header("allow")
    assert gateway.ask("POST", "/health", body="x").status == 405
    assert gateway.ask("CONNECT", "example.org:443").status in (400, 404, 405, 501)
    assert gateway.ask("TRACE", "/health").status in (404, 405, 501)


@pytest.mark.parametrize("target", ["/v1/../health", "/v1/%2e%2e/x", "//health", "/v1/chat/completions/../../x", "/v1/%00"])
def test_paths_that_could_mean_two_things(gateway, fake, key, target):
    n = len(fake.requests)
    assert gateway.ask("GET", target, bearer(key)).status in (400, 404)
    assert len(fake.requests) == n


def test_declared_body_over_the_limit_is_refused_at_once(gateway, key):
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {**bearer(key), "Content-Length": str(2 << 20)}))
        answer = wire.read()  # without a byte of the body
        assert answer.status == 413 and answer.json()["error"]["code"]


def test_chunked_body_over_the_limit(gateway, key):
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {**bearer(key), "Transfer-Encoding": "chunked"}))
        part = b"10000\r\n" + b" " * 65536 + b"\r\n"
        try:
            for _ in range(40):
                wire.send(part)
        except ConnectionError:
            pass
        assert wire.read().status == 413


def test_body_at_the_limit(gateway, fake, key):
    text = "x" * ((1 << 20) - 200)
    assert gateway.chat(key, model="limit", content=text).status == 200
    assert fake.wait("limit").json["messages"][0]["content"] == text


def test_sum_of_bodies_held(fake):
    """Bodies that wait for a provider count against a limit in sum; past it new ones get 503, and are served later."""
    with Gateway(fake.url, gateway="max_body = 1M\nmax_bodies = 2M\n") as gateway:
        key = gateway.create_key("sum")
        fake.on("held", lambda x: (x.pause(2 * SLOWNESS), x.answer(chat_json())))
        wires = [gateway.connect() for _ in range(5)]
        text = "x" * 900_000
        for n, wire in enumerate(wires):
            wire.send(chat_bytes(key, text, model="held"))
        answers = [wire.read() for wire in wires]
        assert sorted({answer.status for answer in answers}) == [200, 503]
        refused = [answer for answer in answers if answer.status == 503]
        assert all(answer.header("retry-after") for answer in refused)
        for wire in wires:
            wire.close()
        assert gateway.chat(key, content=text).status == 200


# ---- time

def test_half_a_head_times_out(gateway):
    with gateway.connect() as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHo")
        start = time.monotonic()
        assert wire.read().status == 408
        assert 1.5 < time.monotonic() - start < 6 * SLOWNESS
        assert wire.is_closed()


def test_dripping_a_head_does_not_extend_its_time(gateway):
    with gateway.connect() as wire:
        start = time.monotonic()
        try:
            for _ in range(100):
                wire.send(b"X")
                wire.socket.settimeout(0.1)
                try:
                    if wire.socket.recv(1, 2) is not None:  # MSG_PEEK
                        break
                except TimeoutError:
                    pass
        except ConnectionError:
            pass
        assert time.monotonic() - start < 6 * SLOWNESS


def test_half_a_body_times_out(gateway, key):
    with gateway.connect() as wire:
        wire.send(chat_bytes(key, "x" * 100)[:-50])
        assert wire.read().status == 408


def test_idle_connection_is_closed_without_a_word(gateway):
    with gateway.connect() as wire:
        assert wire.ask("GET", "/health").status == 200
        start = time.monotonic()
        assert wire.is_closed(timeout=10 * SLOWNESS)
        assert time.monotonic() - start > 2


def test_connection_without_a_request_is_closed(gateway):
    with gateway.connect() as wire:
        assert wire.is_closed(timeout=10 * SLOWNESS)


def test_slow_reader_gets_everything(gateway, fake, key):
    """A client that reads slowly stops the provider, not the gateway; and gets each byte."""
    words = ["x" * 20_000 + " "] * 100
    fake.on("much", lambda x: (x.start_stream(), [x.chunk(f) for f in stream_frames(words)], x.end_stream()))
    with gateway.connect(receive_buffer=8192) as wire:
        wire.send(chat_bytes(key, model="much", stream=True))
        answer = wire.read_head()
        for n, _ in enumerate(wire.each_piece(answer)):
            if n % 10 == 0:
                time.sleep(0.01)  # being slow is the point here
        assert answer.text() == "".join(words)
        assert answer.events()[-1] == "[DONE]"


def test_slow_reader_holds_the_provider_back(gateway, fake, key):
    """Of 64 MB only what fits into buffers is taken while the client reads nothing; then it is given up."""
    sent = []

    def script(x):
        x.start_stream()
        data = frame(chunk_json({"content": "x" * 65000}))
        for _ in range(1000):
            x.chunk(data)
            sent.append(len(data))
        x.end_stream()
    fake.on("endless", script)
    with gateway.connect(receive_buffer=8192) as wire:
        wire.send(chat_bytes(key, model="endless", stream=True))
        request_id = wire.read_head().request_id
        assert fake.wait("endless").ended.wait(20 * SLOWNESS), "a client that reads nothing keeps its stream for ever"
        assert sum(sent) < 40_000_000
    assert gateway.event(request_id)["outcome"] == "client_gone"


def test_no_client_touches_another(gateway, key):
    """While fifty clients do nonsense, an honest one is served."""
    wires = [gateway.connect() for _ in range(50)]
    for n, wire in enumerate(wires):
        wire.send([b"GET / HT", b"\0\0\0", b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", b""][n % 4])
    assert gateway.chat(key).status == 200
    for wire in wires:
        wire.reset()
    assert gateway.chat(key).status == 200


def test_descriptors_are_given_back(gateway):
    wait_for(lambda: gateway.n_descriptors() < 60, 10, "descriptors to be closed")
