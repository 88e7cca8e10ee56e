"""Several nodes that share a database and a Redis, each in a network namespace of its own, with a faulty net between.

    with Fleet(3, redis=redis.port, postgres=postgres.port, config=…) as fleet:
        fleet.nodes[0].chat(key)              # Gateway, reached by a Unix socket
        fleet.redis_relay.hold()              # half-open: accepted, and nothing is passed on
        fleet.cut(fleet.nodes[1], "redis")    # its packets are dropped

Server programs listen on the loopback of the test; nodes reach them through relays at the hub's address. Needs root.
"""

import contextlib
import ctypes
import itertools
import os
import socket
import struct
import subprocess
import threading
import time

from gateway import SLOWNESS, Gateway, wait_for
from wire import Wire

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
HUB = "10.77.0.1"
REDIS_PORT, POSTGRES_PORT = 6379, 5432
NUMBERS = itertools.count()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


def in_namespace(name, make):
    """What make() returns when it runs in a thread of that namespace: sockets stay where they were made."""
    found = []

    def enter():
        with open(f"/run/netns/{name}", encoding="ascii") as namespace:
            if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
                found.append(OSError(ctypes.get_errno(), "setns"))
                return
        try:
            found.append(make())
        except OSError as error:
            found.append(error)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


class Relay:
    """Passes bytes on to a port of the loopback, as well as it is told to."""

    def __init__(self, to_port, namespace=None, address=("127.0.0.1", 0)):
        def listen():
            return socket.create_server(address, backlog=256)

        self.to_port = to_port
        self.listener = in_namespace(namespace, listen) if namespace else listen()
        self.port = self.listener.getsockname()[1]
        self.go_on = threading.Event()
        self.go_on.set()
        self.delay = 0.0
        self.refuses = False
        self.n_connections = 0
        self.open = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self):
        """Half-open: connections are accepted, and nothing comes through any more, in either direction."""
        self.go_on.clear()

    def slow(self, seconds):
        """Each piece is late by so much."""
        self.delay = seconds

    def refuse(self):
        """Connections that come are closed at once, and so are those that are there."""
        self.refuses = True
        self.break_all()

    def heal(self):
        self.delay, self.refuses = 0.0, False
        self.go_on.set()

    def break_all(self):
        """With a reset."""
        with self.lock:
            broken, self.open = self.open, set()
        for one in broken:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.heal()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.break_all()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            if self.refuses:
                near.close()
                continue
            threading.Thread(target=self._begin, args=(near,), daemon=True).start()

    def _begin(self, near):
        self.go_on.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self.to_port))
        except OSError:
            near.close()
            return
        with self.lock:
            self.open |= {near, far}
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
        self._pass(far, near)

    def _pass(self, source, target):
        try:
            while True:
                data = source.recv(65536)
                self.go_on.wait()
                if self.delay:
                    time.sleep(self.delay)  # that is the fault
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self.lock:
                self.open.discard(one)


class Node(Gateway):
    """A gateway with a ledger of its own, in a namespace of its own; clients come by a Unix socket."""

    def __init__(self, namespace, address, **options):
        super().__init__(ledger="own", start=False, **options)
        self.namespace, self.address = namespace, address
        self.wrapper = self.ledger_wrapper = ["ip", "netns", "exec", namespace]
        self.client_path = self.run / "clients.socket"
        self.write_config(self.main_text.replace(f"address = 127.0.0.1:{self.port}", f"address = unix:{self.client_path}"))

    def connect(self, **options):
        options.setdefault("timeout", 20 * SLOWNESS)
        return Wire(self.client_path, **options)

    def ask(self, method, target, headers=(), body=None, **options):
        options.pop("timeout", None)
        keep_broken = options.pop("keep_broken", False)
        with self.connect(**options) as wire:
            return wire.ask(method, target, headers, body, keep_broken=keep_broken)


class Fleet:
    def __init__(self, n, redis=None, postgres=None, config="", start=True, **options):
        """redis, postgres: ports of the loopback, or None. config may have {hub}."""
        self.name = f"sg{os.getpid()}-{next(NUMBERS)}"
        self.hub = f"{self.name}-hub"
        self.nodes, self.namespaces = [], []
        self.n_keys = 0
        self.redis_relay = self.postgres_relay = None
        self._make_hub()
        if redis:
            self.redis_relay = Relay(redis, self.hub, (HUB, REDIS_PORT))
        if postgres:
            self.postgres_relay = Relay(postgres, self.hub, (HUB, POSTGRES_PORT))
        for i in range(n):
            self._make_node(i, config.replace("{hub}", HUB), options)
        if start:
            self.start()

    def _make_hub(self):
        run("ip", "netns", "add", self.hub)
        self.namespaces.append(self.hub)
        run("ip", "-n", self.hub, "link", "set", "lo", "up")
        run("ip", "-n", self.hub, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.hub, "addr", "add", f"{HUB}/24", "dev", "br0")
        run("ip", "-n", self.hub, "link", "set", "br0", "up")

    def _make_node(self, i, config, options):
        name, address = f"{self.name}-{i}", f"10.77.0.{10 + i}"
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"n{i}", "netns", self.hub)
        run("ip", "-n", self.hub, "link", "set", f"n{i}", "master", "br0", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", link, "up")
        self.nodes.append(Node(name, address, config=config, **options))

    def start(self):
        for node in self.nodes:
            node.start()

    # ---- keys: of all nodes

    def wait_keys(self):
        """Until every node has every key that was made; asking with one would count."""
        for node in self.nodes:
            wait_for(lambda node=node: node.control("GetStatus")["keys"]["n_keys"] >= self.n_keys, 20, "the keys on all nodes")

    def limited(self, name, *limits, **more):
        secret = self.nodes[0].create_key(name, wait=False, limits=list(limits), **more)
        self.n_keys += 1
        self.wait_keys()
        for node in self.nodes:
            node.secrets.append(secret)
        return secret

    # ---- the net

    def _rules(self, node, change, port, *how):
        for chain, side in (("OUTPUT", "--dport"), ("INPUT", "--sport")):
            run("ip", "netns", "exec", node.namespace, "iptables", change, chain, "-p", "tcp", side, str(port), *how, "-j", "DROP")

    @staticmethod
    def _port(what):
        return {"redis": REDIS_PORT, "postgres": POSTGRES_PORT}[what]

    def cut(self, node, what):
        """Packets between the node and that server are dropped without a word."""
        self._rules(node, "-A", self._port(what))

    def lossy(self, node, what, share):
        self._rules(node, "-A", self._port(what), "-m", "statistic", "--mode", "random", "--probability", str(share))

    def narrow(self, node, rate="64kbit"):
        run("ip", "netns", "exec", node.namespace, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate,
            "burst", "4kb", "latency", "2s")

    def heal(self, node):
        run("ip", "netns", "exec", node.namespace, "iptables", "-F")
        subprocess.run(["ip", "netns", "exec", node.namespace, "tc", "qdisc", "del", "dev", "eth0", "root"], capture_output=True, check=False)

    # ---- the end

    def close(self, failed=False):
        for node in self.nodes:
            for relay in filter(None, (self.redis_relay, self.postgres_relay)):
                relay.heal()
            self.heal(node)
        for node in self.nodes:
            node.__exit__(AssertionError if failed else None, None, None)
        for relay in filter(None, (self.redis_relay, self.postgres_relay)):
            relay.close()
        for name in reversed(self.namespaces):
            run("ip", "netns", "del", name)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)
