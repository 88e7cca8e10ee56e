"""An HTTP proxy that knows CONNECT and nothing else, and misbehaves as it is told to."""

import socket
import threading


class Proxy:
    """Tunnels to the port that `routes` has for the authority asked for ("api.example:443"), whatever the name means."""

    def __init__(self, routes=None, user=None):
        self.routes = dict(routes or {})
        self.user = user  # the value that Proxy-Authorization must have
        self.answer = None  # bytes in place of a tunnel
        self.then = "close"  # or "hold"
        self.heads = []
        self.passed = b""  # all that clients sent through tunnels
        self.news = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for one in (self.listener, *list(self.connections)):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    def asked(self):
        """What was asked for, in order: the targets of all CONNECTs."""
        with self.news:
            return [head.split(" ")[1] for head in self.heads]

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self._one(connection)
        except OSError:
            pass
        finally:
            self.connections.discard(connection)
            connection.close()

    def _one(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, rest = data.decode("latin-1").partition("\r\n\r\n")
        with self.news:
            self.heads.append(head)
            self.news.notify_all()
        method, target, _ = head.split("\r\n")[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        if self.answer is not None:
            connection.sendall(self.answer)
            if self.then == "hold":
                connection.recv(1)
        elif method != "CONNECT" or rest or fields["host"] != target.lower():
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        elif self.user and f"proxy-authorization: {self.user}" not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        elif target not in self.routes:
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            self._tunnel(connection, self.routes[target])

    def _tunnel(self, connection, port):
        with socket.create_connection(("127.0.0.1", port)) as server:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(server, connection), daemon=True)
            back.start()
            self._copy(connection, server, keep=True)
            back.join()

    def _copy(self, source, sink, keep=False):
        try:
            while data := source.recv(65536):
                if keep:
                    with self.news:
                        self.passed += data
                sink.sendall(data)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
