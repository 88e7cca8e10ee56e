#!/usr/bin/python3
"""make_h2_corpus.py - the seeds of fuzz_h2_server and fuzz_h2_client: the other end's bytes by python3-h2 and python3-hyperframe

usage: make_h2_corpus.py [DIRECTORY]     h2_server and h2_client in it; default: corpus beside this file

The bytes are the same in every run. Needed only to make new seeds.
"""

import pathlib
import sys

import h2.config
import h2.connection
import hpack
from hyperframe import frame

SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame.SettingsFrame(0).serialize()
ACK = frame.SettingsFrame(0, flags=["ACK"]).serialize()
GET = [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/v1/models")]
POST = [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/v1/chat/completions")]


def head(stream, fields, *flags, encoder=None, cuts=()):
    """HEADERS and a CONTINUATION behind each cut."""
    block = (encoder or hpack.Encoder()).encode(fields, huffman=len(fields) % 2 == 0)
    pieces = [block[a:b] for a, b in zip((0, *cuts), (*cuts, len(block)))]
    out = b""
    for i, piece in enumerate(pieces):
        one = frame.HeadersFrame(stream, piece, flags=flags) if i == 0 else frame.ContinuationFrame(stream, piece)
        if i == len(pieces) - 1:
            one.flags.add("END_HEADERS")
        out += one.serialize()
    return out


def data(stream, payload, *flags, pad=0):
    return frame.DataFrame(stream, payload, flags=flags, pad_length=pad).serialize()


def raw(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def with_client(steps):
    """What h2's own state machine sends."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    steps(connection)
    return connection.data_to_send()


def chat(connection):
    body = b'{"model":"echo","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
    connection.send_headers(1, POST + [("content-length", str(len(body))), ("content-type", "application/json")])
    connection.send_data(1, body, end_stream=True)


def several(connection):
    for stream in (1, 3, 5, 7, 9):
        connection.send_headers(stream, GET + [("authorization", "Bearer sk-1"), ("user-agent", "seed")], end_stream=True)


def windows(connection):
    connection.update_settings({4: 100, 5: 20000})
    connection.send_headers(1, GET, end_stream=True)
    connection.increment_flow_control_window(1000)
    connection.increment_flow_control_window(1000, 1)
    connection.ping(b"12345678")


def grpc(connection):
    connection.send_headers(1, POST + [("te", "trailers"), ("content-type", "application/grpc")])
    connection.send_data(1, b"\0\0\0\0\5hello")
    connection.send_headers(1, [("grpc-trailer", "a")], end_stream=True)


def cancelled(connection):
    connection.send_headers(1, POST)
    connection.send_data(1, b"begun")
    connection.reset_stream(1, 8)
    connection.close_connection()


def seeds():
    yield "settings", SETTINGS + ACK
    yield "http1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for steps in (chat, several, windows, grpc, cancelled):
        yield steps.__name__, with_client(steps)
    start = SETTINGS + ACK
    encoder = hpack.Encoder()
    yield "table", start + b"".join(head(s, GET + [("x-a", "b" * 40)], "END_STREAM", encoder=encoder) for s in (1, 3, 5))
    yield "continuation", start + head(1, GET + [("a", "b"), ("c", "d" * 30)], "END_STREAM", cuts=(5, 5, 20, 30))
    yield "priority-in-head", start + raw(1, 0x25, 1, b"\0\0\0\0\x0f" + hpack.Encoder().encode(GET))
    yield "padded-head", start + raw(1, 0x0D, 1, b"\x04" + hpack.Encoder().encode(GET) + b"\0\0\0\0")
    yield "padded-data", start + head(1, POST) + data(1, b"hello", pad=7) + data(1, b"", "END_STREAM", pad=3)
    yield "empty-data", start + head(1, POST) + data(1, b"") * 5 + data(1, b"end", "END_STREAM")
    yield "length-right", start + head(1, POST + [("content-length", "5")]) + data(1, b"he") + data(1, b"llo", "END_STREAM")
    yield "length-over", start + head(1, POST + [("content-length", "5")]) + data(1, b"hello!", "END_STREAM")
    yield "length-over-padded", start + head(1, POST + [("content-length", "5")]) + data(1, b"hello!", pad=9)
    yield "length-short", start + head(1, POST + [("content-length", "5")]) + data(1, b"hell", "END_STREAM")
    yield "length-at-head", start + head(1, POST + [("content-length", "5")], "END_STREAM")
    yield "trailers", start + head(1, POST) + data(1, b"x") + head(1, [("a", "b")], "END_STREAM")
    yield "trailers-open", start + head(1, POST) + head(1, [("a", "b")])
    yield "trailers-pseudo", start + head(1, POST) + head(1, [(":path", "/")], "END_STREAM")
    yield "cookies", start + head(1, GET + [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "")], "END_STREAM")
    yield "host-alone", start + head(1, GET[:2] + GET[3:] + [("host", "x:80")], "END_STREAM")
    yield "hosts-differ", start + head(1, GET + [("host", "y")], "END_STREAM")
    yield "expect", start + head(1, POST + [("expect", "100-continue")]) + data(1, b"x", "END_STREAM")
    yield "options-star", start + head(1, [(":method", "OPTIONS"), *GET[1:3], (":path", "*")], "END_STREAM")
    yield "connect", start + head(1, [(":method", "CONNECT"), (":authority", "x:443")]) + data(1, b"tunnel")
    yield "connect-extended", start + head(1, [(":method", "CONNECT"), *GET[1:], (":protocol", "websocket")])
    yield "upper-case", start + raw(1, 5, 1, hpack.Encoder().encode(GET) + b"\0\1A\1b")
    yield "connection-field", start + head(1, GET + [("connection", "close")], "END_STREAM")
    yield "transfer-encoding", start + head(1, POST + [("transfer-encoding", "chunked")]) + data(1, b"0\r\n\r\n")
    yield "te", start + head(1, GET + [("te", "gzip")], "END_STREAM")
    yield "line-in-value", start + raw(1, 5, 1, hpack.Encoder().encode(GET) + b"\0\1a\6b\r\nc:d")
    yield "many-fields", start + head(1, GET + [("a", "b")] * 130, "END_STREAM")
    yield "bad-hpack", start + raw(1, 5, 1, b"\xff\xff\xff\xff\xff\x0f")
    yield "rapid-reset", start + b"".join(head(s, GET, "END_STREAM") + raw(3, 0, s, b"\0\0\0\x08") for s in range(1, 41, 2))
    yield "pings", start + frame.PingFrame(0, b"12345678").serialize() * 120
    yield "settings-flood", start + frame.SettingsFrame(0, {1: 0, 4: 1}).serialize() * 20
    yield "priorities", start + raw(2, 0, 3, b"\0\0\0\1\x10") * 5 + raw(16, 0, 0, b"\0\0\0\1u=0") * 3 + head(1, GET, "END_STREAM")
    yield "unknown", start + raw(99, 255, 7, b"unknown") + raw(250, 0, 0) + head(1, GET, "END_STREAM")
    yield "window-overflow", start + head(1, GET, "END_STREAM") + raw(8, 0, 1, b"\x7f\xff\xff\xff")
    yield "window-zero", start + head(1, GET, "END_STREAM") + raw(8, 0, 1, bytes(4))
    yield "after-end", start + head(1, GET, "END_STREAM") + data(1, b"more")
    yield "idle-data", start + data(5, b"who")
    yield "even-stream", start + head(2, GET, "END_STREAM")
    yield "push-promise", start + raw(5, 4, 1, b"\0\0\0\2")
    yield "too-large-frame", start + raw(0, 0, 1, bytes(16385))[:64]
    yield "goaway", start + head(1, GET, "END_STREAM") + raw(7, 0, 0, bytes(8) + b"bye") + head(3, GET, "END_STREAM")


OK = [(":status", "200"), ("content-type", "application/json")]
BARE = [(":status", "200")]


def answers(connection, requests):
    """h2's own state machine of a server, told of the requests that the target begins with."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for stream, fields, is_end in requests:
        client.send_headers(stream, fields, end_stream=is_end)
    connection.receive_data(client.data_to_send())


def with_server(steps):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    head_request = [(":method", "HEAD"), *GET[1:]]
    answers(connection, [(1, GET, True), (3, head_request, True), (5, POST, False), (7, GET, True)])
    steps(connection)
    return connection.data_to_send()


def all_answers(connection):
    connection.send_headers(1, OK + [("content-length", "11")])
    connection.send_headers(3, OK + [("content-length", "11")], end_stream=True)
    connection.send_data(1, b'{"a":"echo"}'[:11], end_stream=True)
    connection.send_headers(5, [(":status", "100")])
    connection.send_headers(5, OK)
    connection.send_data(5, b"\0\0\0\0\5hello")
    connection.send_headers(7, [(":status", "204")], end_stream=True)
    connection.increment_flow_control_window(1000, 5)
    connection.ping(b"12345678")
    connection.send_headers(5, [("grpc-status", "0"), ("grpc-message", "")], end_stream=True)


def events(connection):
    connection.send_headers(1, [(":status", "200"), ("content-type", "text/event-stream")])
    for _ in range(5):
        connection.send_data(1, b"data: {}\n\n")
    connection.close_connection(last_stream_id=5)


def client_seeds():
    start = frame.SettingsFrame(0).serialize() + ACK
    yield "settings", start
    yield "http1", b"HTTP/1.1 400 Bad Request\r\n\r\n"
    for steps in (all_answers, events):
        yield steps.__name__.replace("_", "-"), with_server(steps)
    encoder = hpack.Encoder()
    yield "table", start + b"".join(head(s, OK + [("x-a", "b" * 40)], "END_STREAM", encoder=encoder) for s in (1, 3, 7))
    yield "continuation", start + head(1, OK + [("a", "b"), ("c", "d" * 30)], "END_STREAM", cuts=(5, 5, 20, 30))
    yield "interim", start + head(1, [(":status", "103"), ("link", "a")]) * 3 + head(1, BARE) + data(1, b"x", "END_STREAM")
    yield "interim-end", start + head(1, [(":status", "103")], "END_STREAM")
    yield "interim-data", start + head(1, [(":status", "103")]) + data(1, b"x")
    yield "switching", start + head(1, [(":status", "101")])
    yield "head-with-body", start + head(3, BARE) + data(3, b"hello", "END_STREAM")
    yield "no-content", start + head(1, [(":status", "204"), ("content-length", "0")]) + data(1, b"", "END_STREAM")
    yield "not-modified", start + head(1, [(":status", "304"), ("content-length", "5")], "END_STREAM")
    yield "length-over", start + head(1, BARE + [("content-length", "5")]) + data(1, b"hello!", "END_STREAM")
    yield "length-over-padded", start + head(1, BARE + [("content-length", "5")]) + data(1, b"hello!", pad=9)
    yield "length-short", start + head(1, BARE + [("content-length", "5")]) + data(1, b"hell", "END_STREAM")
    yield "length-twice", start + head(1, BARE + [("content-length", "5")] * 2)
    yield "trailers", start + head(1, BARE) + data(1, b"x") + head(1, [("a", "b"), ("set-cookie", "c")], "END_STREAM")
    yield "trailers-open", start + head(1, BARE) + head(1, [("a", "b")])
    yield "trailers-status", start + head(1, BARE) + head(1, BARE, "END_STREAM")
    yield "no-status", start + head(1, [("a", "b")], "END_STREAM")
    yield "status-low", start + head(1, [(":status", "099")], "END_STREAM")
    yield "cookies", start + head(1, BARE + [("set-cookie", "a=b"), ("set-cookie", "c=d")], "END_STREAM")
    yield "connection-field", start + head(1, BARE + [("connection", "close")], "END_STREAM")
    yield "many-fields", start + head(1, BARE + [("a", "b")] * 130, "END_STREAM")
    yield "padded-data", start + head(1, BARE) + data(1, b"hello", pad=7) + data(1, b"", "END_STREAM", pad=3)
    yield "empty-data", start + head(1, BARE) + data(1, b"") * 5 + data(1, b"end", "END_STREAM")
    yield "early", start + head(5, [(":status", "413")], "END_STREAM") + raw(3, 0, 5, bytes(4))
    yield "refused", start + b"".join(raw(3, 0, s, b"\0\0\0\x07") for s in (1, 3, 5, 7))
    yield "goaway", start + raw(7, 0, 0, b"\0\0\0\3" + bytes(4)) + head(1, BARE, "END_STREAM") + head(5, BARE, "END_STREAM")
    yield "goaway-twice", start + raw(7, 0, 0, b"\x7f\xff\xff\xff" + bytes(4)) + raw(7, 0, 0, bytes(8))
    yield "limit", frame.SettingsFrame(0, {3: 1, 4: 10}).serialize() + ACK + head(1, BARE, "END_STREAM")
    yield "push", frame.SettingsFrame(0).serialize() + raw(5, 4, 1, b"\0\0\0\2" + hpack.Encoder().encode(GET))
    yield "push-late", start + raw(5, 4, 1, b"\0\0\0\2" + hpack.Encoder().encode(GET))
    yield "unasked", start + head(9, BARE, "END_STREAM")
    yield "before-head", start + data(1, b"x")
    yield "after-end", start + head(1, BARE, "END_STREAM") + data(1, b"more")
    yield "pings", start + frame.PingFrame(0, b"12345678").serialize() * 120
    yield "windows", start + raw(8, 0, 5, b"\0\0\0\1") * 3 + raw(8, 0, 0, b"\0\1\0\0") + raw(8, 0, 5, b"\x7f\xff\xff\xff")
    yield "unknown", start + raw(10, 0, 0, b"\0\1xa") + raw(99, 255, 7, b"unknown") + head(1, BARE, "END_STREAM")


def main():
    corpus = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    for target, contents in (("h2_server", seeds()), ("h2_client", client_seeds())):
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for name, content in contents:
            (corpus / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
