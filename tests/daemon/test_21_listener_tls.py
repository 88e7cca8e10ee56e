"""TLS on a listener: certificates, names, tickets, clients' certificates, reloads."""

import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from authority import Authority
from fake import held_stream
from gateway import Adopted, Gateway, bearer, become_subreaper, free_port, wait_for
from wire import Closed, Wire


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def localhost(authority):
    return authority.issue_files("localhost", "DNS:localhost,IP:127.0.0.1")


def listener(port, certificates, more=""):
    lines = "".join(f"tls_certificate = file:{c}\ntls_key = file:{k}\n" for c, k in certificates)
    return f"""
[listener "https"]
address = 127.0.0.1:{port}
{lines}{more}
"""


class Tls:
    """A gateway with a listener https."""

    def __init__(self, fake, authority, certificates, more="", **options):
        self.port = free_port()
        self.authority = authority
        self.gateway = Gateway(fake.url, config=listener(self.port, certificates, more), **options)

    def __enter__(self):
        self.gateway.__enter__()
        return self

    def __exit__(self, *what):
        return self.gateway.__exit__(*what)

    def connect(self, context=None, **options):
        return Wire(self.port, tls=context or self.authority.client_context(), **options)

    def chat(self, key, wire, **fields):
        return self.gateway.chat(key, wire=wire, **fields)

    def lines(self):
        return [entry for entry in self.gateway.log() if entry.get("SCRIBE_REASON", entry.get("scribe_reason")) == "client_tls"]


@pytest.fixture(scope="module")
def tls(fake, authority, localhost):
    with Tls(fake, authority, [localhost]) as found:
        found.key = found.gateway.create_key("tls")
        yield found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_chat_over_tls(tls, authority, version):
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    with tls.connect(context) as wire:
        assert wire.socket.selected_alpn_protocol() == "http/1.1"
        for _ in range(2):  # and the connection is kept
            assert tls.chat(tls.key, wire).status == 200
    with tls.gateway.connect() as plain:
        assert tls.chat(tls.key, plain).status == 200  # the other listener is what it was


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_versions_are_refused(tls, authority):
    context = authority.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls.connect(context)


def test_stream_and_large_bodies(tls):
    with tls.connect() as wire:
        text = "many words " * 40_000
        answer = tls.chat(tls.key, wire, content=text)
        assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"].count("many") == 40_000
        answer = tls.chat(tls.key, wire, content="one two three", stream=True)
        assert answer.events()[-1] == "[DONE]"


def test_one_byte_at_a_time(tls):
    """Each in a record of its own."""
    with tls.connect() as wire:
        wire.send_split(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.read().status == 200


def test_pipelined_requests_in_one_record(tls):
    with tls.connect() as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert [wire.read().status for _ in range(3)] == [200] * 3


def test_sessions_are_resumed_by_every_worker(tls, authority):
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls.connect(context) as wire:
        assert wire.ask("GET", "/health").status == 200
        session = wire.socket.session
    resumed = []
    for _ in range(12):  # two workers accept from one socket
        with tls.connect(context, session=session) as wire:
            assert wire.ask("GET", "/health").status == 200
            resumed.append(wire.socket.session_reused)
    assert all(resumed)


def test_tickets_of_tls13(tls, authority):
    context = authority.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tls.connect(context) as wire:
        assert wire.ask("GET", "/health").status == 200  # the ticket comes after the handshake
        session = wire.socket.session
    with tls.connect(context, session=session) as wire:
        assert wire.ask("GET", "/health").status == 200
        assert wire.socket.session_reused


def test_plain_http_and_garbage_get_nothing(tls):
    before = len(tls.lines())
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 200, bytes(range(256)) * 3):
        with Wire(tls.port) as wire:
            wire.send(sent)
            wire.half_close()
            assert b"HTTP/" not in wire.read_all()
    wait_for(lambda: len(tls.lines()) > before, what="the lines")
    with tls.connect() as wire:
        assert wire.ask("GET", "/health").status == 200


def test_silent_client_meets_the_head_timeout(fake, authority, localhost):
    with Tls(fake, authority, [localhost], gateway="head_timeout = 1s") as found:
        with Wire(found.port) as wire:
            assert wire.is_closed(timeout=5)


def test_name_chooses_the_certificate(fake, authority, localhost):
    other = authority.issue_files("api.example", "DNS:api.example,DNS:*.wild.example")
    with Tls(fake, authority, [localhost, other]) as found:
        def subject(name):
            with found.connect(name=name) as wire:  # the name is verified by the client
                return dict(pair[0] for pair in wire.socket.getpeercert()["subject"])["commonName"]
        assert subject("localhost") == "localhost"
        assert subject("api.example") == "api.example"
        assert subject("x.wild.example") == "api.example"
        with pytest.raises(ssl.SSLCertVerificationError):
            found.connect(name="unknown.example")  # gets the first, which is not for it


@pytest.fixture(scope="module")
def alice(authority):
    return authority.issue_files("alice", "DNS:alice", purpose="clientAuth")


def is_served(found, context):
    """TLS 1.3 tells a client of its refusal after the handshake, with an alert or by closing."""
    try:
        with found.connect(context) as wire:
            return wire.ask("GET", "/health").status == 200
    except (ssl.SSLError, ConnectionError, Closed):
        return False


def test_client_certificates(fake, authority, localhost, alice, tmp_path):
    stranger = Authority(tmp_path / "stranger", "Another CA").issue_files("mallory", "DNS:mallory", purpose="clientAuth")
    server = authority.issue_files("not-a-client", "DNS:x", purpose="serverAuth")
    ca = f"client_ca = {authority.certificate}\n"
    with Tls(fake, authority, [localhost], ca + "client_certificate = required\n") as found:
        assert is_served(found, authority.client_context(*alice))
        assert not is_served(found, authority.client_context())
        assert not is_served(found, authority.client_context(*stranger))
        assert not is_served(found, authority.client_context(*server))
        wait_for(lambda: any("client_ca" in str(line) for line in found.lines()), what="the reason")
    with Tls(fake, authority, [localhost], ca + "client_certificate = optional\n") as found:
        assert is_served(found, authority.client_context(*alice))
        assert is_served(found, authority.client_context())
        assert not is_served(found, authority.client_context(*stranger))


def test_reload_brings_a_new_certificate_and_keeps_connections(fake, authority, localhost, tmp_path):
    certificate, key = (tmp_path / name for name in ("tls.pem", "tls.key"))
    shutil.copy(localhost[0], certificate)
    shutil.copy(localhost[1], key)
    with Tls(fake, authority, [(certificate, key)]) as found:
        with found.connect() as kept:
            assert kept.ask("GET", "/health").status == 200
            renewed = authority.issue_files("renewed", "DNS:localhost,IP:127.0.0.1")
            shutil.copy(renewed[0], certificate)
            shutil.copy(renewed[1], key)
            found.gateway.reload()
            assert kept.ask("GET", "/health").status == 200
            with found.connect() as wire:
                assert dict(pair[0] for pair in wire.socket.getpeercert()["subject"])["commonName"] == "renewed"
            # Half of a renewal changes nothing.
            shutil.copy(localhost[0], certificate)
            found.gateway.reload()
            with found.connect() as wire:
                assert dict(pair[0] for pair in wire.socket.getpeercert()["subject"])["commonName"] == "renewed"
            assert kept.ask("GET", "/health").status == 200


def test_tickets_outlive_a_reload(fake, authority, localhost):
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Tls(fake, authority, [localhost]) as found:
        with found.connect(context) as wire:
            assert wire.ask("GET", "/health").status == 200
            session = wire.socket.session
        found.gateway.reload()
        with found.connect(context, session=session) as wire:
            assert wire.ask("GET", "/health").status == 200
            assert wire.socket.session_reused


def test_rsa_is_warned_of(fake, authority):
    pair = authority.issue_files("rsa", "DNS:localhost", algorithm="rsa:2048")
    with Tls(fake, authority, [pair]) as found:
        with found.connect() as wire:
            assert wire.ask("GET", "/health").status == 200
        assert [entry for entry in found.gateway.log(level="notice") if "RSA" in entry["message"]] or \
            "RSA" in found.gateway.stderr()


@pytest.mark.parametrize("name, said", [
    ("missing", "No such file"),
    ("garbage", "tls.pem"),
    ("mismatch", "not for the private key"),
    ("no_key", "needs its key"),
    ("no_ca", "client_ca"),
])
def test_broken_certificates_are_refused_at_the_start(fake, authority, localhost, tmp_path, name, said):
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    shutil.copy(localhost[0], certificate)
    shutil.copy(localhost[1], key)
    more, pairs = "", [(certificate, key)]
    if name == "missing":
        certificate.unlink()
    elif name == "garbage":
        certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif name == "mismatch":
        shutil.copy(authority.issue_files("else", "DNS:else")[1], key)
    elif name == "no_key":
        pairs, more = [], f"tls_certificate = file:{certificate}\n"
    elif name == "no_ca":
        more = "client_certificate = required\n"
    with Gateway(fake.url, config=listener(free_port(), pairs, more), start=False) as gateway:
        gateway.start(wait=False)
        assert gateway.wait_end() == 78
        assert said in gateway.stderr()
        assert "BEGIN" not in gateway.stderr()


def test_stream_over_tls_outlives_an_upgrade(fake, authority, localhost):
    become_subreaper()
    go_on = threading.Event()

    fake.on("tls-long", held_stream(go_on))
    with Tls(fake, authority, [localhost], ledger="own") as found:
        key = found.gateway.create_key("tls-upgrade")
        with found.connect() as wire:
            wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "tls-long", "stream": True, "messages": []})
            answer = wire.read_head()
            reply = found.gateway.control("Upgrade")
            old, found.gateway.process = found.gateway.process, Adopted(reply["new_pid"])
            with found.connect() as second:
                assert second.ask("GET", "/health").status == 200
            go_on.set()
            for _ in wire.each_piece(answer):
                pass
            assert answer.events()[-1] == "[DONE]"
        assert old.wait(20) == 0


def test_listener_that_is_configured_no_more_is_not_spoken_to_in_the_clear(fake, authority, localhost):
    with Tls(fake, authority, [localhost]) as found:
        text = found.gateway.main_text
        found.gateway.write_config(text[:text.index('[listener "https"]')])
        found.gateway.reload()
        with socket.create_connection(("127.0.0.1", found.port), timeout=5) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                assert plain.recv(100) == b""
            except ConnectionResetError:
                pass


def test_clients_need_no_second_hello(tls):
    """A server that prefers another group than the client has sent a share for asks again, one round trip each time."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls.port}", "-tls1_3", "-msg"], input="", capture_output=True,
                          text=True, timeout=30)
    hellos = [line for line in done.stdout.splitlines() if "ClientHello" in line]
    assert len(hellos) == 1, hellos
