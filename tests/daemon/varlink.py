"""Varlink by hand: JSON objects ended by NUL on a Unix socket."""

import json
import socket


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


class Varlink:
    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, parameters=None, **flags):
        message = {"method": method, **flags}
        if parameters is not None:
            message["parameters"] = parameters
        self.send_raw(json.dumps(message).encode() + b"\0")

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next message; None when the peer has closed."""
        while b"\0" not in self.pending:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.pending += data
        message, _, self.pending = self.pending.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.send(method, parameters)
        answer = self.receive()
        assert answer is not None, f"{method}: closed without an answer"
        if "error" in answer:
            raise VarlinkError(answer["error"], answer.get("parameters"))
        return answer.get("parameters", {})


def call(path, method, **parameters):
    with Varlink(path) as connection:
        return connection.call(method, **parameters)
