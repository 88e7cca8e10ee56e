"""A provider that does what it is told: every trap that a real one has been seen to set, and some more.

A script is a function of one Exchange. Scripts are registered by model name; the request's own "model" picks one.
Every pause watches the connection, so that the moment in which the gateway hangs up is known (Exchange.gone_at).
"""

import json
import select
import socket
import ssl
import struct
import threading
import time


class Gone(Exception):
    """The gateway closed the connection while a script was at work."""


class Exchange:
    """One request as the gateway sent it, and the means to answer it."""

    def __init__(self, connection, number, head, body):
        self.connection = connection
        self.number = number  # of the connection
        self.at = time.monotonic()
        self.gone_at = None
        self.gone = threading.Event()
        self.ended = threading.Event()
        self.failure = None
        self.raw_head = head
        self.body = body
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.append((name.lower(), value.strip()))
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None
        self.keep_alive = True

    @property
    def model(self):
        return self.json.get("model") if isinstance(self.json, dict) else None

    @property
    def is_stream(self):
        return isinstance(self.json, dict) and self.json.get("stream") is True

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    # ---- what scripts are made of

    def send(self, data):
        try:
            self.connection.sendall(data.encode() if isinstance(data, str) else data)
        except (ConnectionError, ssl.SSLError) as error:
            self._mark_gone()
            raise Gone from error

    def send_split(self, data, size=1):
        data = data.encode() if isinstance(data, str) else data
        for at in range(0, len(data), size):
            self.send(data[at:at + size])

    def _mark_gone(self):
        if self.gone_at is None:
            self.gone_at = time.monotonic()
            self.gone.set()

    def pause(self, seconds):
        """Waits; ends with Gone the moment the gateway hangs up."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return
            readable, _, _ = select.select([self.connection], [], [], left)
            if readable:
                try:
                    data = self.connection.recv(1) if isinstance(self.connection, ssl.SSLSocket) else \
                        self.connection.recv(1, socket.MSG_PEEK)
                except (ConnectionError, ssl.SSLError):
                    data = b""
                if data:
                    raise AssertionError(f"the gateway pipelined to a provider: {data!r}")
                self._mark_gone()
                raise Gone

    def hold(self, event, seconds=60):
        """Waits for a threading.Event of the test, watching the connection."""
        end = time.monotonic() + seconds
        while not event.is_set() and time.monotonic() < end:
            self.pause(0.02)

    def head(self, status=200, headers=(), reason="OK"):
        self.send(f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n")

    def answer(self, body, status=200, headers=(), content_type="application/json"):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        pairs = [("Content-Type", content_type), ("Content-Length", len(body)), *headers]
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in pairs) + "\r\n"
        self.send(head.encode() + body)

    def start_stream(self, headers=()):
        self.head(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"), *headers])

    def chunk(self, data):
        """One chunk of a chunked body, in one write."""
        data = data.encode() if isinstance(data, str) else data
        self.send(b"%x\r\n" % len(data) + data + b"\r\n")

    def end_stream(self):
        self.send(b"0\r\n\r\n")

    def close(self):
        self.keep_alive = False

    def reset(self):
        """Breaks the connection with RST."""
        raw = self.connection
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        self.keep_alive = False


# ---- what a provider says

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def chat_json(text="Hello there", usage=USAGE, model="fake-1", finish="stop", **more):
    """A whole chat completion; usage None leaves it out."""
    answer = {
        "id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        **more,
    }
    if usage is not None:
        answer["usage"] = usage
    return answer


def chunk_json(delta=None, finish=None, model="fake-1", **more):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
            "choices": [choice], **more}


def usage_chunk(usage=USAGE, model="fake-1"):
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
            "choices": [], "usage": usage}


def frame(data, line_end="\n"):
    """One SSE event."""
    if not isinstance(data, str):
        data = json.dumps(data)
    return f"data: {data}{line_end}{line_end}"


def stream_frames(words=("Hello", " there"), usage=USAGE, finish="stop", done=True, line_end="\n", model="fake-1"):
    """The events of a chat stream as OpenAI sends it: role, words, finish, usage, [DONE]."""
    found = [frame(chunk_json({"role": "assistant", "content": ""}, model=model), line_end)]
    found += [frame(chunk_json({"content": word}, model=model), line_end) for word in words]
    if finish:
        found.append(frame(chunk_json(finish=finish, model=model), line_end))
    if usage is not None:
        found.append(frame(usage_chunk(usage, model), line_end))
    if done:
        found.append(frame("[DONE]", line_end))
    return found


# ---- scripts

def plain(x):
    """What a well-behaved provider does: chat, stream or embeddings, as asked."""
    if x.target.endswith("/embeddings"):
        x.answer({"object": "list", "model": x.model, "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                  "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    elif not x.is_stream:
        x.answer(chat_json(model=x.model))
    else:
        wants_usage = (x.json.get("stream_options") or {}).get("include_usage")
        stream(stream_frames(usage=USAGE if wants_usage else None, model=x.model))(x)


def answering(body, status=200, headers=(), content_type="application/json"):
    return lambda x: x.answer(body, status, headers, content_type)


def stream(frames, pace=0, end=True):
    """Each frame in a chunk of its own, `pace` seconds apart."""
    def script(x):
        x.start_stream()
        for at, data in enumerate(frames):
            if pace and at:
                x.pause(pace)
            x.chunk(data)
        if end:
            x.end_stream()
        else:
            x.close()
    return script


def held_stream(go_on, n_first=1):
    """The first events; the others when go_on is set."""
    def script(x):
        frames = stream_frames()
        x.start_stream()
        for data in frames[:n_first]:
            x.chunk(data)
        x.hold(go_on)
        for data in frames[n_first:]:
            x.chunk(data)
        x.end_stream()
    return script


def raw(data, then="close"):
    """Exactly these bytes, then close, reset, or hold the connection open."""
    def script(x):
        x.send(data)
        if then == "hold":
            x.pause(3600)
        elif then == "reset":
            x.reset()
        else:
            x.close()
    return script


def error_json(message, kind="invalid_request_error", code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# ---- the server

class Fake:
    """Listens on 127.0.0.1, or on a Unix socket at `path`. `tls` is an ssl.SSLContext or None."""

    def __init__(self, tls=None, host_name="127.0.0.1", path=None):
        self.tls = tls
        self.scripts = {}
        self.default = plain
        self.requests = []
        self.n_connections = 0
        self.news = threading.Condition()
        scheme = "https" if tls else "http"
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(4096)
            self.url = f"{scheme}://unix:{path}:/v1"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
            self.port = self.listener.getsockname()[1]
            self.url = f"{scheme}://{host_name}:{self.port}/v1"
        self.is_open = True
        self.connections = set()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def on(self, model, script):
        """From now on requests for this model are answered by script."""
        self.scripts[model] = script

    def close(self):
        self.is_open = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(5)
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self, match, n=1, timeout=20):
        """The n-th request that matches (a model name or a function of the exchange), once it has arrived."""
        wanted = match if callable(match) else lambda x: x.model == match
        end = time.monotonic() + timeout
        with self.news:
            while True:
                found = [x for x in self.requests if wanted(x)]
                if len(found) >= n:
                    return found[n - 1]
                left = end - time.monotonic()
                if left <= 0 or not self.news.wait(left):
                    raise AssertionError(f"{len(found)} of {n} requests arrived within {timeout} s")

    def of(self, model):
        with self.news:
            return [x for x in self.requests if x.model == model]

    def failures(self):
        """What went wrong inside scripts; the fixture checks that it is nothing."""
        with self.news:
            return [x.failure for x in self.requests if x.failure]

    def _accept(self):
        while self.is_open:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, self.n_connections), daemon=True).start()

    def _serve(self, plain_connection, number):
        connection = plain_connection
        try:
            if plain_connection.family != socket.AF_UNIX:
                plain_connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(plain_connection, server_side=True)
            while self._one(connection, number):
                pass
        except (OSError, ValueError):
            pass
        finally:
            self.connections.discard(plain_connection)
            try:
                connection.close()
            except OSError:
                pass

    def _one(self, connection, number):
        head, rest = self._read_head(connection)
        if head is None:
            return False
        x = Exchange(connection, number, head, self._read_body(connection, head, rest))
        with self.news:
            self.requests.append(x)
            self.news.notify_all()
        try:
            (self.scripts.get(x.model) or self.default)(x)
        except Gone:
            x.keep_alive = False
        except Exception as error:  # a script's own mistake must fail the test, not hang it
            x.failure = f"{x.method} {x.target} {x.model}: {error!r}"
            x.keep_alive = False
        x.ended.set()
        return x.keep_alive and self.is_open

    @staticmethod
    def _read_head(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None, b""
            data += more
            if data[:1] == b"\x16":  # a TLS client at a plain server: what nginx says to it
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return None, b""
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    @staticmethod
    def _read_body(connection, head, rest):
        fields = {}
        for line in head.decode("latin-1").lower().split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        if fields.get("transfer-encoding") == "chunked":
            return Fake._read_chunked(connection, rest)
        left = int(fields.get("content-length", 0))
        parts = [rest]
        left -= len(rest)
        while left > 0:
            more = connection.recv(min(left, 1 << 20))
            if not more:
                raise ConnectionError("the gateway closed inside a request")
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    @staticmethod
    def _read_chunked(connection, data):
        def need(mark):
            nonlocal data
            while mark not in data:
                more = connection.recv(65536)
                if not more:
                    raise ConnectionError("the gateway closed inside a chunked request")
                data += more
        body = b""
        while True:
            need(b"\r\n")
            line, _, data = data.partition(b"\r\n")
            size = int(line, 16)
            while len(data) < size + 2:
                more = connection.recv(65536)
                if not more:
                    raise ConnectionError("the gateway closed inside a chunk")
                data += more
            body, data = body + data[:size], data[size + 2:]
            if not size:
                return body
