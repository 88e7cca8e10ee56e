"""Clients under whose hands the gateway is restarted and upgraded. Says "going" when all are at work, ends when its standard
input does, and prints what happened as JSON.

usage: load.py FILE-WITH-KEY N-FRESH N-KEPT N-STREAMS

Fresh clients make a connection for each request. Kept ones use theirs as long as it lasts: one that was closed while it lay
idle is made again, as RFC 9112 section 9.3.1 lets a client do when no byte of an answer has come; those are counted as
"again" and are no failures. Streams are opened once, are held open by the provider, and must end with [DONE].
"""

import json
import socket
import sys
import threading
import time

ADDRESS = ("127.0.0.1", 8000)
PATIENCE = 60  # a connection may wait in the socket while the service is away
key = open(sys.argv[1]).read().strip()
stop = threading.Event()
lock = threading.Lock()
result = {name: {"ok": 0, "again": 0, "failed": []} for name in ("fresh", "kept", "stream")}
longest = {"fresh": 0.0, "kept": 0.0, "stream": 0.0}


class Idle(Exception):
    """The connection was closed before a byte of an answer."""


class Failure(Exception):
    pass


def request_of(model, more):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "ping"}], **more}).encode()
    return (f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n").encode() + body


def connect():
    return socket.create_connection(ADDRESS, PATIENCE)


class Answer:
    """Head and body of one answer; body() yields pieces."""

    def __init__(self, connection):
        self.connection = connection
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.more(Idle if not self.rest else Failure)
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    def more(self, failure):
        try:
            data = self.connection.recv(65536)
        except ConnectionError as error:
            raise failure(f"{type(error).__name__} after {self.rest[-60:]!r}") from error
        except TimeoutError as error:
            raise Failure(f"nothing for {PATIENCE} s") from error
        if not data:
            raise failure(f"closed after {self.rest[-60:]!r}")
        self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            self.more(Failure)
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def take(self, size):
        while len(self.rest) < size:
            self.more(Failure)
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def body(self):
        if "chunked" not in self.fields.get("transfer-encoding", ""):
            yield self.take(int(self.fields["content-length"]))
            return
        while size := int(self.line(), 16):
            yield self.take(size + 2)[:-2]
        self.line()

    def is_last(self):
        return self.fields.get("connection", "").lower() == "close"


def count(kind, failure=None, what="ok", since=None):
    with lock:
        if failure is None:
            result[kind][what] += 1
        else:
            result[kind]["failed"].append(f"{time.strftime('%T')} {failure}")
        if since is not None:
            longest[kind] = max(longest[kind], time.monotonic() - since)


def check(answer):
    text = b"".join(answer.body())
    if answer.status != 200 or b'"ping"' not in text:
        raise Failure(f"{answer.status} {text[:200]!r}")


def fresh():
    request = request_of("echo", {})
    while not stop.is_set():
        since = time.monotonic()
        try:
            with connect() as connection:
                connection.sendall(request)
                check(Answer(connection))
            count("fresh", since=since)
        except (OSError, Failure, Idle, ValueError) as error:
            count("fresh", f"{type(error).__name__} {error}")
        stop.wait(0.01)


def kept():
    request = request_of("echo", {})
    connection = None
    is_used = False
    while not stop.is_set():
        since = time.monotonic()
        try:
            if connection is None:
                connection, is_used = connect(), False
            try:
                connection.sendall(request)
                answer = Answer(connection)
            except (ConnectionError, Idle):
                if not is_used:
                    raise
                connection = connection.close()
                count("kept", what="again")
                continue
            check(answer)
            is_used = True
            if answer.is_last():
                connection = connection.close()
            count("kept", since=since)
        except (OSError, Failure, Idle, ValueError) as error:
            count("kept", f"{type(error).__name__} {error}")
            connection = connection and connection.close()
        stop.wait(0.01)


def stream(begun):
    try:
        with connect() as connection:
            connection.sendall(request_of("held", {"stream": True}))
            answer = Answer(connection)
            text = b""
            for piece in answer.body():
                text += piece
                begun.set()
            if answer.status != 200 or not text.endswith(b"data: [DONE]\n\n") or b"last" not in text:
                raise Failure(f"{answer.status} ...{text[-200:]!r}")
        count("stream")
    except (OSError, Failure, Idle, ValueError) as error:
        count("stream", f"{type(error).__name__} {error}")
    finally:
        begun.set()


def main():
    n_fresh, n_kept, n_streams = map(int, sys.argv[2:])
    begun = [threading.Event() for _ in range(n_streams)]
    streams = [threading.Thread(target=stream, args=(event,)) for event in begun]
    clients = [threading.Thread(target=fresh) for _ in range(n_fresh)] + [threading.Thread(target=kept) for _ in range(n_kept)]
    for thread in streams + clients:
        thread.start()
    for event in begun:
        event.wait()
    while not all(result[kind]["ok"] >= 20 or not n for kind, n in (("fresh", n_fresh), ("kept", n_kept))):
        if any(found["failed"] for found in result.values()):
            break
        time.sleep(0.01)
    print("going", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in clients + streams:
        thread.join()
    for kind, seconds in longest.items():
        result[kind]["longest_s"] = round(seconds, 3)
    print(json.dumps(result), flush=True)


main()
