"""HTTP/1.1 as a client on a bare socket: what is sent and what came back, byte for byte, with times.

The tests use it where a library would hide what matters: malformed heads, split writes, half-closed
connections, the order and the moment in which bytes arrive.
"""

import json
import re
import socket
import struct
import time


# What clients of this run have sent as a credential, right or wrong: Gateway.stop() looks for it in everything written.
# Shorter words than those of real keys would be found by chance.
SENT_CREDENTIALS = set()
CREDENTIAL = re.compile(rb"(?i)^(?:proxy-)?authorization:[ \t]*(?:\S+[ \t]+)?([^\s]{16,})", re.MULTILINE)


def remember_credentials(data):
    for found in CREDENTIAL.findall(bytes(data[:65536])):
        SENT_CREDENTIALS.add(found.decode("latin-1"))


class Closed(Exception):
    """The peer closed (or reset) before what was expected had come; .seen has what did come."""

    def __init__(self, message, seen=b""):
        super().__init__(f"{message}; got {seen[-300:]!r}")
        self.seen = seen


class Response:
    """One answer. headers is a list of (name in lower case, value); raw has the bytes of head and body as received."""

    def __init__(self, status, reason, headers, raw_head):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.raw_head = raw_head
        self.trailers = []
        self.pieces = []  # (monotonic seconds, decoded bytes) as they arrived
        self.is_whole = False
        self.head_at = time.monotonic()

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def body(self):
        """What has come of it. Joined when asked for: to add each piece would copy a large body once for each."""
        return b"".join(piece for _, piece in self.pieces)

    @property
    def request_id(self):
        return self.header("x-request-id")

    def json(self):
        return json.loads(self.body)

    def events(self):
        """The data of each SSE event of the body, in order."""
        return sse_data(self.body)

    def chunks(self):
        """The JSON objects of a stream, without [DONE]."""
        return [json.loads(data) for data in self.events() if data != "[DONE]"]

    def text(self):
        """The content that a chat stream or a chat answer carries."""
        if self.header("content-type", "").startswith("text/event-stream"):
            choices = [choice for chunk in self.chunks() for choice in chunk.get("choices", [])]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        return self.json()["choices"][0]["message"]["content"]

    def __repr__(self):
        return f"<Response {self.status} {self.body[:400]!r}>"


def sse_data(body):
    """Data of the events in body. Only LF line ends or CRLF ones, as the provider sent them."""
    found = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines:
            found.append(b"\n".join(lines).decode())
    return found


def request_bytes(method, target, headers=(), body=None, host="localhost", version="HTTP/1.1"):
    """A well-formed request. headers: dict or pairs; body: bytes, str, or anything that JSON can say."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
        if "content-type" not in names:
            pairs.append(("Content-Type", "application/json"))
    if isinstance(body, str):
        body = body.encode()
    if "host" not in names and host is not None:
        pairs.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    head = f"{method} {target} {version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs) + "\r\n"
    return head.encode("latin-1") + (body or b"")


class Wire:
    """One connection to the gateway."""

    def __init__(self, port, host="127.0.0.1", timeout=20, receive_buffer=None, tls=None, name="localhost", session=None):
        """port: or the path of a Unix socket. tls: an SSLContext; name: what it asks for."""
        is_local = not isinstance(port, int)
        self.socket = socket.socket(socket.AF_UNIX if is_local else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(str(port) if is_local else (host, port))
        if not is_local:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name, session=session)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        remember_credentials(data)
        self.socket.sendall(data)

    def send_split(self, data, size=1):
        """Each piece in a segment of its own."""
        remember_credentials(data)
        for at in range(0, len(data), size):
            self.socket.sendall(data[at:at + size])

    def request(self, method, target, headers=(), body=None, **options):
        self.send(request_bytes(method, target, headers, body, **options))

    def receive(self):
        """More bytes; b"" when the peer has closed."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def until(self, mark):
        """Bytes up to and with mark."""
        while mark not in self.pending:
            data = self.receive()
            if not data:
                raise Closed(f"closed before {mark!r}", self.pending)
            self.pending += data
        at = self.pending.index(mark) + len(mark)
        found, self.pending = self.pending[:at], self.pending[at:]
        return found

    def exactly(self, size):
        while len(self.pending) < size:
            data = self.receive()
            if not data:
                raise Closed(f"closed {size - len(self.pending)} bytes early", self.pending)
            self.pending += data
        found, self.pending = self.pending[:size], self.pending[size:]
        return found

    def read_all(self):
        """Everything up to the peer's close."""
        while True:
            data = self.receive()
            if not data:
                found, self.pending = self.pending, b""
                return found
            self.pending += data

    def is_closed(self, timeout=5):
        """The peer closes within that time, and sends nothing before."""
        old = self.socket.gettimeout()
        self.socket.settimeout(timeout)
        try:
            return not self.pending and self.receive() == b""
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(old)

    def read_head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        assert version in ("HTTP/1.1", "HTTP/1.0"), raw
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        return Response(int(status), reason, headers, raw)

    def each_piece(self, response, is_head=False):
        """Reads the body piece by piece: yields (time, bytes) and fills the response."""
        for piece in self._pieces(response, is_head):
            stamp = time.monotonic()
            response.pieces.append((stamp, piece))
            yield stamp, piece
        response.is_whole = True

    def _pieces(self, response, is_head):
        if is_head or response.status in (204, 304) or response.status < 200:
            return
        if response.header("transfer-encoding", "").lower() == "chunked":
            yield from self._chunked(response)
            return
        length = response.header("content-length")
        if length is not None:
            left = int(length)
            while left:
                if not self.pending:
                    self.pending = self.receive()
                    if not self.pending:
                        raise Closed(f"closed {left} bytes early", response.body)
                piece, self.pending = self.pending[:left], self.pending[left:]
                left -= len(piece)
                yield piece
            return
        while True:
            piece, self.pending = self.pending or self.receive(), b""
            if not piece:
                return
            yield piece

    def _chunked(self, response):
        while True:
            try:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if not size:
                    break
                piece = self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            except Closed as closed:
                raise Closed("closed inside a chunked body", response.body) from closed
            yield piece
        while True:
            line = self.until(b"\r\n")
            if line == b"\r\n":
                return
            name, _, value = line.decode("latin-1").partition(":")
            response.trailers.append((name.lower(), value.strip()))

    def read(self, is_head=False, keep_broken=False):
        """One whole answer; interim ones (1xx) are skipped and kept in .interim. With keep_broken an answer that
        ends too early is returned with is_whole false."""
        interim = []
        while True:
            response = self.read_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        try:
            for _ in self.each_piece(response, is_head):
                pass
        except (Closed, ConnectionError):
            if not keep_broken:
                raise
        return response

    def ask(self, method, target, headers=(), body=None, keep_broken=False, **options):
        self.request(method, target, headers, body, **options)
        return self.read(is_head=method == "HEAD", keep_broken=keep_broken)


def ask(port, method, target, headers=(), body=None, timeout=20, keep_broken=False, **options):
    """One request on a connection of its own."""
    with Wire(port, timeout=timeout) as wire:
        return wire.ask(method, target, headers, body, keep_broken=keep_broken, **options)
