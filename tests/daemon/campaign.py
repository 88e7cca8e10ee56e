"""Clients and services that do what the dice say, all at once: see test_31_service_edges."""

import random
import socket
import ssl
import threading
import time

import h2.exceptions

from gateway import SLOWNESS
from test_25_http2 import Client
from wire import Closed, request_bytes

SWITCH = {"Connection": "Upgrade", "Upgrade": "reverse"}


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


class Campaign:
    """Clients and services that do what the dice say. Each request has a mark, and each answer's body is made of its mark only."""

    MARK = 16

    def __init__(self, gateway, backends, seed, seconds):
        self.gateway, self.backends, self.seed = gateway, backends, seed
        self.end = time.monotonic() + seconds
        self.wrong = []
        self.counts = {}
        self.lock = threading.Lock()
        for b in backends:
            b.default = self.serve

    # ---- services

    def serve(self, x):
        dice = random.Random(x.header("x-seed"))
        mark = x.header("x-mark").encode()
        if x.header("upgrade"):
            self.tunnel(x, mark, dice)
            return
        plan = dice.choice(["whole", "whole", "chunks", "chunks", "early", "both", "cut", "reset", "mute", "silent", "lazy", "slow", "close"])
        if plan == "early":
            x.receive()
        elif plan == "lazy":
            x.gone.wait(dice.random() * 0.2)
        elif plan == "reset":
            self.reset(x)
            return
        if plan not in ("early", "both", "silent"):
            self.read(x, mark, dice, plan == "slow")
        if plan == "silent":
            x.gone.wait(dice.random())
            x.close()
            return
        if plan == "mute":
            x.close()
            return
        self.answer(x, mark, dice, plan)

    def read(self, x, mark, dice, is_slow=False):
        for _ in x.pieces():
            if is_slow and dice.random() < 0.2:
                time.sleep(0.01)
        body = bytes(x.body)
        assert body == (mark * (len(body) // len(mark) + 1))[:len(body)], "the body of another request"

    def answer(self, x, mark, dice, plan):
        n = dice.choice([0, 1, 10, 100, 5000, 40000])
        if plan in ("whole", "early") and n < 5000:
            x.answer(mark * n, dice.choice([200, 200, 404, 500]))
            return
        if plan == "close":
            x.head(200)
            if x.method != "HEAD":
                x.send(mark * n)
            x.close()
            return
        x.start_chunks()
        if x.method == "HEAD":
            return
        for i in range(dice.randint(0, 8)):
            x.chunk(mark * max(n // 8, 1))
            if plan == "cut" and i == 3:
                x.close()
                return
            if plan == "both":
                x.receive()
        x.end_chunks([("x-mark", mark.decode())] if dice.random() < 0.5 else ())
        if plan in ("early", "both"):
            x.close()

    def reset(self, x):
        x.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        x.close()

    def tunnel(self, x, mark, dice):
        if dice.random() < 0.2:
            x.answer(mark)
            return
        x.head(101, [("Connection", "upgrade"), ("Upgrade", "reverse")])
        for _ in range(dice.randint(0, 10)):
            x.send(mark * dice.randint(1, 500))
            if dice.random() < 0.5 and not x.receive():
                break
        if dice.random() < 0.3:
            self.reset(x)
        x.close()

    # ---- clients

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def mark(self, dice):
        return b"".join(b"%x" % dice.randrange(16) for _ in range(self.MARK))

    def check(self, body, mark, is_ours):
        """Made here it is JSON, or nothing; all else is the mark."""
        if is_ours:
            return
        whole = (mark * (len(body) // len(mark) + 1))[:len(body)]
        if bytes(body) != whole:
            raise AssertionError(f"the answer of another request: {bytes(body[:80])!r} for {mark!r}")

    @staticmethod
    def is_ours(headers):
        return "application/json" in headers.get("content-type", "") or headers.get("grpc-status")

    def run(self, kind, number):
        dice = random.Random(f"{self.seed}-{kind}-{number}")
        while time.monotonic() < self.end and not self.wrong:
            try:
                getattr(self, kind)(dice)
            except (Closed, ConnectionError, TimeoutError, ssl.SSLError, h2.exceptions.ProtocolError) as error:
                if isinstance(error, TimeoutError):
                    self.wrong.append(f"{kind}-{number}: an answer did not come")
                self.count("broken off")
            except Exception as error:  # noqa: BLE001 - told at the end
                self.wrong.append(f"{kind}-{number}: {error!r}")

    def http1(self, dice):
        with self.gateway.connect(timeout=30 * SLOWNESS, receive_buffer=dice.choice([None, None, 4096])) as wire:
            for _ in range(dice.randint(1, 6)):
                if not self.one_http1(wire, dice):
                    return

    def body_of(self, mark, dice):
        n = dice.choice([0, 3, 100, 5000, 70000, 300000, 2000000])
        return (mark * (n // len(mark) + 1))[:n]

    def send_some(self, wire, dice, data, is_chunked):
        """False: it gave up on the way."""
        data = memoryview(data)
        while data:
            n = dice.choice([1, 1000, 20000, 100000])
            now, data = bytes(data[:n]), data[n:]
            wire.send(chunk(now) if is_chunked else now)
            what = dice.random()
            if what < 0.01:
                wire.reset()
                return False
            if what < 0.02:
                wire.half_close()
                wire.read_all()
                return False
            if what < 0.025 and is_chunked:
                wire.send(b"nonsense\r\n")
                wire.read_all()
                return False
            if what < 0.1:
                time.sleep(dice.random() * 0.02)
        if is_chunked:
            wire.send(b"0\r\n\r\n" if dice.random() < 0.8 else b"0\r\nx-mark: 1\r\n\r\n")
        return True

    def one_http1(self, wire, dice):
        mark = self.mark(dice)
        method = dice.choice(["GET", "HEAD", "POST", "PUT", "POST", "UP"])
        headers = {"X-Mark": mark.decode(), "X-Seed": str(dice.random()), "TE": "trailers", **self.key}
        target = f"/{dice.choice('ab')}/{mark.decode()}"
        version = "HTTP/1.0" if dice.random() < 0.1 else "HTTP/1.1"
        if method == "UP":
            return self.upgrade(wire, dice, mark, target, headers)
        body = self.body_of(mark, dice) if method in ("POST", "PUT") else b""
        is_chunked = method in ("POST", "PUT") and version == "HTTP/1.1" and dice.random() < 0.5
        if is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif body:
            headers["Content-Length"] = str(len(body))
        wire.send(request_bytes(method, target, headers, version=version))
        if not self.send_some(wire, dice, body, is_chunked):
            return False
        if dice.random() < 0.03:
            wire.reset()
            return False
        answer = wire.read(is_head=method == "HEAD", keep_broken=True)
        self.check(answer.body, mark, self.is_ours(dict(answer.headers)))
        if any(k == "x-mark" and v != mark.decode() for k, v in answer.trailers):
            raise AssertionError("the trailers of another request")
        self.count(answer.status)
        return answer.is_whole and answer.header("connection") != "close" and version == "HTTP/1.1"

    def upgrade(self, wire, dice, mark, target, headers):
        wire.request("GET", target, {**headers, **SWITCH})
        head = wire.read_head()
        self.count(head.status)
        if head.status != 101:
            for _ in wire.each_piece(head):
                pass
            self.check(head.body, mark, self.is_ours(dict(head.headers)))
            return head.header("connection") != "close"
        for _ in range(dice.randint(0, 5)):
            wire.send(mark * dice.randint(1, 2000))
        if dice.random() < 0.3:
            wire.reset()
            return False
        wire.half_close()
        self.check(wire.read_all(), mark, False)
        return False

    def http2(self, dice):
        with Client(self.gateway.port, timeout=30) as client:
            streams = {}
            for _ in range(dice.randint(1, 10)):
                self.one_http2(client, dice, streams)
                if dice.random() < 0.02:
                    return
            for stream, mark in streams.items():
                answer = client.wait(stream)
                self.check(answer.body, mark, self.is_ours(answer.headers))
                self.count(answer.status)

    def one_http2(self, client, dice, streams):
        mark = self.mark(dice)
        method = dice.choice(["GET", "HEAD", "POST", "POST", "PUT"])
        headers = {"x-mark": mark.decode(), "x-seed": str(dice.random()), "te": "trailers",
                   "authorization": self.key["Authorization"]}
        if dice.random() < 0.2:
            headers["content-type"] = "application/grpc"
        body = self.body_of(mark, dice)[:200000] if method in ("POST", "PUT") else b""
        if body and dice.random() < 0.5:
            headers["content-length"] = str(len(body))
        stream = client.request(method, f"/{dice.choice('ab')}/{mark.decode()}", headers, end=not body)
        at = 0
        while at < len(body) and not self.is_over(client, stream):
            n = dice.choice([1, 1000, 16000, 100000])
            self.give(client, stream, body[at:at + n], at + n >= len(body))
            at += n
            if dice.random() < 0.03 and not self.is_over(client, stream):
                client.h2.reset_stream(stream)
                client.flush()
                self.count("reset")
                return
        if dice.random() < 0.1 and not self.is_over(client, stream):
            client.h2.reset_stream(stream)
            client.flush()
            self.count("reset")
        else:
            streams[stream] = mark

    @staticmethod
    def is_over(client, stream):
        answer = client.answers[stream]
        return answer.is_whole or answer.reset is not None or client.is_closed

    def give(self, client, stream, data, is_last):
        while data and not self.is_over(client, stream):
            n = min(client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size, len(data))
            if n == 0:
                client.turn()
                continue
            client.h2.send_data(stream, data[:n], end_stream=is_last and n == len(data))
            data = data[n:]
            client.flush()

    def disturb(self, dice):
        """An admin, meanwhile."""
        time.sleep(dice.random())
        what = dice.choice(["reload", "status", "drain"])
        if what == "reload":
            self.gateway.reload()
        elif what == "status":
            self.gateway.ctl("status")
        else:
            endpoint = f"127.0.0.1:{dice.choice(self.backends).port}"
            self.gateway.ctl("upstream", "drain", "a", endpoint, as_json=False)
            time.sleep(dice.random() * 0.1)
            self.gateway.ctl("upstream", "enable", "a", endpoint, as_json=False)

    def play(self, **kinds):
        threads = [threading.Thread(target=self.run, args=(kind, i)) for kind, n in kinds.items() for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"seed {self.seed}: {self.counts}")
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:5]}"
