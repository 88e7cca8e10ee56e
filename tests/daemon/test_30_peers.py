"""Programs that people run behind the gateway, before it and against it, as Debian has them: nginx, Apache, HAProxy, curl, h2load,
and the TLS clients of OpenSSL and GnuTLS. The gateway is between them and must not be noticed."""

import contextlib
import gzip
import hashlib
import json
import os
import re
import select
import subprocess
import time

import pytest

from authority import Authority
from backend import Backend
from gateway import SLOWNESS, Gateway, free_port
from servers import KINDS, Apache, Haproxy, Nginx, program
from test_26_services import service
from wire import Wire

TEXT = b"".join(b"line %d of a text that can be compressed\n" % i for i in range(5000))
UPLOAD = 64 << 20
DOWNLOAD = 48 << 20
PROTOCOLS = {"http1": "http1", "tls1": "http1", "h2c": "http2", "h2": "auto"}
VERSIONS = {"http1": "HTTP/1.1", "tls1": "HTTP/1.1", "h2c": "HTTP/2.0", "h2": "HTTP/2.0"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def alice(authority):
    return authority.issue_files("alice", "DNS:alice", purpose="clientAuth")


@pytest.fixture(scope="module")
def mallory(authority):
    return authority.issue_files("mallory", "DNS:mallory", purpose="clientAuth")


@pytest.fixture(scope="module")
def upload(tmp_path_factory):
    """A file that cannot be compressed, and what it sums up to."""
    path = tmp_path_factory.mktemp("upload") / "body"
    data = os.urandom(1 << 20) * (UPLOAD >> 20)
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def digest(x):
    """Sums up what it gets, and keeps none of it."""
    total = hashlib.sha256()
    for piece in x.pieces():
        total.update(piece)
        x.body.clear()
    x.answer({"sha256": total.hexdigest(), "headers": x.headers, "method": x.method})


class House:
    """All of them around one gateway."""

    def __init__(self, authority, hold):
        certificate = authority.issue_files("localhost", "DNS:localhost,IP:127.0.0.1")
        self.tls, self.proxied = free_port(), free_port()
        self.authority = authority
        self.backend = hold(Backend())
        self.backend.on("/told/digest", digest)
        self.gateway = Gateway(gateway="trusted_proxies = 127.0.0.1\n", start=False)
        self.servers = {"nginx": hold(Nginx(certificate, front_of=self.gateway.port)), "apache": hold(Apache(certificate)),
                        "haproxy": hold(Haproxy(self.proxied, self.gateway.port))}
        for name in ("nginx", "apache"):
            self.fill(self.servers[name].files)
        self.gateway.write_dropin("50-house.conf", self.listeners(certificate) + self.services())
        self.gateway.start()
        hold(self.gateway)

    @staticmethod
    def fill(files):
        (files / "text.txt").write_bytes(TEXT)
        (files / "small.bin").write_bytes(b"small")
        (files / "large.bin").write_bytes(hashlib.sha512(b"seed").digest() * (DOWNLOAD >> 6))

    def listeners(self, certificate):
        return f"""
[listener "https"]
address = 127.0.0.1:{self.tls}
tls_certificate = file:{certificate[0]}
tls_key = file:{certificate[1]}
client_ca = {self.authority.certificate}
client_certificate = optional
[listener "proxied"]
address = 127.0.0.1:{self.proxied}
proxy_protocol = yes
"""

    def services(self):
        text = service("told", prefix="/told", endpoint=self.backend.url, max_body="1G")
        text += service("mine", prefix="/mine", endpoint=self.backend.url, auth="certificate", client_subject="CN=alice")
        for name in ("nginx", "apache"):
            for kind in KINDS:
                trust = {"ca_file": self.authority.certificate} if kind in ("tls1", "h2") else {}
                text += service(f"{name}-{kind}", prefix=f"/{name}-{kind}/", endpoint=self.servers[name].url(kind), strip_prefix="yes",
                                protocol=PROTOCOLS[kind], max_body="1G", **trust)
        return text

    def curl(self, *arguments, **options):
        """What it says on stdout; a failure of its own is one of the test's."""
        done = self.curl_run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def curl_run(self, *arguments, **options):
        command = [program("curl"), "-q", "-sS", "--noproxy", "*", "-m", int(60 * SLOWNESS), "--cacert", self.authority.certificate]
        return subprocess.run([*map(str, (*command, *arguments))], capture_output=True, text=True, timeout=80 * SLOWNESS, **options)


@pytest.fixture(scope="module")
def house(authority):
    with contextlib.ExitStack() as stack:
        yield House(authority, stack.enter_context)


@pytest.fixture(params=[f"{name}-{kind}" for name in ("nginx", "apache") for kind in KINDS])
def origin(house, request):
    """(Server, path of its service, what its log calls the protocol)."""
    name, _, kind = request.param.partition("-")
    return house.servers[name], f"/{request.param}", VERSIONS[kind]


# ---- web servers behind the gateway

def test_a_file_and_its_parts(house, origin):
    server, at, version = origin
    with house.gateway.connect() as wire:
        whole = wire.ask("GET", f"{at}/text.txt")
        assert (whole.status, whole.body) == (200, TEXT) and whole.header("content-type") == "text/plain"
        part = wire.ask("GET", f"{at}/text.txt", {"Range": "bytes=1000-1999"})
        assert (part.status, part.body) == (206, TEXT[1000:2000])
        assert part.header("content-range") == f"bytes 1000-1999/{len(TEXT)}"
        parts = wire.ask("GET", f"{at}/text.txt", {"Range": "bytes=0-9,20-29"})
        assert parts.status == 206 and parts.header("content-type").startswith("multipart/byteranges") and TEXT[20:30] in parts.body
        beyond = wire.ask("GET", f"{at}/text.txt", {"Range": f"bytes={len(TEXT)}-"})
        assert beyond.status == 416
    assert server.asked()[-1][0] == version


def test_answers_without_a_body(house, origin):
    _, at, _ = origin
    with house.gateway.connect() as wire:
        whole = wire.ask("GET", f"{at}/text.txt")
        head = wire.ask("HEAD", f"{at}/text.txt")
        assert head.status == 200 and head.header("content-length") == str(len(TEXT)) and head.body == b""
        same = wire.ask("GET", f"{at}/text.txt", {"If-None-Match": whole.header("etag")})
        assert same.status == 304 and same.header("etag") == whole.header("etag") and same.body == b""
        same = wire.ask("GET", f"{at}/text.txt", {"If-Modified-Since": whole.header("last-modified")})
        assert same.status == 304
        assert wire.ask("GET", f"{at}/absent").status == 404
        assert wire.ask("GET", f"{at}/small.bin").body == b"small"  # nothing of those is left on the connection


def test_compressed_answers(house, origin):
    _, at, _ = origin
    answer = house.gateway.ask("GET", f"{at}/text.txt", {"Accept-Encoding": "gzip"})
    assert answer.header("content-encoding") == "gzip" and "accept-encoding" in answer.header("vary").lower()
    assert len(answer.body) < len(TEXT) / 4 and gzip.decompress(answer.body) == TEXT
    assert house.curl("--compressed", f"{house.gateway.url}{at}/text.txt").encode() == TEXT


@pytest.mark.parametrize("options", [["--http1.1"], ["--http2-prior-knowledge"]])
def test_a_large_file(house, origin, tmp_path, options):
    server, at, _ = origin
    out = house.curl(*options, "-o", tmp_path / "got", "-w", "%{http_code} %{http_version}", f"{house.gateway.url}{at}/large.bin")
    assert out == f"200 {'2' if options == ['--http2-prior-knowledge'] else '1.1'}"
    assert subprocess.run(["cmp", tmp_path / "got", server.files / "large.bin"], check=False).returncode == 0
    (tmp_path / "got").unlink()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload(house, origin, is_chunked):
    """PUT by DAV, with a length and without."""
    server, at, _ = origin
    data = os.urandom(1 << 20) * 4
    with house.gateway.connect() as wire:
        if is_chunked:
            head = f"PUT {at}/up/file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            wire.send(head + b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 99999]), data[i:i + 99999]) for i in range(0, len(data), 99999)) +
                      b"0\r\n\r\n")
            answer = wire.read()
        else:
            answer = wire.ask("PUT", f"{at}/up/file", body=data)
        assert answer.status in (201, 204)
        assert (server.uploads / "file").read_bytes() == data
        assert wire.ask("GET", f"{at}/up/file").body == data
        assert wire.ask("DELETE", f"{at}/up/file").status == 204
    assert not (server.uploads / "file").exists()


def test_connections_are_used_again(house, origin):
    """One client, one after the other: one worker, so one connection behind."""
    server, at, _ = origin
    before = len(server.asked())
    with house.gateway.connect() as wire:
        for _ in range(30):
            assert wire.ask("GET", f"{at}/small.bin").body == b"small"
    lines = server.asked()[before:]
    assert len(lines) >= 29 and len({line[1].partition("-")[0] for line in lines}) <= 2


# ---- proxies before the gateway

def told(house, port, *arguments):
    """What the service behind was told of a request from 127.0.0.9, and whom the log names."""
    out = house.curl("--interface", "127.0.0.9", *arguments, f"http://127.0.0.1:{port}/told/x")
    headers = dict(json.loads(out)["headers"])
    return headers, house.gateway.wait_log(SCRIBE_REQUEST=headers["x-request-id"])["SCRIBE_CLIENT"]


def test_nginx_in_front(house):
    headers, client = told(house, house.servers["nginx"].ports["front"])
    assert headers["x-forwarded-for"] == "127.0.0.9, 127.0.0.1" and client == "127.0.0.9"
    assert headers["x-forwarded-proto"] == "http" and headers["host"] == f"127.0.0.1:{house.backend.port}"


def test_haproxy_in_front(house):
    headers, client = told(house, house.servers["haproxy"].ports["http"])
    assert headers["x-forwarded-for"] == "127.0.0.9, 127.0.0.1" and client == "127.0.0.9"


@pytest.mark.parametrize("options", [[], ["--http2-prior-knowledge"]])
def test_haproxy_in_front_with_proxy_header(house, options):
    headers, client = told(house, house.servers["haproxy"].ports["tcp"], *options)
    assert headers["x-forwarded-for"] == "127.0.0.9" and client.startswith("127.0.0.9:")


@pytest.mark.parametrize("front", ["nginx", "haproxy"])
def test_bodies_through_both(house, front, upload, tmp_path):
    port = house.servers[front].ports["front" if front == "nginx" else "http"]
    out = house.curl(f"http://127.0.0.1:{port}/told/digest", "--data-binary", f"@{upload[0]}")
    assert json.loads(out)["sha256"] == upload[1]
    house.curl("-o", tmp_path / "got", f"http://127.0.0.1:{port}/nginx-http1/large.bin")
    assert subprocess.run(["cmp", tmp_path / "got", house.servers["nginx"].files / "large.bin"], check=False).returncode == 0
    (tmp_path / "got").unlink()


def test_nginx_keeps_its_connections(house):
    """Where it names no client, the log tells the port that it comes from itself."""
    with Wire(house.servers["nginx"].ports["front"]) as wire:
        answers = [wire.ask("GET", "/told/anonymous") for _ in range(30)]
    clients = {house.gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_CLIENT"] for answer in answers}
    assert all(answer.status == 200 for answer in answers) and len(clients) == 1


# ---- curl

CURLS = {"1.0": ("plain", ["--http1.0"]), "1.1": ("plain", ["--http1.1"]), "2 in the clear": ("plain", ["--http2-prior-knowledge"]),
         "1.1 over TLS": ("tls", ["--http1.1"]), "2 over TLS": ("tls", ["--http2"])}


@pytest.fixture
def speech(house, request):
    """(URL of the gateway, curl's options, version as curl tells it)."""
    where, options = CURLS[request.param]
    url = house.gateway.url if where == "plain" else f"https://localhost:{house.tls}"
    return url, [*options], request.param.split()[0]


@pytest.mark.parametrize("speech, how", [(speech, how) for speech in CURLS for how in ("--data-binary", "-T", "-T -", "--form")
                                         if (speech, how) != ("1.0", "-T -")], indirect=["speech"])
def test_curl_uploads(house, speech, upload, how):
    """HTTP/1.0 has no bodies of unknown length."""
    url, options, version = speech
    path, sum_of_it = upload
    arguments = {"--data-binary": ["--data-binary", f"@{path}"], "-T": ["-T", path], "-T -": ["-T", "-"], "--form": ["-F", f"file=@{path}"]}
    with open(path, "rb") as stdin:
        done = house.curl_run(*options, "-v", *arguments[how], "-w", "\n%{http_version}", f"{url}/told/digest", stdin=stdin)
    assert done.returncode == 0, done.stderr[-2000:]
    out, _, spoken = done.stdout.rpartition("\n")
    answer = json.loads(out)
    headers = dict(answer["headers"])
    # curl offers no 1.0 on the way back: the gateway says 1.1, as RFC 9112 2.3 wants
    assert spoken == ("1.1" if version == "1.0" else version)
    assert answer["method"] == ("PUT" if how.startswith("-T") else "POST")
    if how == "--form":
        assert int(headers["content-length"]) > UPLOAD
    else:
        assert answer["sha256"] == sum_of_it
    if how == "-T -":
        assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
    if version == "1.1":
        assert "100 Continue" in done.stderr  # curl asks by itself for what is large


@pytest.mark.parametrize("target, status, sent_bytes", [("/told/x", 200, 1000), ("/mine/x", 403, 0), ("/nothing", 404, 0)])
def test_curl_asks_before_it_sends(house, target, status, sent_bytes):
    """A body that nobody wants is never sent."""
    out = house.curl("-H", "Expect: 100-continue", "--expect100-timeout", "20", "-d", "x" * 1000, "-o", os.devnull,
                     "-w", "%{http_code} %{size_upload}", house.gateway.url + target)
    assert out == f"{status} {sent_bytes}"


@pytest.mark.parametrize("speech", [speech for speech in CURLS if speech != "2 in the clear"], indirect=True)
def test_curl_reuses_and_multiplexes(house, speech, tmp_path):
    """curl 7.88 cannot use a connection with prior knowledge again, whether nginx, Apache or the gateway is at its other end."""
    url, options, version = speech
    n = 20
    (tmp_path / "list").write_text("".join(f'url = "{url}/nginx-http1/small.bin"\noutput = {tmp_path}/{i}\n' for i in range(n)))
    out = house.curl(*options, *(["-Z"] if version == "2" else []), "-K", tmp_path / "list", "-w", "%{num_connects} %{http_code}\n")
    lines = out.split("\n")[:-1]
    assert [line.split()[1] for line in lines] == ["200"] * n
    assert [(tmp_path / str(i)).read_bytes() for i in range(n)] == [b"small"] * n
    if version != "1.0":
        assert sum(int(line.split()[0]) for line in lines) == 1


# ---- many requests

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options, where", [(["-m", "20"], "tls"), (["-m", "20"], "plain"), (["--h1"], "plain")], ids=["h2", "h2c", "h1"])
def test_h2load(house, kind, options, where):
    url = house.gateway.url if where == "plain" else f"https://localhost:{house.tls}"
    n = 3000
    done = subprocess.run([program("h2load"), "-n", str(n), "-c", "10", *options, f"{url}/nginx-{kind}/small.bin"], capture_output=True,
                          text=True, timeout=60 * SLOWNESS, check=True)
    assert re.search(rf"^requests: {n} total, {n} started, {n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout", done.stdout,
                     re.MULTILINE), done.stdout
    assert f"status codes: {n} 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout


# ---- clients' certificates

class Terminal:
    """A program that one types requests into, and that shows what comes back."""

    def __init__(self, *command):
        self.process = subprocess.Popen([program(command[0]), *map(str, command[1:])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.shown = b""

    def wait(self, pattern):
        """The match, once it has been shown."""
        end = time.monotonic() + 20 * SLOWNESS
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert data, f"no {pattern} in {self.shown.decode(errors='replace')[-3000:]}"
            self.shown += data
        return found

    def ask(self, target):
        """(status, body from JSON) of a request that is typed in."""
        self.process.stdin.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.process.stdin.flush()
        found = self.wait(rb"HTTP/1\.1 (\d+) .*?(?i:content-length: (\d+)).*?\r\n\r\n")
        n = int(found[2])
        whole = self.wait(re.escape(found[0]) + b".{%d}" % n)
        return int(found[1]), json.loads(whole[0][-n:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def openssl(house, version, certificate=None, *more):
    shown = ["-cert", certificate[0], "-key", certificate[1]] if certificate else []
    return Terminal("openssl", "s_client", "-connect", f"127.0.0.1:{house.tls}", "-servername", "localhost", "-verify_return_error",
                    "-CAfile", house.authority.certificate, f"-tls{version}", "-nocommands", *shown, *more)


def gnutls(house, version, certificate=None, *more):
    shown = ["--x509certfile", certificate[0], "--x509keyfile", certificate[1]] if certificate else []
    return Terminal("gnutls-cli", "--x509cafile", house.authority.certificate, "--priority",
                    f"NORMAL:-VERS-ALL:+VERS-TLS{version.replace('_', '.')}", "-p", house.tls, *shown, *more, "localhost")


@pytest.mark.parametrize("version", ["1_2", "1_3"])
@pytest.mark.parametrize("client", [openssl, gnutls])
def test_a_certificate_opens_a_service(house, alice, mallory, client, version):
    with client(house, version, alice) as shell:
        status, found = shell.ask("/mine/x")
        assert status == 200 and dict(found["headers"])["x-scribe-client-subject"] == "CN=alice"
    for other, code in ((mallory, "certificate_not_allowed"), (None, "certificate_required")):
        with client(house, version, other) as shell:
            status, found = shell.ask("/mine/x")
            assert (status, found["error"]["code"]) == (403, code)
            assert shell.process.poll() is None


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_who_comes_back_to_openssl_session_is_the_same(house, alice, version, tmp_path):
    """A resumed session shows no certificate again; who it belongs to stands in its ticket."""
    with openssl(house, version, alice, "-sess_out", tmp_path / "session") as shell:
        assert shell.ask("/mine/x")[0] == 200
        assert (tmp_path / "session").stat().st_size
    for _ in range(4):  # by either worker
        with openssl(house, version, None, "-sess_in", tmp_path / "session") as shell:
            shell.wait(rb"Reused, TLSv")
            status, found = shell.ask("/mine/x")
            assert status == 200 and dict(found["headers"])["x-scribe-client-subject"] == "CN=alice"


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_gnutls_resumes_with_its_name(house, alice, version):
    with gnutls(house, version, alice, "--resume", "--waitresumption") as shell:
        shell.wait(rb"This is a resumed session")
        status, found = shell.ask("/mine/x")
        assert status == 200 and dict(found["headers"])["x-scribe-client-subject"] == "CN=alice"
