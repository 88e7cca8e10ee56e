"""A service behind the gateway that does what it is told, one connection a thread: it reads its requests itself, so that a
test sees body bytes as they come and may answer before, inside and after them.

A script is a function of one Request; it is found by the path (without query), else `default` answers with what it was asked.
"""

import json
import socket
import ssl
import threading
import time


class Ended(Exception):
    """The gateway closed the connection."""


class Request:
    def __init__(self, backend, connection, number, head, rest):
        self.backend = backend
        self.connection = connection
        self.number = number  # of the connection
        self.at = time.monotonic()
        self.rest = rest      # bytes behind the head that nobody has read yet
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.path = self.target.partition("?")[0]
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        self.body = bytearray()
        self.is_whole = False
        self.keep_alive = True
        self.failure = None
        self.ended = threading.Event()
        self.gone = threading.Event()  # the gateway hung up

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name:
                return value
        return default

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    # ---- the request's body

    def receive(self):
        """Bytes of the connection as they come; b"" at its end."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        try:
            data = self.connection.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.gone.set()
        return data

    def _line(self):
        while b"\r\n" not in self.rest:
            rest, self.rest = self.rest, b""
            more = self.receive()
            if not more:
                raise Ended
            self.rest = rest + more
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def _exactly(self, n):
        """In pieces as they come, n bytes in sum."""
        while n:
            data = self.receive()
            if not data:
                raise Ended
            if len(data) > n:
                data, self.rest = data[:n], data[n:] + self.rest
            n -= len(data)
            yield data

    def pieces(self):
        """The body, piece by piece."""
        if self.header("transfer-encoding") == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                yield from self._keep(self._exactly(size))
                assert self._line() == b""
            while self._line():
                pass
        else:
            yield from self._keep(self._exactly(int(self.header("content-length", "0"))))
        self.is_whole = True

    def _keep(self, pieces):
        for piece in pieces:
            self.body += piece
            yield piece

    def read(self):
        for _ in self.pieces():
            pass
        return self.body

    # ---- the answer

    def send(self, data):
        try:
            self.connection.sendall(data.encode() if isinstance(data, str) else data)
        except (ConnectionError, ssl.SSLError) as error:
            self.gone.set()
            raise Ended from error

    def head(self, status=200, headers=()):
        self.send(f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n")

    def answer(self, body=b"", status=200, headers=()):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
        self.send(head.encode() + "".join(f"{k}: {v}\r\n" for k, v in headers).encode() + b"\r\n" +
                  (b"" if self.method == "HEAD" else body))

    def start_chunks(self, status=200, headers=()):
        self.head(status, [("Transfer-Encoding", "chunked"), *headers])

    def chunk(self, data):
        data = data.encode() if isinstance(data, str) else data
        self.send(b"%x\r\n" % len(data) + data + b"\r\n")

    def end_chunks(self, trailers=()):
        self.send(b"0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in trailers).encode() + b"\r\n")

    def close(self):
        self.keep_alive = False


def echo(x):
    """What the service was asked, as JSON."""
    x.read()
    x.answer({"method": x.method, "target": x.target, "headers": x.headers, "body": x.body.decode("latin-1"),
              "port": x.backend.port}, headers=[("Content-Type", "application/json"), ("Server", "backend")])


class Backend:
    def __init__(self, path=None, tls=None, port=0):
        self.scripts = {}
        self.default = echo
        self.tls = tls
        self.requests = []
        self.n_connections = 0
        self.news = threading.Condition()
        self.port = None
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(4096)
            self.url = f"http://unix:{path}:"
        else:
            self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            self.port = self.listener.getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}"
        self.connections = set()
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path, script):
        self.scripts[path] = script

    def wait(self, path=None, n=1, timeout=20):
        """The n-th request (of this path) once its head has come."""
        end = time.monotonic() + timeout
        with self.news:
            while True:
                found = [x for x in self.requests if path in (None, x.path)]
                if len(found) >= n:
                    return found[n - 1]
                left = end - time.monotonic()
                if left <= 0 or not self.news.wait(left):
                    raise AssertionError(f"{len(found)} of {n} requests came within {timeout} s")

    def close(self):
        """Refuses and breaks all connections."""
        self.is_open = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def failures(self):
        with self.news:
            return [x.failure for x in self.requests if x.failure]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            assert not self.failures(), self.failures()[0]

    def _accept(self):
        while self.is_open:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            threading.Thread(target=self._serve, args=(connection, self.n_connections), daemon=True).start()

    def _serve(self, connection, number):
        self.connections.add(connection)
        rest = b""
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while True:
                while b"\r\n\r\n" not in rest:
                    data = connection.recv(65536)
                    if not data:
                        return
                    rest += data
                head, _, rest = rest.partition(b"\r\n\r\n")
                x = Request(self, connection, number, head, rest)
                with self.news:
                    self.requests.append(x)
                    self.news.notify_all()
                self._run(x)
                rest = x.rest
                if not x.keep_alive or not x.is_whole:
                    return
        except OSError:
            return
        finally:
            connection.close()
            self.connections.discard(connection)

    def _run(self, x):
        try:
            self.scripts.get(x.path, self.default)(x)
            if x.header("content-length", "0") == "0" and not x.header("transfer-encoding"):
                x.is_whole = True
        except Ended:
            x.keep_alive = False
        except Exception as error:  # noqa: BLE001 - told by failures()
            x.failure = error
            x.keep_alive = False
        finally:
            x.ended.set()
