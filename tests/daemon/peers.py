"""What dependencies are in the tests of health: servers that do one thing wrong (or right), and real ones."""

import glob
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
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

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20 * SLOWNESS)
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Postgres:
    """A cluster of a test's own, as the user postgres when the tests are root's: PostgreSQL refuses to run as root. Its
    directory is not pytest's, into which only root may look."""

    def __init__(self, authentication="scram-sha-256", options="", signal_file=None):
        """signal_file: "standby.signal" makes a server that starts and never serves."""
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="scribe-test-postgres-"))
        self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []
        self.bin = postgres_bin()
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth-local=trust", f"--auth-host={authentication}", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.directory}'\n"
                       f"fsync = off\n{options}")
        if signal_file:
            (self.data / signal_file).touch()
            if os.geteuid() == 0:
                shutil.chown(self.data / signal_file, "postgres", "postgres")
        self.log = self.directory / "postgres.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*self.prefix, str(self.bin / "postgres"), "-D", str(self.data)], cwd=self.directory,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: can_connect(self.port), 30, "postgres")

    @property
    def data(self):
        return self.directory / "data"

    def _run(self, program, *arguments):
        done = subprocess.run([*self.prefix, str(self.bin / program), *map(str, arguments)], cwd=self.directory,
                              capture_output=True, text=True, timeout=120 * SLOWNESS, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_serving(self):
        wait_for(lambda: "ready to accept connections" in self.log.read_text(), 30, "a database that is ready")

    def stop(self):
        if self.process:
            self.process.send_signal(2)  # SIGINT: fast
            self.process.wait(30 * SLOWNESS)
            self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    return Path(found[-1]).parent if found else None


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
