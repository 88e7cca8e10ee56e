"""The set of compose.yaml as processes of Debian's packages, in a network namespace in which its names are known: gateway, ledger,
PostgreSQL, Redis and three services, with the configuration that the containers get."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from fleet import in_namespace, run
from gateway import ROOT, SLOWNESS, Gateway, bearer, is_instrumented, wait_for
from wire import Wire

MULTI = ROOT / "packaging/container/multi.d/10-multi.conf"
SERVICES = {"connection-service": (8081, "/api/connections"), "query-service": (8082, "/api/query"), "ai-service": (8083, "/api/ai")}
PASSWORDS = {"postgres_password": "p-4f1d2c", "redis_password": "r-93ab77"}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")


def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


class Multi(Gateway):
    """The processes in their namespace; ledger and gateway as two programs, as in two containers."""

    def __init__(self):
        self.namespace = f"sgm{os.getpid()}"
        self.names = Path("/etc/netns") / self.namespace
        self.names.mkdir(parents=True)
        names = " ".join(("postgres", "redis", *SERVICES))
        (self.names / "hosts").write_text(f"127.0.0.1 localhost {names}\n")
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        self.enter = ["ip", "netns", "exec", self.namespace]
        self.others = {}
        super().__init__(ledger="own", start=False)
        self.wrapper = self.ledger_wrapper = self.enter
        self.secret = self.directory / "secrets"
        self.secret.mkdir()
        for name, text in PASSWORDS.items():
            (self.secret / name).write_text(text)
        main = (ROOT / "packaging/container/gateway.conf").read_text()
        self.write_config(main + f"\n[gateway]\nstate_directory = {self.state}\nruntime_directory = {self.run}\ngroup = {self.group}\n")
        self.write_dropin("10-multi.conf", MULTI.read_text().replace("/run/secrets", str(self.secret)))
        self.write_dropin("90-log.conf", f"[log]\nto = file:{self.log_path}\n")
        self.env = {"SCRIBE_LISTEN": "127.0.0.1:8000"}
        self.port = 8000

    def start_others(self):
        self._start_postgres()
        self._spawn("redis", "redis-server", "--port", "6379", "--bind", "127.0.0.1", "--save", "", "--requirepass",
                    PASSWORDS["redis_password"])
        for name, (port, _) in SERVICES.items():
            self.start_service(name, port)
        for port in (5432, 6379):
            wait_for(lambda port=port: self.is_open(port), 30, f"port {port}")

    def start_service(self, name, port):
        own = self.directory / name
        own.mkdir(exist_ok=True)
        self._spawn(name, str(ROOT / "packaging/container/service.sh"), name, str(port),
                    env={**os.environ, "SERVICE_TEMPLATE": str(self._template(own)), "SERVICE_DIR": str(own)})
        wait_for(lambda: self.is_open(port), 10, name)

    @staticmethod
    def _template(own):
        """/tmp is the container's own; here every service has a directory."""
        text = (ROOT / "packaging/container/service.conf.template").read_text().replace("/tmp/", f"{own}/")
        path = own / "template"
        path.write_text(text)
        return path

    def _start_postgres(self):
        bin_directory = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        data = Path(tempfile.mkdtemp(prefix="scribe-test-multi-"))
        self.data = data
        shutil.chown(data, "postgres", "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        password = data / "password"
        password.write_text(PASSWORDS["postgres_password"])
        shutil.chown(password, "postgres", "postgres")
        subprocess.run([*as_postgres, str(bin_directory / "initdb"), "-D", str(data / "db"), "-U", "scribe", "--auth=scram-sha-256",
                        f"--pwfile={password}", "--no-sync"], check=True, capture_output=True, cwd=data)
        self._spawn("postgres", *as_postgres, str(bin_directory / "postgres"), "-D", str(data / "db"), "-k", str(data), "-c",
                    "listen_addresses=127.0.0.1")
        wait_for(lambda: b"ready to accept" in (self.directory / "postgres.log").read_bytes(), 30, "PostgreSQL")
        subprocess.run([*self.enter, str(bin_directory / "createdb"), "-h", "127.0.0.1", "-U", "scribe", "scribe"], check=True,
                       capture_output=True, env={**os.environ, "PGPASSWORD": PASSWORDS["postgres_password"]})

    def _spawn(self, name, *command, env=None):
        with open(self.directory / f"{name}.log", "ab") as log:
            self.others[name] = subprocess.Popen([*self.enter, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                                 cwd="/")

    def end_other(self, name):
        process = self.others.pop(name)
        process.terminate()
        process.wait(30 * SLOWNESS)

    def is_open(self, port):
        try:
            in_namespace(self.namespace, lambda: socket.create_connection(("127.0.0.1", port), 1)).close()
        except OSError:
            return False
        return True

    def connect(self, **options):
        options.setdefault("timeout", 20 * SLOWNESS)
        return in_namespace(self.namespace, lambda: Wire(8000, **options))

    def ask(self, method, target, headers=(), body=None, **options):
        keep_broken = options.pop("keep_broken", False)
        with self.connect(**options) as wire:
            return wire.ask(method, target, headers, body, keep_broken=keep_broken)

    def remove(self):
        super().remove()
        for name in list(self.others):
            self.end_other(name)
        run("ip", "netns", "del", self.namespace)
        shutil.rmtree(self.names)
        shutil.rmtree(self.data, ignore_errors=True)


@pytest.fixture(scope="module")
def multi():
    running = Multi()
    try:
        running.start_others()
        running.start()
    except BaseException:
        running.remove()
        raise
    with running:
        yield running


@pytest.fixture(scope="module")
def key(multi):
    return multi.create_key("tester")


# ---- the file


def test_every_container_is_bounded_and_watched():
    parts = compose()["services"]
    assert set(parts) == {"gateway", "ledger", "postgres", "redis", *SERVICES}
    for name, part in parts.items():
        assert part["healthcheck"]["test"] and part["restart"] == "unless-stopped", name
        assert part["logging"]["options"]["max-size"], name
        assert part["mem_limit"] == ("128m" if name in ("gateway", "ledger", "redis") else "256m"), name
    for name in ("gateway", "ledger", "redis", *SERVICES):
        assert parts[name]["read_only"] and parts[name]["cap_drop"] == ["ALL"], name


def test_only_the_gateway_is_reached_from_outside_and_only_the_ledger_reaches_the_database():
    file = compose()
    parts, networks = file["services"], file["networks"]
    assert [n for n, p in parts.items() if "ports" in p] == ["gateway"]
    assert [n for n, p in parts.items() if "database" in p["networks"]] == ["ledger", "postgres"]
    assert [n for n, p in parts.items() if "outside" in p["networks"]] == ["gateway"]
    assert all(networks[n]["internal"] for n in ("services", "shared", "database"))


def test_passwords_are_files_and_the_gateway_has_not_the_database_s():
    parts = compose()["services"]
    assert "postgres_password" not in parts["gateway"]["secrets"]
    text = (ROOT / "compose.yaml").read_text() + MULTI.read_text()
    assert not re.search(r"password\s*[:=]\s*[a-z0-9]{6,}$", text, re.IGNORECASE | re.MULTILINE)


def test_services_of_the_configuration_are_those_of_the_compose_file():
    text = MULTI.read_text()
    for name, (port, prefix) in SERVICES.items():
        assert compose()["services"][name]["command"] == [name, str(port)]
        assert f'[service "{name}"]\nprefix = {prefix}\nendpoint = http://{name}:{port}\nhealth = /api/health' in text


def test_compose_understands_the_file(tmp_path):
    for name in PASSWORDS:
        (tmp_path / name).write_text("x")
    done = subprocess.run(["docker-compose", "-f", str(ROOT / "compose.yaml"), "config", "-q"], capture_output=True, text=True,
                          env={**os.environ, "SCRIBE_SECRETS": str(tmp_path)}, check=False)
    assert done.returncode == 0, done.stderr


# ---- the set


def test_a_chat_is_answered_and_stored_in_postgresql(multi, key):
    answer = multi.chat(key, model="default")
    assert answer.status == 200
    assert multi.event(answer.request_id)["key"] == "tester"
    assert multi.ledger("GetStatus")["database"].startswith("postgresql://")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_proxied(multi, key, name):
    answer = multi.ask("GET", SERVICES[name][1] + "/hello?x=1", bearer(key))
    assert answer.status == 200, answer.body
    assert answer.json() == {"service": name, "method": "GET", "path": SERVICES[name][1] + "/hello?x=1", "key": "tester"}
    assert multi.ask("GET", SERVICES[name][1] + "/hello").status == 401


def test_a_service_that_ends_is_seen_and_comes_back(multi):
    def told():
        return multi.ask("GET", "/api/health/all").json()
    wait_for(lambda: told()["status"] == "ok", 30, "all to be well")
    multi.end_other("query-service")
    wait_for(lambda: told()["status"] != "ok", 60, "the end of query-service")
    multi.start_service("query-service", 8082)
    wait_for(lambda: told()["status"] == "ok", 60, "query-service to be back")


def test_limits_are_those_of_a_shared_redis(multi):
    secret = multi.create_key("few", wait=False, limits=["3 requests/day"])
    wait_for(lambda: multi.chat(secret, model="default").status == 200, 10, "the new key")
    assert [multi.chat(secret, model="default").status for _ in range(3)] == [200, 200, 429]
    rows = multi.ctl("limits", "show", "few")["limits"]
    assert rows[0]["used"] == 3 and "granted" in rows[0] and not rows[0]["alone"]


@pytest.mark.skipif(is_instrumented(), reason="a sanitizer's memory is not the program's")
def test_gateway_and_ledger_fit_into_their_containers(multi, key):
    body = "x" * (7 << 20)
    for _ in range(6):
        assert multi.chat(key, model="default", content=body).status == 200
    for name, pid in (("gateway", multi.pid), ("ledger", multi.ledger_process.pid)):
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) // 1024
        assert peak < 128, f"{name}: {peak} MB"
