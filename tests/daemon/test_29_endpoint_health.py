"""Health checks of the endpoints of services: nginx and gRPC's own server go away and come back, and everybody is told."""

import re
import time

import grpc
import pytest

from authority import Authority
from endpoints import NOT_SERVING, GrpcHealth, Nginx
from gateway import SLOWNESS, Gateway, free_port, wait_for
from peers import Peer, hang, says

DOWN, UP = "89ff44b708a64d469caefd813baa0fb5", "dc9838dc7754421f95078124dd35b47e"
ALL = "/api/health/all"


def service(name, *endpoints, health="/health", interval="100ms", timeout="2s", **more):
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    lines += f"health_interval = {interval}\nhealth_timeout = {timeout}\n" if health != "none" else ""
    return (f'[service "{name}"]\nprefix = /api/{name}/\nhealth = {health}\n{lines}'
            + "".join(f"endpoint = {endpoint}\n" for endpoint in endpoints) + "\n")


def url(server, scheme="http", host="127.0.0.1"):
    return f"{scheme}://{host}:{server.port}"


def health(gateway, query=""):
    answer = gateway.ask("GET", ALL + query)
    return answer.status, answer.json()


def wait_services(gateway, timeout=20, **wanted):
    """wanted: name="ok 2/2"."""
    def found():
        services = health(gateway)[1]["services"]
        return all(f"{services[k]['status']} {services[k]['usable']}/{services[k]['endpoints']}" == v for k, v in wanted.items())
    return wait_for(found, timeout, f"{wanted}")


def wait_down(gateway, endpoint, n=1):
    """The n-th time that it is told."""
    return wait_for(lambda: gateway.log(message_id=DOWN, SCRIBE_ENDPOINT=endpoint)[n - 1:], 20, f"{endpoint} down")[0]


def wait_up(gateway, endpoint, n=1):
    return wait_for(lambda: gateway.log(message_id=UP, SCRIBE_ENDPOINT=endpoint)[n - 1:], 20, f"{endpoint} up")[0]


def told_down(gateway, n):
    """{service: (reason, detail)} of all n lines; the log is written by a thread of its own."""
    lines = wait_for(lambda: (found := gateway.log(message_id=DOWN)) and len(found) >= n and found, 20, f"{n} lines")
    assert len(lines) == n
    return {line["SCRIBE_SERVICE"]: (line["SCRIBE_REASON"], line["SCRIBE_DETAIL"]) for line in lines}


def asked_more(asked, n):
    """What came in n further checks."""
    before = len(asked())
    return wait_for(lambda: len(asked()) >= before + n and asked()[before:], 20, f"{n} checks")


# ---- what a check is

def test_nginx_goes_and_comes_back(tmp_path):
    with Nginx(tmp_path / "one") as one, Nginx(tmp_path / "two") as two:
        with Gateway(config=service("query", url(one), url(two), health="/health?deep=1")) as gateway:
            wait_services(gateway, query="ok 2/2")
            wait_for(lambda: health(gateway)[1]["status"] == "ok", what="the ledger")
            assert asked_more(one.asked, 2)[-1].split()[:5] == ["HTTP/1.1", "GET", "/health?deep=1", f"127.0.0.1:{one.port}", "200"]

            one.say(503)
            line = wait_down(gateway, url(one))
            assert line["message"] == f'endpoint {url(one)} of service "query" is down: status 503'
            assert (line["SCRIBE_SERVICE"], line["SCRIBE_REASON"], line["SCRIBE_DETAIL"]) == ("query", "unavailable", "status 503")
            wait_services(gateway, query="degraded 1/2")
            status, found = health(gateway)
            assert (status, found["status"]) == (200, "degraded")
            assert found["services"] == {"query": {"status": "degraded", "endpoints": 2, "usable": 1}}
            assert health(gateway, "?strict=1")[0] == 200, "callers are served"

            two.stop()
            assert wait_down(gateway, url(two))["SCRIBE_DETAIL"] == "Connection refused"
            wait_services(gateway, query="down 0/2")
            status, found = health(gateway, "?strict=1")
            assert (status, found["status"]) == (503, "degraded"), "models and other services are served"
            assert health(gateway)[0] == 200
            assert gateway.ctl("status")["services"] == [{"name": "query", "status": "down", "n_endpoints": 2, "n_usable": 0}]
            assert "  services   query: down, 0 of 2 endpoints usable\n" in gateway.ctl("status", as_json=False)

            two.start()
            one.say(204)
            for endpoint in (url(one), url(two)):
                assert re.fullmatch(rf'endpoint {endpoint} of service "query" is up again after \d+ s',
                                    wait_up(gateway, endpoint)["message"])
            wait_services(gateway, query="ok 2/2")
            asked_more(one.asked, 3)
            told_down(gateway, 2)  # once, not at each check
            assert len(gateway.log(message_id=UP)) == 2


def test_requests_go_where_it_is_up(tmp_path):
    with Nginx(tmp_path / "one") as one, Nginx(tmp_path / "two") as two:
        with Gateway(config=service("query", url(one), url(two), auth="none", retries="0", breaker_failures="0")) as gateway:
            def served():
                return [sum(" /api/query/x " in line for line in server.asked()) for server in (one, two)]

            def ask(n):
                before = served()
                statuses = {gateway.ask("GET", "/api/query/x").status for _ in range(n)}
                wait_for(lambda: sum(served()) == sum(before) + n, 20, "the last line of the log")
                return statuses, [now - was for now, was in zip(served(), before)]
            assert ask(10) == ({200}, [5, 5])
            one.say(503)
            wait_services(gateway, query="degraded 1/2")
            assert ask(10) == ({200}, [0, 10])
            two.stop()
            wait_services(gateway, query="down 0/2")
            answer = gateway.ask("GET", "/api/query/x")
            assert answer.status == 503 and answer.header("retry-after")
            assert gateway.wait_log(SCRIBE_REASON="no_endpoint")["SCRIBE_SERVICE"] == "query"
            one.say(200)
            wait_services(gateway, query="degraded 1/2")
            assert ask(10) == ({200}, [10, 0])


def test_nginx_at_a_unix_socket_and_behind_a_path(tmp_path):
    with Nginx(tmp_path / "nginx") as nginx:
        at = f"http://unix:{nginx.socket}:/v2"
        with Gateway(config=service("query", at)) as gateway:
            assert asked_more(nginx.asked, 2)[-1].split()[1:3] == ["GET", "/v2/health"]
            nginx.stop()
            assert wait_down(gateway, at)["SCRIBE_DETAIL"] == "No such file or directory"
            nginx.start()
            wait_up(gateway, at)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_http2_of_nginx(tmp_path, scheme):
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue_files("localhost", "DNS:localhost")
    tls = f"ssl_certificate {certificate};\nssl_certificate_key {key};\n" if scheme == "https" else ""
    more = {"ca_file": authority.certificate} if tls else {}
    with Nginx(tmp_path / "nginx", "ssl http2" if tls else "http2", tls) as nginx:
        at = url(nginx, scheme, "localhost")
        with Gateway(config=service("query", at, protocol="http2", **more)) as gateway:
            assert asked_more(nginx.asked, 2)[-1].split()[:5] == ["HTTP/2.0", "GET", "/health", f"localhost:{nginx.port}", "200"]
            nginx.say(500)
            assert wait_down(gateway, at)["SCRIBE_DETAIL"] == f"127.0.0.1:{nginx.port}: status 500"
            nginx.say(200)
            wait_up(gateway, at)


def test_grpc_server(tmp_path):
    name = b"\x0a\x09q.v1.Find"
    with GrpcHealth() as all_of_it, GrpcHealth() as one_of_it:
        one_of_it.statuses[name] = NOT_SERVING
        config = (service("whole", url(all_of_it), health="grpc", protocol="http2")
                  + service("find", url(one_of_it), health="grpc:q.v1.Find", protocol="http2")
                  + service("other", url(one_of_it), health="grpc:q.v1.None", protocol="http2"))
        with Gateway(config=config) as gateway:
            asked_more(lambda: all_of_it.asked, 2)
            assert told_down(gateway, 2) == {"find": ("unavailable", "it says: NOT_SERVING"),
                                             "other": ("unavailable", "grpc-status 5: unknown service")}
            wait_services(gateway, whole="ok 1/1", find="down 0/1", other="down 0/1")
            assert {request for request, _ in one_of_it.asked} == {name, b"\x0a\x09q.v1.None"}
            assert all_of_it.asked[0][0] == b"" and "scribe-gateway" in all_of_it.asked[0][1]["user-agent"]

            one_of_it.statuses[name] = 1
            wait_services(gateway, find="ok 1/1")
            all_of_it.stop()
            assert wait_down(gateway, url(all_of_it))["SCRIBE_REASON"] == "refused"
            all_of_it.start()
            wait_services(gateway, whole="ok 1/1")


@pytest.mark.parametrize("health_setting, behave, reason, detail", [
    ("/health", says(b"HTTP/1.1 399 Odd\r\n\r\n"), None, None),
    ("/health", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "unavailable", "status 400"),
    ("/health", says(b"HTTP/1.1 200 OK\r\ncontent-le"), "timeout", "no answer within 300 ms"),
    ("/health", says(b"SSH-2.0-OpenSSH_9.2\r\n"), "garbage", "the answer is not HTTP/1.1's (bad)"),
    ("tcp", hang, None, None),
    ("grpc", hang, "timeout", "no answer within 300 ms"),
    ("grpc", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "garbage", "the answer is not HTTP/2's (broken)"),
])
def test_what_stands_at_the_other_end(health_setting, behave, reason, detail):
    with Peer(behave) as peer, Gateway(config=service("query", url(peer), health=health_setting, timeout="300ms")) as gateway:
        if reason is None:
            wait_for(lambda: peer.n_connections >= 3, 20, "three checks")
            wait_services(gateway, query="ok 1/1")
            assert not gateway.log(message_id=DOWN)
        else:
            line = wait_down(gateway, url(peer))
            assert (line["SCRIBE_REASON"], line["SCRIBE_DETAIL"]) == (reason, detail)


def test_tls(tmp_path):
    """The trust, the name and the certificate of a service are those of its checks."""
    authority, stranger = Authority(tmp_path / "one"), Authority(tmp_path / "other", "Other CA")
    certificate, key = authority.issue_files("query.internal", "DNS:query.internal")
    client, client_key = authority.issue_files("gateway", "DNS:gateway", purpose="clientAuth")
    shown = {"tls_certificate": f"file:{client}", "tls_key": f"file:{client_key}"}
    named = {"ca_file": authority.certificate, "tls_server_name": "query.internal"}
    tls = (f"ssl_certificate {certificate};\nssl_certificate_key {key};\n"
           f"ssl_client_certificate {authority.certificate};\nssl_verify_client on;\n")
    secure = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())], authority.certificate.read_bytes(), True)
    with Nginx(tmp_path / "nginx", "ssl", tls) as nginx, GrpcHealth(secure) as rpc:
        config = (service("good", url(nginx, "https"), **named, **shown)
                  + service("rpc", url(rpc, "https"), health="grpc", protocol="http2", **named, **shown)
                  + service("open", url(nginx, "https"), health="tcp", **named, **shown)
                  + service("strange", url(nginx, "https"), ca_file=stranger.certificate, tls_server_name="query.internal", **shown)
                  + service("unnamed", url(nginx, "https"), ca_file=authority.certificate, **shown)
                  + service("bare", url(nginx, "https"), **named))
        with Gateway(config=config) as gateway:
            wait_services(gateway, strange="down 0/1", unnamed="down 0/1", bare="down 0/1")
            found = told_down(gateway, 3)
            assert found["strange"][0] == "tls" and found["unnamed"] == \
                ("tls", 'the certificate is for another name than "127.0.0.1"')
            assert found["bare"] == ("unavailable", "status 400")  # nginx says it in HTTP
            asked_more(lambda: [line for line in nginx.asked() if line.endswith("200 SUCCESS")], 3)
            asked_more(lambda: rpc.asked, 3)
            wait_services(gateway, good="ok 1/1", rpc="ok 1/1", open="ok 1/1")


# ---- many, and beside everything else

def test_many_endpoints_are_not_asked_at_once():
    times = []

    def behave(connection):
        times.append(time.monotonic())
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    n = 50
    with Peer(behave) as peer:
        endpoints = [f"{url(peer)}/e{i}" for i in range(n)]
        with Gateway(config=service("query", *endpoints, interval="2s")) as gateway:
            wait_for(lambda: len(times) >= 2 * n, 30, "two rounds")
            first = sorted(times[:n])
            assert first[-1] - first[0] > 0.5, "of 50 within a second at random: they are nearer once in 10^13 runs"
            wait_services(gateway, query=f"ok {n}/{n}")


def test_hanging_endpoints_hold_up_nobody(tmp_path):
    with Peer(hang) as hanging, Nginx(tmp_path / "nginx") as nginx:
        config = service("slow", *[f"{url(hanging)}/e{i}" for i in range(60)], timeout="1s") + service("query", url(nginx))
        with Gateway(config=config) as gateway:
            wait_for(lambda: hanging.n_connections >= 60, 20, "a first check of all")
            asked_more(nginx.asked, 5)
            begun = time.monotonic()
            health(gateway)
            assert time.monotonic() - begun < 0.5 * SLOWNESS
            wait_services(gateway, slow="down 0/60", query="ok 1/1")


# ---- reload, end

def test_reload_keeps_what_is_known(tmp_path):
    with Nginx(tmp_path / "one") as one, Nginx(tmp_path / "two") as two:
        text = service("query", url(one), url(two))
        with Gateway(dropins={"50-it.conf": text}) as gateway:
            one.say(503)
            wait_services(gateway, query="degraded 1/2")

            # At once, not after another two failures: the next check is an hour away.
            gateway.write_dropin("50-it.conf", service("query", url(two), url(one), interval="1h"))
            gateway.ctl("reload")
            assert health(gateway)[1]["services"]["query"] == {"status": "degraded", "endpoints": 2, "usable": 1}
            told_down(gateway, 1)

            # Who is checked no more is not down any more.
            gateway.write_dropin("50-it.conf", service("query", url(one), url(two), health="none"))
            gateway.ctl("reload")
            wait_services(gateway, query="ok 2/2")

            gateway.write_dropin("50-it.conf", text)
            gateway.ctl("reload")
            wait_services(gateway, query="degraded 1/2")
            told_down(gateway, 2)

            # A configuration that is refused changes nothing, and the checks go on.
            gateway.write_dropin("60-broken.conf", service("other", "https://127.0.0.1:1", ca_file="/nowhere.pem"))
            assert gateway.ctl_run("reload").returncode
            one.say(200)
            wait_services(gateway, query="ok 2/2")


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_while_all_are_asked(how):
    """The end, and a reload, find checks in every state."""
    with Peer(hang) as peer, Peer(says(b"HTTP/1.1 200 OK\r\n\r\n")) as good:
        config = (service("http", *[f"{url(peer)}/e{i}" for i in range(30)], timeout="5s")
                  + service("rpc", *[f"{url(peer)}/e{i}" for i in range(30)], health="grpc", protocol="http2", timeout="5s")
                  + service("gone", f"http://127.0.0.1:{free_port()}") + service("good", url(good)))
        with Gateway(dropins={"50-it.conf": config}) as gateway:
            wait_for(lambda: peer.n_connections >= 40, 20, "many checks under way")
            if how == "reload":
                for _ in range(5):
                    gateway.ctl("reload")
                gateway.write_dropin("50-it.conf", "")
                gateway.ctl("reload")
                assert health(gateway)[1]["services"] == {}
            begun = time.monotonic()
            gateway.terminate()
            assert gateway.wait_end() == 0
            assert time.monotonic() - begun < 4 * SLOWNESS, "nobody waits for a check"


def test_nothing_is_left_behind():
    with Peer(hang) as peer, GrpcHealth() as rpc:
        config = (service("query", url(peer), timeout="50ms") + service("rpc", url(rpc), health="grpc", protocol="http2")
                  + service("deaf", url(peer), health="grpc", protocol="http2", timeout="50ms"))
        with Gateway(config=config) as gateway:
            wait_services(gateway, query="down 0/1", deaf="down 0/1")
            before = gateway.n_descriptors()
            asked_more(lambda: rpc.asked, 30)
            assert gateway.n_descriptors() <= before + 4
            told_down(gateway, 2)
