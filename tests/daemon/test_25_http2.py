"""HTTP/2: by ALPN and with prior knowledge, many exchanges on one connection, and those who misuse it."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from authority import Authority
from fake import held_stream, stream_frames
from gateway import SLOWNESS, Adopted, Gateway, become_subreaper
from test_21_listener_tls import Tls
from wire import remember_credentials, sse_data


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


# python3-h2 takes a GOAWAY for the end of everything; RFC 9113 6.8 lets what is open go on.
STATE, INPUT = h2.connection.ConnectionState, h2.connection.ConnectionInputs
h2.connection.H2ConnectionStateMachine._transitions[(STATE.CLIENT_OPEN, INPUT.RECV_GOAWAY)] = (None, STATE.CLIENT_OPEN)


class Answer:
    def __init__(self):
        self.status, self.headers, self.body = None, {}, b""
        self.is_whole, self.reset, self.interim = False, None, []

    def json(self):
        return json.loads(self.body)

    def events(self):
        return sse_data(self.body)


class Client:
    """One connection, by python3-h2; windows are given back at once unless told otherwise."""

    def __init__(self, port, tls=None, window=None, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout * SLOWNESS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        if window is not None:
            self.h2.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.gives_window = window is None
        self.h2.initiate_connection()
        self.answers, self.goaway, self.is_closed = {}, None, False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def request(self, method, path, headers=(), body=None, end=True, authority="localhost"):
        stream = self.h2.get_next_available_stream_id()
        pairs = [(":method", method), (":path", path), (":scheme", "http"), (":authority", authority)]
        pairs += [(name.lower(), value) for name, value in dict(headers).items()]
        remember_credentials(" ".join(value for _, value in pairs).encode())
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            pairs.append(("content-type", "application/json"))
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, pairs, end_stream=end and not body)
        self.flush()
        if body:
            self.send_body(stream, body, end)
        return stream

    def send_body(self, stream, body, end=True):
        while body:
            n = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if n == 0:
                self.turn()
                continue
            self.h2.send_data(stream, body[:n], end_stream=end and n == len(body))
            body = body[n:]
            self.flush()

    def turn(self):
        data = self.socket.recv(65536)
        if not data:
            self.is_closed = True
            return
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        answer = self.answers.get(getattr(event, "stream_id", None), Answer())
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)
            answer.status = int(answer.headers[":status"])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.gives_window and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.is_whole = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event

    def wait(self, stream, what=lambda a: a.is_whole or a.reset is not None):
        while not what(self.answers[stream]) and not self.is_closed:
            self.turn()
        return self.answers[stream]

    def ask(self, *arguments, **options):
        return self.wait(self.request(*arguments, **options))

    def wait_closed(self):
        while not self.is_closed:
            try:
                self.turn()
            except (ConnectionError, ssl.SSLError):
                self.is_closed = True


def key_of(gateway, name):
    return {"authorization": f"Bearer {gateway.create_key(name)}"}


def chat_body(content="Hello there", model="echo", **more):
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def plain(fake):
    with Gateway(fake.url, workers=1) as gateway:
        gateway.auth = key_of(gateway, "h2")
        yield gateway


def test_prior_knowledge(plain):
    with Client(plain.port) as client:
        answer = client.ask("POST", CHAT, plain.auth, chat_body())
        assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == "Hello there"
        assert "connection" not in answer.headers and "transfer-encoding" not in answer.headers
        event = plain.event(answer.headers["x-request-id"])
        assert event["outcome"] == "complete" and event["key"] == "h2"
    with plain.connect() as wire:
        assert wire.ask("GET", "/health").status == 200  # the same listener speaks HTTP/1.1


def test_preface_in_pieces(plain):
    client = Client.__new__(Client)
    Client.flush, flush = lambda self: None, Client.flush
    try:
        client.__init__(plain.port)
    finally:
        Client.flush = flush
    for byte in client.h2.data_to_send():
        client.socket.sendall(bytes([byte]))
    with client:
        assert client.ask("GET", "/health").status == 200


def test_what_begins_like_the_preface_is_not_one(plain):
    with plain.connect() as wire:
        wire.send(b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.read().status >= 400


def test_alpn(fake, authority):
    with Tls(fake, authority, [authority.issue_files("localhost", "DNS:localhost")]) as found:
        auth = key_of(found.gateway, "alpn")
        context = authority.client_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with Client(found.port, context) as client:
            assert client.socket.selected_alpn_protocol() == "h2"
            assert client.ask("POST", CHAT, auth, chat_body()).status == 200
            answer = client.ask("POST", CHAT, auth, chat_body("one two three", stream=True))
            assert answer.events()[-1] == "[DONE]"


def test_curl(fake, authority):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    with Tls(fake, authority, [authority.issue_files("localhost", "DNS:localhost,IP:127.0.0.1")]) as found:
        for url, options in ((f"https://localhost:{found.port}", ["--http2", "--cacert", str(authority.certificate)]),
                             (found.gateway.url, ["--http2-prior-knowledge"])):
            done = subprocess.run(["curl", "-sS", "--noproxy", "*", "-w", "%{http_version} %{http_code}", *options, f"{url}/health"],
                                  capture_output=True, text=True, timeout=30)
            assert done.stdout.endswith("2 200"), done


def test_many_at_once_do_not_wait_for_each_other(plain, fake):
    go_on = threading.Event()

    fake.on("h2-held", held_stream(go_on))
    with Client(plain.port) as client:
        held = [client.request("POST", CHAT, plain.auth, chat_body(model="h2-held", stream=True)) for _ in range(20)]
        for stream in held:
            client.wait(stream, lambda a: a.body)
        quick = [client.request("POST", CHAT, plain.auth, chat_body(f"number {i}")) for i in range(40)]
        for i, stream in enumerate(quick):
            assert client.wait(stream).json()["choices"][0]["message"]["content"] == f"number {i}"
        assert not any(client.answers[stream].is_whole for stream in held)
        go_on.set()
        for stream in held:
            assert client.wait(stream).events()[-1] == "[DONE]"


def test_large_bodies_both_ways(plain):
    with Client(plain.port) as client:
        text = "many words " * 200_000  # over every window
        answer = client.ask("POST", CHAT, plain.auth, chat_body(text))
        assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"].count("many") == 200_000


def test_refused_before_the_body(plain):
    """An answer before the request is whole: then the rest is not wanted, RFC 9113 8.1."""
    with Client(plain.port) as client:
        stream = client.request("POST", CHAT, {"authorization": "Bearer sk-wrong"}, end=False)
        answer = client.wait(stream)
        assert answer.status == 401
        client.wait(stream, lambda a: a.reset is not None)
        assert answer.reset == h2.errors.ErrorCodes.NO_ERROR
        assert client.ask("GET", "/health").status == 200


def test_expect_continue(plain):
    with Client(plain.port) as client:
        stream = client.request("POST", CHAT, {**plain.auth, "expect": "100-continue", "content-type": "application/json"},
                                end=False)
        client.wait(stream, lambda a: a.interim)
        client.send_body(stream, json.dumps(chat_body()).encode())
        assert client.wait(stream).status == 200


def test_head_and_empty_answers(plain):
    with Client(plain.port) as client:
        answer = client.ask("HEAD", "/health")
        assert answer.status in (200, 405) and answer.body == b""
        assert client.ask("GET", "/nowhere").status == 404


def test_client_that_resets_stops_the_provider(plain, fake):
    gone = threading.Event()

    def script(x):
        x.start_stream()
        x.chunk(stream_frames()[0])
        try:
            x.hold(threading.Event())
        finally:
            gone.set()
    fake.on("h2-reset", script)
    with Client(plain.port) as client:
        stream = client.request("POST", CHAT, plain.auth, chat_body(model="h2-reset", stream=True))
        client.wait(stream, lambda a: a.body)
        client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        assert gone.wait(10 * SLOWNESS)
        assert client.ask("GET", "/health").status == 200


def test_broken_stream_is_reset(plain, fake):
    def script(x):
        x.start_stream()
        x.chunk(stream_frames()[0])
        x.reset()
    fake.on("h2-broken", script)
    with Client(plain.port) as client:
        answer = client.ask("POST", CHAT, plain.auth, chat_body(model="h2-broken", stream=True))
        assert answer.reset == h2.errors.ErrorCodes.INTERNAL_ERROR and not answer.is_whole
        assert b'"error"' in answer.body and "[DONE]" not in answer.events()
        assert client.ask("GET", "/health").status == 200


def test_slow_reader_pauses_the_provider(fake):
    """Nothing is read of a stream that nobody takes; another one on the same connection goes on."""
    sent = []

    def script(x):
        x.start_stream()
        piece = stream_frames()[1]
        for _ in range(200_000):
            x.chunk(piece)
            sent.append(len(piece))
        x.end_stream()
    fake.on("h2-flood", script)
    with Gateway(fake.url, workers=1, gateway="write_timeout = 3s") as gateway:
        auth = key_of(gateway, "slow")
        with Client(gateway.port, window=65535) as client:
            stream = client.request("POST", CHAT, auth, chat_body(model="h2-flood", stream=True))
            client.wait(stream, lambda a: len(a.body) >= 65535)
            quick = client.request("GET", "/health")
            assert client.wait(quick).status == 200
            # The provider waits, and the client that takes nothing is given up after write_timeout.
            answer = client.wait(stream)
            assert answer.reset == h2.errors.ErrorCodes.CANCEL
            assert sum(sent) < 40_000_000
            assert client.ask("GET", "/health").status == 200


def test_idle_connection_is_closed_with_goaway(fake):
    with Gateway(fake.url, gateway="idle_timeout = 1s\nhead_timeout = 1s") as gateway:
        with Client(gateway.port) as client:
            assert client.ask("GET", "/health").status == 200
            client.wait_closed()
            assert client.goaway and client.goaway.error_code == 0
        with Client(gateway.port) as client:  # never asked anything
            client.wait_closed()


def test_slow_body_gets_408(fake):
    with Gateway(fake.url, gateway="body_timeout = 1s") as gateway:
        auth = key_of(gateway, "slow-body")
        with Client(gateway.port) as client:
            stream = client.request("POST", CHAT, auth, end=False)
            client.send_body(stream, b'{"model"', end=False)
            assert client.wait(stream).status == 408


def test_drain_finishes_what_is_open(fake):
    go_on = threading.Event()

    fake.on("h2-drain", held_stream(go_on))
    with Gateway(fake.url, workers=1) as gateway:
        auth = key_of(gateway, "drain")
        with Client(gateway.port) as client, Client(gateway.port) as idle:
            assert idle.ask("GET", "/health").status == 200
            stream = client.request("POST", CHAT, auth, chat_body(model="h2-drain", stream=True))
            client.wait(stream, lambda a: a.body)
            gateway.terminate()
            idle.wait_closed()
            assert idle.goaway
            go_on.set()
            assert client.wait(stream).events()[-1] == "[DONE]"
            client.wait_closed()
            assert client.goaway
        assert gateway.wait_end() == 0


def test_cut_at_the_end_of_the_drain(fake):
    fake.on("h2-cut", lambda x: (x.start_stream(), x.chunk(stream_frames()[0]), x.hold(threading.Event())))
    with Gateway(fake.url, workers=1, start=False) as gateway:
        gateway.write_config(gateway.main_text.replace("drain_timeout = 10s", "drain_timeout = 1s"))
        gateway.start()
        auth = key_of(gateway, "cut")
        with Client(gateway.port) as client:
            stream = client.request("POST", CHAT, auth, chat_body(model="h2-cut", stream=True))
            client.wait(stream, lambda a: a.body)
            gateway.terminate()
            answer = client.wait(stream)
            assert b'"error"' in answer.body and "[DONE]" not in answer.events()
        assert gateway.wait_end() == 0


def test_upgrade_with_open_streams(fake):
    become_subreaper()
    go_on = threading.Event()

    fake.on("h2-upgrade", held_stream(go_on))
    with Gateway(fake.url, workers=1, ledger="own") as gateway:
        auth = key_of(gateway, "upgrade")
        with Client(gateway.port) as client:
            stream = client.request("POST", CHAT, auth, chat_body(model="h2-upgrade", stream=True))
            client.wait(stream, lambda a: a.body)
            reply = gateway.control("Upgrade")
            old, gateway.process = gateway.process, Adopted(reply["new_pid"])
            with Client(gateway.port) as second:
                assert second.ask("GET", "/health").status == 200
            go_on.set()
            assert client.wait(stream).events()[-1] == "[DONE]"
        assert old.wait(20) == 0


# ---- those who misuse it: they are cut off, memory stays, others are served

def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


HEADERS, DATA, RST, SETTINGS, PING, WINDOW, CONTINUATION, PRIORITY = 1, 0, 3, 4, 6, 8, 9, 2
HEAD = b"\x82\x84\x86\x41\x01x"  # GET / http, authority x


def raw_client(gateway):
    found = socket.create_connection(("127.0.0.1", gateway.port), timeout=20 * SLOWNESS)
    found.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    return found


def flood(gateway, first, each, n):
    """Sends until it is cut off; how many went out before."""
    with raw_client(gateway) as client:
        try:
            client.sendall(first)
            for at in range(n):
                client.sendall(each(at))
        except (ConnectionError, BrokenPipeError):
            return at
        client.settimeout(10 * SLOWNESS)
        try:
            while client.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError("not cut off") from None
    return n


@pytest.mark.parametrize("first, each", [
    (b"", lambda i: b"".join(frame(HEADERS, 5, 2 * (100 * i + k) + 1, HEAD) + frame(RST, 0, 2 * (100 * i + k) + 1, b"\0\0\0\x08")
                             for k in range(100))),
    (frame(HEADERS, 0, 1, HEAD), lambda i: frame(CONTINUATION, 0, 1) * 100),
    (frame(HEADERS, 0, 1, HEAD), lambda i: frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 2000)),
    (frame(HEADERS, 4, 1, b"\x83\x84\x86\x41\x01x"), lambda i: frame(DATA, 0, 1) * 100),
    (b"", lambda i: frame(SETTINGS, 0, 0) * 100),
    (b"", lambda i: frame(PING, 0, 0, b"12345678") * 100),
    (b"", lambda i: frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 100),
], ids=["rapid-reset", "empty-continuation", "continuation", "empty-data", "settings", "ping", "priority"])
def test_floods_are_cut_off(plain, first, each):
    before = plain.memory()[0]
    flood(plain, first, each, 1000)
    with Client(plain.port) as client:
        assert client.ask("POST", CHAT, plain.auth, chat_body()).status == 200
    after = plain.memory()[0]
    assert after - before < 20_000, f"{before} -> {after} KiB"


def test_connections_that_only_say_hello_are_closed(fake):
    with Gateway(fake.url, gateway="head_timeout = 1s") as gateway:
        with raw_client(gateway) as client:
            start = time.monotonic()
            while client.recv(65536):
                pass
            assert time.monotonic() - start < 10 * SLOWNESS


def test_bad_heads_reset_only_their_stream(plain):
    bad = [
        [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "x"), ("connection", "close")],
        [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "x"), ("transfer-encoding", "chunked")],
        [(":method", "GET"), (":path", ""), (":scheme", "http"), (":authority", "x")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "x")],
        [(":method", "GET"), (":path", "/health"), (":path", "/"), (":scheme", "http"), (":authority", "x")],
        [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "x"), ("te", "gzip")],
        [(":method", "CONNECT"), (":authority", "x:1")],
    ]
    config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
    with Client(plain.port) as client:
        client.h2.config = config
        for pairs in bad:
            stream = client.h2.get_next_available_stream_id()
            client.answers[stream] = Answer()
            client.h2.send_headers(stream, pairs, end_stream=True)
            client.flush()
            answer = client.wait(stream)
            assert answer.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR or answer.status in (400, 404, 405, 501), (pairs, answer.status)
        assert client.ask("GET", "/health").status == 200


def test_declared_length_is_held(plain):
    with Client(plain.port) as client:
        stream = client.request("POST", CHAT, {**plain.auth, "content-length": "5"}, b"{}")
        answer = client.wait(stream)
        assert answer.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR
        assert client.ask("GET", "/health").status == 200


def test_h2load(plain):
    """Many requests, many streams, many connections; none may fail."""
    if not shutil.which("h2load"):
        pytest.skip("no h2load (package nghttp2-client)")
    done = subprocess.run(["h2load", "-n", "4000", "-c", "10", "-m", "20", f"{plain.url}/health"], capture_output=True, text=True,
                          timeout=120)
    assert "4000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
