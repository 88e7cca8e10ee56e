"""Behind proxies: PROXY headers before TLS and HTTP, Forwarded and X-Forwarded-For; who is believed, and who is not.

Addresses of 127.0.0.0/8 stand for machines: 127.0.0.1 and 10.0.0.0/8 are trusted proxies, all others are clients.
"""

import csv
import shutil
import socket
import ssl
import struct
import subprocess

import pytest

from authority import Authority
from fake import answering, chat_json
from gateway import SLOWNESS, Gateway, bearer, free_port, wait_for
from wire import Wire, request_bytes

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, CLIENT6 = "203.0.113.9", "2001:db8:2::9"
V1 = f"PROXY TCP4 {CLIENT} 192.0.2.80 56324 443\r\n".encode()
STRANGER = "127.0.0.66"


def v2(command=0x21, family=0x11, block=None):
    if block is None:
        block = socket.inet_aton(CLIENT) + socket.inet_aton("192.0.2.80") + struct.pack(">HH", 56324, 443)
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(block)) + block


V6_BLOCK = socket.inet_pton(socket.AF_INET6, CLIENT6) * 2 + struct.pack(">HH", 4711, 443)
TLVS = b"\x01\x00\x02h2" + b"\x20\x00\x0f\x01\0\0\0\0\x21\x00\x07TLSv1.3" + b"\x04\x07\xd0" + bytes(2000)


class ProxiedWire(Wire):
    """A connection that begins with a PROXY header; from an address of this machine's own choice."""

    def __init__(self, port, header=b"", source="127.0.0.1", tls=None, session=None, timeout=20, path=None, split=0):
        if path:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = str(path)
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.socket.bind((source, 0))
            address = ("127.0.0.1", port)
        self.socket.settimeout(timeout * SLOWNESS)
        self.socket.connect(address)
        if not path:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.own = "{}:{}".format(*self.socket.getsockname())
        self.pending = b""
        if split:
            self.send_split(header, split)
        else:
            self.socket.sendall(header)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", session=session)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Edge:
    """A gateway with listeners for proxies: plain, with TLS, on a Unix socket, and one on IPv6."""

    def __init__(self, fake, certificate, gateway="", **options):
        self.plain, self.tls = free_port(), free_port()
        self.gateway = Gateway(fake.url, gateway=f"trusted_proxies = 127.0.0.1, 10.0.0.0/8\ntrusted_proxies = unix\n{gateway}",
                               start=False, **options)
        self.unix, self.unix_plain = self.gateway.directory / "edge", self.gateway.directory / "plain"
        self.gateway.write_dropin("50-edge.conf", f"""
[listener "edge"]
address = 127.0.0.1:{self.plain}
proxy_protocol = yes
[listener "edge-tls"]
address = 127.0.0.1:{self.tls}
proxy_protocol = yes
tls_certificate = file:{certificate[0]}
tls_key = file:{certificate[1]}
[listener "edge-unix"]
address = unix:{self.unix}
proxy_protocol = yes
[listener "unix"]
address = unix:{self.unix_plain}
""")
        self.gateway.start()
        self.key = self.gateway.create_key("edge")

    def __enter__(self):
        self.gateway.__enter__()
        return self

    def __exit__(self, *what):
        return self.gateway.__exit__(*what)

    def connect(self, header=b"", **options):
        return ProxiedWire(self.plain, header, **options)

    def direct(self, **options):
        """To the listener that expects no header."""
        return ProxiedWire(self.gateway.port, **options)

    def ask(self, wire, headers=()):
        """Whom the log names as the client of a request."""
        answer = wire.ask("GET", "/v1/models", {**bearer(self.key), **dict(headers)})
        assert answer.status == 200, answer
        return self.client_of(answer)

    def client_of(self, answer):
        return self.gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_CLIENT"]

    def refusals(self):
        return self.gateway.log(SCRIBE_REASON="client_proxy")

    def n_accepted(self):
        return self.gateway.ctl("status")["counters"]["accepted"]

    def n_clients(self):
        return sum(worker["connections"] for worker in self.gateway.ctl("status")["workers"])


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue_files("localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def edge(fake, certificate):
    with Edge(fake, certificate) as found:
        yield found


# ---- headers that are believed

HEADERS = {
    "v1": (V1, f"{CLIENT}:56324"),
    "v1 of IPv6": (f"PROXY TCP6 {CLIENT6} ::1 4711 443\r\n".encode(), f"[{CLIENT6}]:4711"),
    "v2": (v2(), f"{CLIENT}:56324"),
    "v2 of IPv6": (v2(family=0x21, block=V6_BLOCK), f"[{CLIENT6}]:4711"),
    "v2 with extensions": (v2(family=0x21, block=V6_BLOCK + TLVS), f"[{CLIENT6}]:4711"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_client_is_the_one_of_the_header(edge, name):
    header, client = HEADERS[name]
    with edge.connect(header) as wire:
        for _ in range(3):  # and it stays that on a connection that is kept
            assert edge.ask(wire) == client


@pytest.mark.parametrize("name", HEADERS)
def test_header_and_request_in_one_segment(edge, name):
    header, client = HEADERS[name]
    with edge.connect(header + request_bytes("GET", "/v1/models", bearer(edge.key))) as wire:
        assert edge.client_of(wire.read()) == client


@pytest.mark.parametrize("name", ["v1", "v2 of IPv6"])
def test_header_and_request_byte_by_byte(edge, name):
    header, client = HEADERS[name]
    with edge.connect(header, split=1) as wire:
        wire.send_split(request_bytes("GET", "/v1/models", bearer(edge.key)))
        assert edge.client_of(wire.read()) == client


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_header_before_tls(edge, authority, name, version):
    header, client = HEADERS[name]
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    with ProxiedWire(edge.tls, header, tls=context) as wire:
        assert edge.ask(wire) == client
        assert edge.ask(wire) == client


def test_header_and_client_hello_in_one_segment(edge, authority):
    """The handshake's first bytes must stay in the socket for TLS."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    with ProxiedWire(edge.tls, V1 + outgoing.read()) as wire:
        while True:
            incoming.write(wire.receive())
            try:
                hello.do_handshake()
                break
            except ssl.SSLWantReadError:
                wire.send(outgoing.read())  # another hello, if the server wants other parameters
        hello.write(request_bytes("GET", "/v1/models", bearer(edge.key)))
        wire.send(outgoing.read())
        answer = b""
        while b"\r\n\r\n" not in answer:
            incoming.write(wire.receive())
            try:
                answer += hello.read()
            except ssl.SSLWantReadError:
                continue
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_tls_before_the_header_is_refused(edge, authority):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ProxiedWire(edge.tls, tls=authority.client_context())


def test_on_a_unix_socket(edge):
    with ProxiedWire(0, V1, path=edge.unix) as wire:
        assert edge.ask(wire) == f"{CLIENT}:56324"


def test_local_connections_are_the_proxys_own(edge):
    for header in (v2(0x20, 0, b""), v2(0x20, 0x11), v2(0x20, 0xff, b"anything")):
        with edge.connect(header) as wire:
            assert edge.ask(wire) == wire.own


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 203.0.113.9 x\r\n", v2(0x21, 0, b""),
                                    v2(0x21, 0x31, b"/run/x".ljust(216, b"\0"))], ids=["v1", "v1 long", "v2", "v2 unix"])
def test_whom_the_proxy_does_not_know_is_not_believed_either(edge, header):
    with edge.connect(header) as wire:
        assert edge.ask(wire, {"X-Forwarded-For": "198.51.100.7"}) == f"unknown behind {wire.own}"


def test_usage_is_recorded_as_for_anybody(edge, fake):
    fake.on("proxied", answering(chat_json()))
    with edge.connect(V1) as wire:
        answer = edge.gateway.chat(edge.key, model="proxied", wire=wire)
    assert answer.status == 200
    assert edge.gateway.event(answer.request_id)["outcome"] == "complete"
    assert edge.client_of(answer) == f"{CLIENT}:56324"


# ---- those that are not

def refused(edge, detail, header=b"", source="127.0.0.1", port=None, finish=False, path=None):
    """The connection is closed without a byte, and the log says why."""
    before = len(edge.refusals())
    with ProxiedWire(port or edge.plain, header, source=source, path=path) as wire:
        own = getattr(wire, "own", "unix")
        if finish:
            wire.half_close()
        assert wire.read_all() == b""
    lines = wait_for(lambda: edge.refusals()[before:], what="a line about the refusal")
    assert [line["SCRIBE_DETAIL"] for line in lines] == [detail]
    assert lines[0]["SCRIBE_CLIENT"] == own
    assert lines[0]["message"] == f"no PROXY header from {own}: {detail}"


@pytest.mark.parametrize("header, detail", [
    (request_bytes("GET", "/v1/models"), "what came is none"),
    (b"\x16\x03\x01\x02\x00\x01\x00", "what came is none"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "what came is none"),
    (b"PROXY TCP4 203.0.113.9 192.0.2.80 56324 443\n" + b"x" * 100, "the line is malformed"),
    (b"PROXY TCP4 203.0.113.9 192.0.2.80 056324 443\r\n", "the line is malformed"),
    (b"PROXY TCP6 203.0.113.9 192.0.2.80 56324 443\r\n", "the line is malformed"),
    (b"PROXY UNKNOWN " + b"x" * 200, "the line is malformed"),
    (SIGNATURE + b"\x11\x11\x00\x0c", "unknown version or command"),
    (SIGNATURE + b"\x22\x11\x00\x0c", "unknown version or command"),
    (SIGNATURE + b"\x21\x41\x00\x0c", "unknown address family or transport"),
    (v2(block=b"\0" * 11), "its length is too small for its addresses, or beyond 4096"),
    (SIGNATURE + b"\x21\x11\xff\xff", "its length is too small for its addresses, or beyond 4096"),
    (v2(family=0x21, block=V6_BLOCK + b"\x01\x00\x09h2"), "the extensions do not fit their length"),
])
def test_broken_headers_end_the_connection(edge, header, detail):
    refused(edge, detail, header)


def test_broken_header_before_tls(edge):
    refused(edge, "what came is none", b"GET / HTTP/1.1\r\n\r\n", port=edge.tls)


def test_broken_header_on_a_unix_socket(edge):
    refused(edge, "what came is none", b"GET / HTTP/1.1\r\n\r\n", path=edge.unix)


@pytest.mark.parametrize("header", [V1, v2(), b"", request_bytes("GET", "/health")], ids=["v1", "v2", "silence", "http"])
def test_who_is_not_trusted_is_not_listened_to(edge, header):
    before = len(edge.refusals())
    with ProxiedWire(edge.plain, source=STRANGER) as wire:
        try:
            wire.socket.sendall(header)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was closed before
        assert wire.read_all() == b""
    lines = wait_for(lambda: edge.refusals()[before:], what="a line about the refusal")
    assert [line["SCRIBE_DETAIL"] for line in lines] == ["the peer is not among trusted_proxies"]
    assert lines[0]["SCRIBE_CLIENT"] == wire.own


def test_header_that_breaks_off(edge):
    refused(edge, "the peer closed the connection", V1[:20], finish=True)
    refused(edge, "the peer closed the connection", v2()[:20], finish=True)


def test_looking_whether_the_port_is_open_is_no_line(edge):
    accepted = edge.n_accepted()
    for how in ("close", "reset", "half_close"):
        wire = edge.connect()
        getattr(wire, how)()
        wire.close()
    wait_for(lambda: edge.n_accepted() == accepted + 3 and edge.n_clients() == 0, what="the end of three connections")
    refused(edge, "what came is none", b"x")  # and no line before this one


def test_a_second_header_is_no_request(edge):
    with edge.connect(V1) as wire:
        wire.send(V1)
        assert wire.read().status == 400


def test_header_on_a_listener_without_is_no_request(edge):
    with edge.direct() as wire:
        wire.send(V1 + request_bytes("GET", "/v1/models"))
        assert wire.read().status == 400


def test_flood_of_refusals_is_counted(edge, fake, certificate):
    with Edge(fake, certificate, workers=1) as one:
        for _ in range(70):
            with one.connect(b"x") as wire:
                assert wire.read_all() == b""
        assert one.gateway.ctl("status")["counters"]["client_proxy"] == 70
        one.gateway.terminate()
        assert one.gateway.wait_end() == 0
        assert len([line for line in one.refusals() if "SCRIBE_COUNT" not in line]) == 50
        assert [line["SCRIBE_COUNT"] for line in one.refusals() if "SCRIBE_COUNT" in line] == ["20"]


def test_late_header(fake, certificate):
    with Edge(fake, certificate, gateway="head_timeout = 300ms") as slow:
        for header in (b"", V1[:-1], v2()[:-1]):
            refused(slow, "it did not come within head_timeout", header)
        assert slow.n_clients() == 0


def test_counts_come_out_even(edge):
    for header in (V1, b"x", v2(), b"", V1[:9]):
        wire = edge.connect(header)
        if header in (V1, v2()):
            edge.ask(wire)
        wire.close()
    wait_for(lambda: edge.n_clients() == 0, what="no client")


# ---- the life of the gateway

def test_no_room_is_told_after_the_header(fake, certificate):
    with Edge(fake, certificate, gateway="max_connections = 1") as small:
        wait_for(lambda: small.n_clients() == 0, what="the end of the connection that the key was tried on")
        with small.connect(V1) as wire:
            assert small.ask(wire) == f"{CLIENT}:56324"  # the one that there is room for
            with small.connect(V1) as second:
                answer = second.read()
                assert answer.status == 503 and answer.json()["error"]["code"] == "too_many_connections"
                assert small.client_of(answer) == f"{CLIENT}:56324"
        wait_for(lambda: small.n_clients() == 0, what="no client")
        with small.connect(V1) as wire:
            assert small.ask(wire) == f"{CLIENT}:56324"


def test_connection_that_waits_for_its_header_is_drained(fake, certificate):
    with Edge(fake, certificate, workers=1) as found:
        with found.connect(V1[:-1]) as wire:
            wait_for(lambda: found.n_clients() == 1, what="the connection")
            since = found.gateway.notices.count()
            found.gateway.terminate()
            found.gateway.notices.wait(since, STOPPING="1")
            wire.send(V1[-1:])
            answer = wire.ask("GET", "/v1/models", bearer(found.key))
            assert answer.status == 200 and answer.header("connection") == "close"
        assert found.gateway.wait_end() == 0


def test_reload_changes_who_is_trusted(fake, certificate):
    with Edge(fake, certificate) as found:
        kept = found.direct()
        assert found.ask(kept, {"X-Forwarded-For": CLIENT}) == CLIENT
        found.gateway.write_dropin("60-other.conf", "[gateway]\ntrusted_proxies =\ntrusted_proxies = 127.0.0.66\n")
        found.gateway.reload()
        refused(found, "the peer is not among trusted_proxies")
        with found.connect(V1, source=STRANGER) as wire:
            assert found.ask(wire) == f"{CLIENT}:56324"
        assert found.ask(kept, {"X-Forwarded-For": CLIENT}) == kept.own  # the next exchange has the new configuration
        kept.close()
        found.gateway.write_dropin("60-other.conf", "[listener \"edge\"]\nproxy_protocol = no\n")
        found.gateway.reload()
        with found.connect() as wire:
            assert found.ask(wire) == wire.own


def test_nobody_trusted_is_refused_at_reload(edge):
    path = edge.gateway.write_dropin("60-nobody.conf", "[gateway]\ntrusted_proxies =\n")
    done = edge.gateway.ctl_run("reload")
    path.unlink()
    assert done.returncode == 1 and "proxy_protocol = yes, but [gateway] has no trusted_proxies" in done.stderr
    with edge.connect(V1) as wire:
        assert edge.ask(wire) == f"{CLIENT}:56324"


# ---- Forwarded and X-Forwarded-For

@pytest.mark.parametrize("headers, client", [
    ({"X-Forwarded-For": CLIENT}, CLIENT),
    ({"X-Forwarded-For": f"198.51.100.7, {CLIENT}, 10.0.0.7"}, CLIENT),
    ({"X-Forwarded-For": f"[{CLIENT6}]:4711, 10.0.0.7"}, CLIENT6),
    ({"X-Forwarded-For": "10.0.0.9, 10.0.0.7"}, "10.0.0.9"),
    ({"X-Forwarded-For": f"{CLIENT}, unknown, 10.0.0.7"}, "10.0.0.7"),
    ({"Forwarded": f"for={CLIENT};proto=https;by=10.0.0.7"}, CLIENT),
    ({"Forwarded": f'for=198.51.100.7, for="[{CLIENT6}]:4711", for=10.0.0.7'}, CLIENT6),
    ({"Forwarded": f"for={CLIENT}, for=_hidden, for=10.0.0.7"}, "10.0.0.7"),
    ({"Forwarded": f"for={CLIENT}", "X-Forwarded-For": f"{CLIENT}, 10.0.0.7"}, CLIENT),
])
def test_trusted_proxy_names_the_client(edge, headers, client):
    with edge.direct() as wire:
        assert edge.ask(wire, headers) == client
        assert edge.ask(wire) == wire.own  # of this request only


def http2_client(edge, port, *arguments):
    """Whom the log names as the client of a request of curl."""
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "-m", "30", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null",
                           "-H", f"Authorization: Bearer {edge.key}", *arguments, f"http://127.0.0.1:{port}/v1/models"],
                          capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("HTTP/2 200")
    request_id = next(line.split(": ")[1].strip() for line in lines if line.startswith("x-request-id"))
    return edge.gateway.wait_log(SCRIBE_REQUEST=request_id)["SCRIBE_CLIENT"]


def test_fields_of_http2(edge):
    assert http2_client(edge, edge.gateway.port, "-H", f"X-Forwarded-For: {CLIENT}, 10.0.0.7") == CLIENT
    assert http2_client(edge, edge.gateway.port, "-H", f"Forwarded: for={CLIENT}", "-H", "X-Forwarded-For: ::9").startswith("127.0.0.1:")


@pytest.mark.parametrize("headers, note", [
    ({"X-Forwarded-For": f"{CLIENT}, unknown"}, "names no address"),
    ({"X-Forwarded-For": "<script>"}, "names no address"),
    ({"Forwarded": f"for={CLIENT}:80"}, "names no address"),
    ({"Forwarded": f'for={CLIENT};x=", for=198.51.100.7'}, "names no address"),
    ({"Forwarded": "for=198.51.100.7", "X-Forwarded-For": CLIENT}, "name different clients"),
])
def test_what_cannot_be_believed_leaves_the_peer(edge, headers, note):
    with edge.direct() as wire:
        answer = wire.ask("GET", "/v1/models", {**bearer(edge.key), **headers})
        line = edge.gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
        assert line["SCRIBE_CLIENT"] == wire.own and note in line["SCRIBE_DETAIL"]


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=198.51.100.7"},
                                     {"X-Real-IP": "198.51.100.7"}, {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"}])
def test_untrusted_client_cannot_name_another(edge, headers):
    with edge.direct(source=STRANGER) as wire:
        assert edge.ask(wire, headers) == wire.own
    with edge.connect(V1) as wire:  # nor can one behind a proxy that hands on connections
        assert edge.ask(wire, headers) == f"{CLIENT}:56324"


def test_fields_of_the_peer_that_the_header_names(edge):
    """A trusted proxy behind another one that hands on connections."""
    with edge.connect(b"PROXY TCP4 10.0.0.7 192.0.2.80 1 443\r\n") as wire:
        assert edge.ask(wire, {"X-Forwarded-For": CLIENT}) == CLIENT
        assert edge.ask(wire) == "10.0.0.7:1"


def test_peers_of_a_unix_socket_are_trusted_as_one(edge):
    with ProxiedWire(0, path=edge.unix_plain) as wire:
        assert edge.ask(wire, {"X-Forwarded-For": CLIENT}) == CLIENT
        assert edge.ask(wire) == "unix"


def test_nobody_is_believed_by_default(fake):
    with Gateway(fake.url) as plain:
        key = plain.create_key("plain")
        with plain.connect() as wire:
            answer = wire.ask("GET", "/v1/models", {**bearer(key), "X-Forwarded-For": CLIENT, "Forwarded": f"for={CLIENT}"})
        assert plain.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_CLIENT"].startswith("127.0.0.1:")


def test_providers_never_learn_of_clients(edge, fake):
    fake.on("discreet", answering(chat_json()))
    told = {"X-Forwarded-For": f"{CLIENT}, 10.0.0.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "inside.example",
            "X-Real-IP": CLIENT, "Via": "1.1 inside"}
    body = {"model": "discreet", "messages": [{"role": "user", "content": "Hello"}]}
    for header, fields in ((V1, told), (v2(), {**told, "Forwarded": f"for={CLIENT};host=inside.example"})):
        with edge.connect(header) as wire:
            assert wire.ask("POST", "/v1/chat/completions", {**bearer(edge.key), **fields}, body).status == 200
    sent = fake.of("discreet")
    assert len(sent) == 2
    for x in sent:
        names = {name for name, _ in x.headers}
        assert not names & {"forwarded", "via", "x-real-ip"} and not any(name.startswith("x-forwarded") for name in names)
        assert CLIENT not in str(x.raw_head) and "inside" not in str(x.raw_head)


# ---- HAProxy

def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Haproxy:
    """Debian's haproxy before the gateway: connections handed on with either version, with and without TLS, and HTTP."""

    def __init__(self, edge, directory):
        self.ports = {name: free_port() for name in ("v1", "v2", "tls", "http")}
        self.config, self.stats = directory / "haproxy.cfg", directory / "stats"
        self.config.write_text(f"""
global
    maxconn 100
    stats socket {self.stats}
defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen v1
    mode tcp
    bind 127.0.0.1:{self.ports["v1"]}
    server gateway 127.0.0.1:{edge.plain} send-proxy
listen v2
    mode tcp
    bind 127.0.0.1:{self.ports["v2"]}
    option httpchk GET /health
    default-server inter 100ms
    server gateway 127.0.0.1:{edge.plain} send-proxy-v2 check
listen tls
    mode tcp
    bind 127.0.0.1:{self.ports["tls"]}
    server gateway 127.0.0.1:{edge.tls} send-proxy-v2 proxy-v2-options unique-id,crc32c
listen http
    mode http
    bind 127.0.0.1:{self.ports["http"]}
    option forwardfor
    server gateway 127.0.0.1:{edge.gateway.port}
""")
        self.output = open(directory / "haproxy.log", "wb")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(self.config)], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=self.output)

    def connect(self, name, **options):
        return ProxiedWire(self.ports[name], source="127.0.0.9", **options)

    def last_check(self, name):
        """What it thinks of the server: "L7OK"."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.stats))
            asking.sendall(b"show stat\n")
            lines = asking.makefile().read().removeprefix("# ").splitlines()
        found = [row for row in csv.DictReader(lines) if (row["pxname"], row["svname"]) == (name, "gateway")]
        return found[0]["check_status"]

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.output.close()


@pytest.fixture(scope="module")
def haproxy(edge, tmp_path_factory):
    if not shutil.which("haproxy"):
        pytest.skip("no haproxy; ./start.sh test installs it")
    running = Haproxy(edge, tmp_path_factory.mktemp("haproxy"))
    try:
        for port in running.ports.values():
            wait_for(lambda: is_open(port), what=f"haproxy's port {port}")
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_haproxy_hands_on_connections(edge, haproxy, name):
    with haproxy.connect(name) as wire:
        for _ in range(3):
            assert edge.ask(wire, {"X-Forwarded-For": "198.51.100.7"}) == wire.own
        answer = edge.gateway.chat(edge.key, content="one two three", stream=True, wire=wire)
        assert answer.events()[-1] == "[DONE]"


def test_haproxy_hands_on_tls(edge, haproxy, authority):
    with haproxy.connect("tls", tls=authority.client_context()) as wire:
        for _ in range(2):
            assert edge.ask(wire) == wire.own


def test_haproxy_hands_on_http2(edge, haproxy):
    assert http2_client(edge, haproxy.ports["v2"], "--interface", "127.0.0.9").startswith("127.0.0.9:")


def test_haproxy_forwards_requests(edge, haproxy):
    with haproxy.connect("http") as wire:
        assert edge.ask(wire) == "127.0.0.9"
        assert edge.ask(wire, {"X-Forwarded-For": "198.51.100.7"}) == "127.0.0.9"


def test_haproxy_checks_are_the_proxys_own(edge, haproxy):
    """They say LOCAL, and are answered."""
    before = len(edge.refusals())
    wait_for(lambda: haproxy.last_check("v2") == "L7OK", what="a check that went well", pause=0.05)
    assert len(edge.refusals()) == before
