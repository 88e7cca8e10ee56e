"""A provider that keeps every byte it is sent, also those that never become a request; and what it makes of them."""

from fake import Fake


class Tapped:
    """A socket that writes down what is read from it."""

    def __init__(self, connection, log):
        self.connection = connection
        self.log = log

    def recv(self, size, flags=0):
        data = self.connection.recv(size, flags)
        self.log += data if not flags else b""
        return data

    def __getattr__(self, name):
        return getattr(self.connection, name)


class Upstream(Fake):
    def __init__(self):
        self.seen = bytearray()
        super().__init__()
        self.default = self.say
        self.url = f"http://127.0.0.1:{self.port}/v1"

    @staticmethod
    def say(x):
        if x.method == "HEAD":
            x.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
        else:
            x.answer("seen\n", content_type="text/plain")

    def _serve(self, plain_connection, number):
        super()._serve(Tapped(plain_connection, self.seen), number)

    def mark(self):
        """Where the log stands: (requests, bytes)."""
        with self.news:
            return len(self.requests), len(self.seen)

    def since(self, mark):
        """(requests, bytes that belong to none of them). Requests are whole when their answers have been seen."""
        with self.news:
            requests, seen = self.requests[mark[0]:], bytes(self.seen[mark[1]:])
        for x in requests:
            seen = seen.replace(x.raw_head + b"\r\n\r\n", b"", 1)
            if x.header("transfer-encoding") is None:
                seen = seen.replace(x.body, b"", 1)
        return requests, seen


def framing_faults(x):
    """What is wrong with the length or the host of a request that was passed on; nothing may be left to guess."""
    names = [name for name, _ in x.headers]
    faults = []
    if names.count("host") != 1:
        faults.append(f"{names.count('host')} hosts")
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        faults.append("more than one length")
    if x.version != "HTTP/1.1":
        faults.append(x.version)
    length = x.header("content-length")
    if length is not None and (not length.isdigit() or int(length) != len(x.body)):
        faults.append(f"length {length} for {len(x.body)} bytes")
    if length is None and x.header("transfer-encoding") is None and x.body:
        faults.append(f"{len(x.body)} bytes behind a request without a length")
    return faults
