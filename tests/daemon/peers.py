"""What dependencies are in the tests of health: servers that do one thing wrong (or right), and real ones."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from gateway import SLOWNESS, free_port, wait_for


class Peer:
    """Accepts on a port of its own and does with each connection what it was made for, in a thread of the connection's."""

    def __init__(self, behave, tls=None):
        self.behave = behave
        self.tls = tls
        self.n_connections = 0
        self.open = []
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.behave(connection)
        except (OSError, ssl.SSLError):
            pass  # the probe has gone
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
        for connection in self.open:
            connection.close()


def read(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def until_gone(connection):
    while connection.recv(4096):
        pass


def hang(connection):
    until_gone(connection)


def hang_up(connection):
    connection.recv(1)


def says(data, after=1):
    """Answers with these bytes when so many have come."""
    def behave(connection):
        read(connection, after)
        connection.sendall(data)
        until_gone(connection)
    return behave


def drips(connection):
    """An answer without end, byte by byte."""
    connection.sendall(b"+")
    while True:
        connection.sendall(b"a")
        time.sleep(0.02)


def floods(connection):
    while True:
        connection.sendall(b"+" + b"a" * 65536)


def bolt(connection):
    """The server's end of Bolt's handshake: takes the highest version of the first offer."""
    hello = read(connection, 20)
    assert hello[:4] == b"\x60\x60\xb0\x17", hello
    connection.sendall(b"\0\0" + hello[6:8])
    until_gone(connection)


class Redis:
    def __init__(self, directory, *options):
        self.port = free_port()
        self.directory = Path(directory)
        self.options = options
        self.process = None
        self.start()

    def start(self):
        with open(self.directory / "redis.log", "ab") as log:
            self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                             *self.options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)
        wait_for(lambda: can_connect(self.port), 20, "redis-server")

    def command(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20 * SLOWNESS)
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
