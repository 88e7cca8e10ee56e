"""Ways to a provider: Unix sockets, HTTP proxies, client certificates, other names, connections ahead of need."""

import base64
import ssl
import subprocess
import threading

import pytest

from authority import Authority
from connect_proxy import Proxy
from fake import Fake, chat_json, stream_frames
from gateway import GATEWAY, PROVIDER_SECRET, Gateway, bearer, free_port, wait_for
from streams import check_comes_as_it_is_sent

PROXY_USER = "gateway:proxy-secret-19c4"
PROXY_BASIC = "Basic " + base64.b64encode(PROXY_USER.encode()).decode()


def provider(name, url, *settings):
    return "\n".join([f'[provider "{name}"]', "dialect = openai", f"base_url = {url}", "api_key = env:FAKE_PROVIDER_KEY", "breaker_failures = 0",
                      "connect_timeout = 5s", *settings, f'[model "{name}*"]', f"target = {name}", ""])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def world(authority, tmp_path_factory):
    """One gateway with a provider for each way."""
    directory = tmp_path_factory.mktemp("world")
    (directory / "proxy-user").write_text(PROXY_USER + "\n")
    certificate, certificate_key = authority.issue_files("gateway", "DNS:gateway", purpose="clientAuth")
    wants_certificate = authority.issue("wants", "DNS:api.example")
    wants_certificate.verify_mode = ssl.CERT_REQUIRED
    wants_certificate.load_verify_locations(authority.certificate)
    fakes = {
        "plain": Fake(),
        "tls": Fake(authority.issue("api", "DNS:api.example")),
        "unix": Fake(path=directory / "plain.sock"),
        "unix-tls": Fake(authority.issue("local", "DNS:model.example"), path=directory / "tls.sock"),
        "wants": Fake(wants_certificate),
    }
    proxy = Proxy({"api.example:443": fakes["tls"].port, "api.example:80": fakes["plain"].port}, PROXY_BASIC)
    other = Proxy({"api.example:443": fakes["tls"].port})
    ca = f"ca_file = {authority.certificate}"
    by_proxy = [f"proxy = {proxy.url}", f"proxy_authorization = file:{directory}/proxy-user"]
    wants_url = f"https://127.0.0.1:{fakes['wants'].port}/v1"
    config = "".join([
        provider("unix", fakes["unix"].url),
        provider("un-tls", fakes["unix-tls"].url, ca, "tls_server_name = model.example"),
        provider("gone", f"http://unix:{directory}/gone.sock:/v1"),
        provider("tunnel", "https://api.example/v1", ca, *by_proxy),
        provider("http", "http://api.example/v1", *by_proxy),
        provider("nobody", "https://api.example/v1", ca, f"proxy = {proxy.url}"),
        provider("bad", "https://api.example/v1", ca, f"proxy = {other.url}", "connect_timeout = 1s").replace("connect_timeout = 5s\n", ""),
        provider("refused", "https://api.example/v1", ca, f"proxy = http://127.0.0.1:{free_port()}"),
        provider("wants", wants_url, ca, "tls_server_name = api.example", f"tls_certificate = file:{certificate}",
                 f"tls_key = file:{certificate_key}"),
        provider("shows-none", wants_url, ca, "tls_server_name = api.example"),
        provider("misnamed", wants_url, ca, "tls_server_name = other.example"),
    ])
    with Gateway(config=config) as running:
        running.secrets += [PROXY_USER, PROXY_BASIC[6:]]
        running.key = running.create_key("upstream")
        running.fakes, running.proxy, running.other = fakes, proxy, other
        yield running
    for one in (*fakes.values(), proxy, other):
        one.close()


def fails(world, model, status, reason, words):
    answer = world.chat(world.key, model=model)
    assert answer.status == status, answer
    assert world.event(answer.request_id)["reason"] == reason
    told = world.wait_log(SCRIBE_REQUEST=answer.request_id)["message"]
    assert words in str(world.log(SCRIBE_REQUEST=answer.request_id)), told
    return answer


# ---- Unix sockets

def test_provider_on_a_unix_socket(world):
    for _ in range(5):
        answer = world.chat(world.key, model="unix-1")
        assert answer.status == 200 and answer.json() == chat_json(model="unix-1")
    streamed = world.chat(world.key, model="unix-2", stream=True)
    assert streamed.text() == "Hello there" and streamed.events()[-1] == "[DONE]"
    requests = world.fakes["unix"].of("unix-1")
    assert {x.header("host") for x in requests} == {"localhost"}
    assert requests[0].target == "/v1/chat/completions"
    assert len({x.number for x in requests}) <= world.workers


def test_tls_over_a_unix_socket(world):
    assert world.chat(world.key, model="un-tls").status == 200


def test_unix_socket_that_is_not_there(world):
    fails(world, "gone", 502, "upstream_connect", "gone.sock: No such file or directory")


# ---- proxies

def test_https_through_a_proxy(world):
    for _ in range(4):
        assert world.chat(world.key, model="tunnel-1", content="told to nobody between").status == 200
    assert "api.example:443" in world.proxy.asked()
    assert len([t for t in world.proxy.asked() if t == "api.example:443"]) <= world.workers + 1
    x = world.fakes["tls"].of("tunnel-1")[0]
    assert x.header("host") == "api.example" and x.header("proxy-authorization") is None
    assert x.header("authorization") == f"Bearer {PROVIDER_SECRET}"
    assert PROVIDER_SECRET not in "".join(world.proxy.heads)
    assert b"told to nobody between" not in world.proxy.passed and PROVIDER_SECRET.encode() not in world.proxy.passed


def test_stream_through_a_proxy_comes_chunk_by_chunk(world):
    check_comes_as_it_is_sent(world, world.fakes["tls"], world.key, "tunnel-stream")


def test_http_through_a_proxy_is_by_connect_too(world):
    assert world.chat(world.key, model="http-1").status == 200
    assert "api.example:80" in world.proxy.asked()
    assert world.fakes["plain"].of("http-1")[0].target == "/v1/chat/completions"


def test_proxy_that_wants_a_password(world):
    fails(world, "nobody", 502, "upstream_connect", "the proxy wants a user and password: set proxy_authorization (407)")


def test_proxy_that_is_not_there(world):
    fails(world, "refused", 502, "upstream_connect", "Connection refused")


@pytest.mark.parametrize("answer, words", [
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", "refused with status 502 Bad Gateway"),
    (b"HTTP/1.1 403 No\r\n\r\n", "refused with status 403 Forbidden"),
    (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "refused with status 302"),
    (b"\x16\x03\x01\x00\x00garbage", "not valid HTTP/1"),
    (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "sent more than its answer"),
    (b"HTTP/1.1 200 OK\r\n" + b"x: 0123456789abcdef\r\n" * 5000, "has more than 16384 bytes"),
    (b"HTTP/1.1 103 Early\r\n\r\n" * 5000, "has more than 16384 bytes"),
    (b"HTTP/1.1 200", "closed the connection without an answer"),
    (b"", "closed the connection without an answer"),
], ids=["502", "403", "302", "garbage", "two answers", "long", "many interim", "half", "none"])
def test_proxy_that_misbehaves(world, answer, words):
    world.other.answer, world.other.then = answer, "close"
    before = len(world.fakes["tls"].requests)
    fails(world, "bad", 502, "upstream_connect", words)
    assert len(world.fakes["tls"].requests) == before


def test_silent_proxy_is_given_up_within_the_time_to_connect(world):
    world.other.answer, world.other.then = b"", "hold"
    fails(world, "bad", 504, "upstream_connect_timeout", "no answer from the proxy within 1000 ms")


def test_proxies_of_the_environment(authority):
    """The variables as curl knows them, with a password that is told to nobody but the proxy."""
    tls, plain, near = Fake(authority.issue("env", "DNS:api.example,DNS:inner.example")), Fake(), Fake()
    proxy = Proxy({"api.example:443": tls.port, "api.example:80": plain.port}, PROXY_BASIC)
    ca = f"ca_file = {authority.certificate}"
    config = (provider("far", "https://api.example/v1", ca) + provider("http", "http://api.example/v1")
              + provider("near", near.url) + provider("excepted", "https://inner.example/v1", ca)
              + provider("none", "https://api.example/v1", ca, "proxy = none"))
    url = f"http://{PROXY_USER}@127.0.0.1:{proxy.port}"
    env = {"https_proxy": url, "http_proxy": url, "HTTP_PROXY": "http://127.0.0.1:1", "no_proxy": "10.0.0.0/8,.inner.example"}
    with Gateway(config=config, env=env, log_level="debug") as gateway:
        gateway.secrets += [PROXY_USER, PROXY_USER.split(":")[1], PROXY_BASIC[6:]]
        key = gateway.create_key("env")
        assert gateway.chat(key, model="far").status == 200
        assert gateway.chat(key, model="http").status == 200
        assert gateway.chat(key, model="near").status == 200
        assert sorted(set(proxy.asked())) == ["api.example:443", "api.example:80"]
        for model in ("excepted", "none"):  # not through the proxy: and no name server knows these names
            answer = gateway.chat(key, model=model)
            assert answer.status == 502 and gateway.event(answer.request_id)["reason"] == "upstream_resolve"
        shown = gateway.ctl("config", "show", as_json=False)
        assert "proxy = environment  # default" in shown and PROXY_USER not in shown
        assert f'provider "far" is reached through the proxy 127.0.0.1:{proxy.port} (environment variable https_proxy)' in gateway.told()
    for one in (tls, plain, near, proxy):
        one.close()


# ---- certificates and names

def test_certificate_is_shown_to_a_provider_that_wants_one(world):
    for n in range(3):
        assert world.chat(world.key, model=f"wants-{n}").status == 200


def test_provider_without_our_certificate_is_no_way_in(world):
    answer = fails(world, "shows-none", 502, "upstream_tls", "ertificate")
    assert not world.fakes["wants"].of("shows-none"), answer


def test_name_in_the_certificate_is_the_one_that_is_set(world):
    fails(world, "misnamed", 502, "upstream_tls", "other.example")


def test_certificate_and_key_that_do_not_belong_together(authority, tmp_path):
    certificate, _ = authority.issue_files("one", "DNS:one", purpose="clientAuth")
    _, key = authority.issue_files("two", "DNS:two", purpose="clientAuth")
    config = provider("p", "https://api.example/v1", f"ca_file = {authority.certificate}", f"tls_certificate = file:{certificate}",
                      f"tls_key = file:{key}")
    with Gateway(config=config, start=False) as gateway:
        done = subprocess.run([GATEWAY, "--config", gateway.config, "--check"], env=gateway.environment(), capture_output=True,
                              text=True, timeout=60)
        gateway.start(wait=False)
        assert gateway.wait_end() == 78
        assert f"not for the private key in {key}" in gateway.stderr(), done.stderr


# ---- reload

def test_reload_changes_the_way_and_drops_nothing(authority, tmp_path):
    """A stream that began by one proxy ends there, while requests after the reload go by another, or by none."""
    tls = Fake(authority.issue("reload", "DNS:localhost"), "localhost")
    where = f"localhost:{tls.port}"
    one, two = Proxy({where: tls.port}, PROXY_BASIC), Proxy({where: tls.port})
    secret = tmp_path / "proxy-user"
    secret.write_text("gateway:wrong")
    go_on = threading.Event()

    def script(x):
        frames = stream_frames()
        x.start_stream()
        for data in frames[:2]:
            x.chunk(data)
        assert go_on.wait(30)
        for data in frames[2:]:
            x.chunk(data)
        x.end_stream()
    tls.on("p-stream", script)

    def config(*settings):
        return provider("p", tls.url, f"ca_file = {authority.certificate}", *settings)
    by_one = (f"proxy = {one.url}", f"proxy_authorization = file:{secret}")
    with Gateway(workers=1) as gateway:
        key = gateway.create_key("reload")

        def reload(*settings):
            gateway.write_dropin("50-p.conf", config(*settings))
            gateway.reload()
        reload(*by_one)
        answer = gateway.chat(key, model="p")
        assert answer.status == 502 and gateway.event(answer.request_id)["reason"] == "upstream_connect"
        secret.write_text(PROXY_USER)  # a file is read again
        gateway.secrets.append(PROXY_USER)
        reload(*by_one)
        assert gateway.chat(key, model="p").status == 200
        with gateway.connect() as wire:
            wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "p-stream", "stream": True, "messages": []})
            streamed = wire.read_head()
            pieces = wire.each_piece(streamed)
            while b"Hello" not in streamed.body:
                next(pieces)
            n_one = len(one.asked())
            reload(f"proxy = {two.url}")
            assert gateway.chat(key, model="p").status == 200
            assert two.asked() == [where] and len(one.asked()) == n_one
            reload("proxy = none")
            n_connections = tls.n_connections
            assert gateway.chat(key, model="p").status == 200
            assert tls.n_connections == n_connections + 1 and len(two.asked()) == 1
            gateway.write_dropin("50-p.conf", config("proxy = socks5://x:1"))
            gateway.reload()
            assert gateway.chat(key, model="p").status == 200  # nothing was changed
            gateway.write_dropin("50-p.conf", config("proxy = none"))
            go_on.set()
            for _ in pieces:
                pass
        assert streamed.text() == "Hello there" and streamed.events()[-1] == "[DONE]"
    for server in (tls, one, two):
        server.close()


def test_reload_takes_a_new_certificate(authority, tmp_path):
    context = authority.issue("renewing", "DNS:localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    fake = Fake(context, "localhost")
    subjects = []
    fake.default = lambda x: (subjects.append(dict(pair[0] for pair in x.connection.getpeercert()["subject"])["commonName"]),
                              x.answer(chat_json()))
    certificate, key_file = tmp_path / "client.crt", tmp_path / "client.key"

    def renew(name):
        for new, place in zip(authority.issue_files(name, f"DNS:{name}", purpose="clientAuth"), (certificate, key_file)):
            place.write_bytes(new.read_bytes())
    renew("first")
    config = provider("p", fake.url, f"ca_file = {authority.certificate}", f"tls_certificate = file:{certificate}",
                      f"tls_key = file:{key_file}")
    with Gateway(config=config, workers=1) as gateway:
        key = gateway.create_key("renew")
        assert gateway.chat(key, model="p").status == 200
        renew("second")
        assert gateway.chat(key, model="p").status == 200
        gateway.reload()
        assert gateway.chat(key, model="p").status == 200
        key_file.write_text("no key")
        gateway.reload()  # refused: the old one stays
        assert gateway.chat(key, model="p").status == 200
        assert subjects == ["first", "first", "second", "second"]
    assert fake.failures() == []
    fake.close()


# ---- connections ahead of need

def n_open(fake):
    return len(fake.connections)


def test_warm_connections_are_there_and_are_renewed():
    fake = Fake()
    with Gateway(config=provider("p", fake.url, "warm_connections = 3"), workers=2) as gateway:
        wait_for(lambda: n_open(fake) == 6, what="three connections of each worker")
        key = gateway.create_key("warm")
        assert gateway.chat(key, model="p").status == 200
        assert fake.of("p")[0].number <= 6, "it was opened before"
        for connection in list(fake.connections):
            connection.shutdown(2)
        wait_for(lambda: fake.n_connections >= 12 and n_open(fake) >= 6, what="new ones")
        gateway.write_dropin("50-cool.conf", '[provider "p"]\nwarm_connections = 0\n')
        gateway.reload()
        assert gateway.chat(key, model="p").status == 200
        n = fake.n_connections
        for connection in list(fake.connections):
            connection.shutdown(2)
        wait_for(lambda: n_open(fake) == 0, what="the end of all")
        assert gateway.chat(key, model="p").status == 200
        assert fake.n_connections <= n + 1
    fake.close()


def test_no_warm_connection_is_opened_while_draining():
    fake, go_on = Fake(), threading.Event()
    fake.on("p-stream", lambda x: (x.start_stream(), x.chunk(stream_frames()[0]), x.chunk(stream_frames()[1]), x.hold(go_on),
                                   [x.chunk(data) for data in stream_frames()[2:]], x.end_stream()))
    with Gateway(config=provider("p", fake.url, "warm_connections = 2"), workers=1) as gateway:
        wait_for(lambda: n_open(fake) == 2, what="two connections")
        key = gateway.create_key("drain")
        with gateway.connect() as wire:
            wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "p-stream", "stream": True, "messages": []})
            streamed = wire.read_head()
            pieces = wire.each_piece(streamed)
            while b"Hello" not in streamed.body:
                next(pieces)
            wait_for(lambda: n_open(fake) == 3, what="two beside the one in use")
            gateway.terminate()
            wait_for(lambda: n_open(fake) == 1, what="the end of idle ones")
            n = fake.n_connections
            go_on.set()
            for _ in pieces:
                pass
        assert streamed.events()[-1] == "[DONE]"
        assert gateway.wait_end() == 0
        assert fake.n_connections == n
    fake.close()


def test_provider_that_is_down_is_not_knocked_at_all_day():
    """100, 200, 400 ms… between attempts; requests try at once, whatever the warmer does."""
    fake = Fake()
    url = fake.url
    fake.close()
    with Gateway(config=provider("p", url, "warm_connections = 4"), workers=1, log_level="debug") as gateway:
        key = gateway.create_key("down")
        wait_for(lambda: len([e for e in gateway.log() if "no warm connection" in e["message"]]) >= 12, what="attempts")
        assert gateway.chat(key, model="p").status == 502
        assert len([e for e in gateway.log() if "no warm connection" in e["message"]]) < 100
