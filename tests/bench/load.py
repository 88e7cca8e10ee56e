"""The programs that make load, as functions: each returns a dictionary, times in microseconds.

What makes load runs on the core of whoever calls: bench.py has put itself there.
"""

import json
import os
import re
import resource
import socket
import subprocess
import time

from parts import HERE, TOOLS


class Broken(Exception):
    """An answer that was not one, a stream that was cut: not slow, but wrong."""


def request_bytes(method, path, key, body=b"", more=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n{more}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def run(command, what, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, **options)
    if done.returncode:
        raise Broken(f"{what}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout.decode()


def wrk(port, connections, seconds, ask, key, is_tls=False, closes=False):
    """A closed loop: each connection asks again as soon as it is answered."""
    env = {**os.environ, "BENCH_METHOD": ask.method, "BENCH_KEY": key}
    if ask.body:
        env["BENCH_BODY"] = str(ask.body_path)
    if closes:
        env["BENCH_CLOSE"] = "1"
    url = f"http{'s' if is_tls else ''}://127.0.0.1:{port}{ask.path}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", HERE / "wrk.lua", url], "wrk", env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(text.strip().splitlines()[-1])
    if found["errors"] or not found["requests"]:
        raise Broken(f"wrk: {found['errors']} of {found['requests']} requests failed")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**found, "rate": found["requests"] / found["seconds"], "generator": used / found["seconds"]}


def h2load(port, connections, streams, seconds, ask, key, is_tls=True):
    url = f"http{'s' if is_tls else ''}://127.0.0.1:{port}{ask.path}"
    body = ["-d", ask.body_path, "-H", "content-type: application/json"] if ask.body else []
    text = run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--npn-list=h2", "-H", f"authorization: Bearer {key}",
                *body, url], "h2load")
    done, bad = re.search(r"(\d+) succeeded, (\d+) failed", text), re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not done or not int(done[1]) or any(int(n) for n in bad.groups()[1:]) or int(done[2]):
        raise Broken("h2load: " + " ".join(re.findall(r"^(?:requests|status codes):.*$", text, re.MULTILINE)))
    return {"requests": int(done[1]), "seconds": seconds, "rate": int(done[1]) / seconds}


class Program:
    """A load program that tells in lines on stdout how far it is."""

    def __init__(self, name, arguments, request, wrapper=()):
        self.name = name
        self.process = subprocess.Popen([*wrapper, TOOLS / f"bench-{name}", *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.process.stdin.write(request)
        self.process.stdin.close()

    def line(self, wanted):
        line = self.process.stdout.readline().decode()
        if not line.startswith(wanted):
            raise Broken(f"{self.name}: {self.process.stderr.read().decode().strip() or line}")
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()


def paced(port, connections, rate, seconds, request, meter):
    """An open loop: requests are due at a fixed rate, whatever the answers do. The meter runs while they are."""
    with Program("paced", (port, connections, rate, seconds), request) as program:
        program.line("open")
        meter.begin()
        found = json.loads(program.line("{"))
        meter.end()
    if found["bad"] or found["broken"] or found["answered"] < found["sent"]:
        raise Broken(f"paced: {found['bad']} answers were no 2xx, {found['broken']} connections broke, "
                     f"{found['sent'] - found['answered']} requests had no answer")
    return found


def sequence(port, seconds, request, meter):
    """One request after another on one connection; "once", "again" and "refused" are times by how the answer came."""
    with Program("sequence", (port, seconds), request) as program:
        program.line("open")
        meter.begin()
        found = json.loads(program.line("{"))
        meter.end()
    return found


class Flood(Program):
    """Requests that are to be refused, from an address of their own, as many as go for some seconds. Who floods has a machine of
    its own: here it gets of the load's core what others leave, so that what others wait for is the proxy."""

    def __init__(self, port, connections, seconds, request, address="127.0.0.66"):
        super().__init__("flood", (port, connections, seconds, address), request, ("chrt", "--other", "0", "nice", "-n", "15"))
        self.line("open")

    def finish(self):
        found = json.loads(self.line("{"))
        if any(name in found for name in ("200", "500", "502", "503")) or not found["answered"]:
            raise Broken(f"flood: {found}")
        return found


def handshakes(port, seconds, kind):
    found = json.loads(run([TOOLS / "bench-handshakes", port, seconds, 4, kind], "handshakes"))
    if found["errors"] or not found["requests"]:
        raise Broken(f"handshakes: {found['errors']} failed of {found['requests']}")
    if kind == "resumed" and found["resumed"] < found["requests"] * 0.99 or kind == "full" and found["resumed"]:
        raise Broken(f"handshakes: {found['resumed']} of {found['requests']} were resumed")
    return {**found, "rate": found["requests"] / found["seconds"]}


class Streams(Program):
    """Open streams: wait_open(), then wait_end() some seconds later tells how many events came in between, and finish() the rest."""

    def __init__(self, port, n, seconds, request, is_tls=False):
        super().__init__("streams", (port, n, seconds, *(["tls"] if is_tls else [])), request)
        self.n = n

    def wait_open(self):
        self.line("open")

    def wait_end(self):
        return int(self.line("end").split()[1])

    def finish(self):
        found = json.loads(self.line("{"))
        if found["cut"] or found["bad"]:
            raise Broken(f"streams: {found['cut']} of {self.n} were cut, {found['bad']} answers were no 2xx")
        return found


def connect(port):
    one = socket.create_connection(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def one_by_one(wire, request, n):
    """n requests, each in one piece, on a connection that stays."""
    reader = wire.makefile("rb")
    for _ in range(n):
        wire.sendall(request)
        status, length = reader.readline().decode().strip(), 0
        while (field := reader.readline().strip().lower()):
            if field.startswith(b"content-length:"):
                length = int(field[15:])
        reader.read(length)
        if not status.startswith("HTTP/1.1 2"):
            raise Broken(f"the answer was {status}")


class Idle:
    """Keep-alive connections that have been answered once and now rest."""

    def __init__(self, port, n, request):
        self.sockets = []
        for _ in range(n):
            one = connect(port)
            one.sendall(request)
            if not one.recv(65536).startswith(b"HTTP/1.1 2"):
                raise Broken("idle: the answer was no 2xx")
            self.sockets.append(one)
        time.sleep(1)  # what is put off until a loop rests is done

    def close(self):
        """All must still be open."""
        for one in self.sockets:
            one.setblocking(False)
            try:
                if one.recv(65536) == b"":
                    raise Broken("idle: a connection was closed")
            except BlockingIOError:
                pass  # as it should be
        for one in self.sockets:
            one.close()
