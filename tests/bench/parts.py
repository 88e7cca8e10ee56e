"""What takes part: the fake upstream, the gateway and its peers, each from templates in conf/ and in a directory of its own.

All proxies have core 0, whatever makes load or answers has core 1.
"""

import getpass
import grp
import hashlib
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "daemon"))

from authority import Authority  # noqa: E402
from gateway import BUILD, Gateway, free_port, wait_for  # noqa: E402
from measure import children  # noqa: E402

PROXY_CORE, LOAD_CORE = "0", "1"
N_KEYS = 100
TOOLS = BUILD / "tests/bench"
OTHER_DIALECT = {"openai": "anthropic", "anthropic": "openai"}
# Kept account of and never met: a bucket of requests, one of tokens, a day's counter, and how many at once.
KEY_LIMITS, GROUP_LIMITS = ["600000 requests/minute", "1000M tokens/minute"], ["1000M requests/day", "20000 concurrent"]
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "h2o": "h2o"}


class Missing(Exception):
    """A part that a row needs and that cannot take part; why."""


@dataclass
class Setting:
    """How a row wants its proxies."""
    duties: str = "chat"  # "chat", "service" (both with key, limit and log), "failover" (the gateway only) or "plain"
    upstream: int = 0
    refusing: int = 0  # the port of a second upstream, which "failover" asks first
    dialect: str = "openai"  # of the provider; "translating" has the other one
    connections: int = 4096
    is_tls: bool = False
    is_stream: bool = False
    address_limit: str = ""  # of the gateway


def fill(template, values):
    """The template with @NAME@ replaced, again and again: a value may be a template itself."""
    def value(match):
        return str(values[match[1]])
    text = (HERE / "conf" / template).read_text()
    while re.search(r"@([A-Z0-9_]+)@", text):
        text = re.sub(r"@([A-Z0-9_]+)@", value, text)
    return text


def part(template):
    return (HERE / "conf" / template).read_text()


def random_key():
    return "sk-" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


def stranger():
    """A key of the gateway's form, checksum (CRC-32C) and all, that no ledger knows."""
    letters = string.digits + string.ascii_uppercase + string.ascii_lowercase
    key, crc = "sk-" + "".join(secrets.choice(letters) for _ in range(26)), 0xffffffff
    for byte in key.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    crc ^= 0xffffffff
    return key + "".join(letters[crc // 62 ** i % 62] for i in range(5, -1, -1))


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Certificate:
    """ECDSA P-256, made once for a run."""

    def __init__(self, directory):
        self.certificate, self.key = Authority(directory).issue_files("localhost", "DNS:localhost,IP:127.0.0.1")
        self.both = directory / "both.pem"
        self.both.write_text(self.certificate.read_text() + self.key.read_text())


class Process:
    """One process in a directory of its own, ready when it listens."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.tls_port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"scribe-bench-{name}-"))
        self.key = ""
        self.process = None

    def start(self, command, core, **options):
        with open(self.directory / "stderr", "w", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(["taskset", "-c", core, *map(str, command)], stdin=subprocess.DEVNULL, stderr=stderr,
                                            **{"stdout": subprocess.DEVNULL, **options})
        self.pid = self.process.pid
        wait_for(self.is_ready, what=self.name)

    def is_ready(self):
        if self.process.poll() is not None:
            text = "".join((self.directory / name).read_text() for name in ("stderr", "error.log") if (self.directory / name).exists())
            raise Missing(f"{self.name} did not start: {text.strip()[-400:]}")
        return is_listening(self.port)

    def pids(self):
        """Of what is measured."""
        return [self.pid, *(pid for pid, _ in children(self.pid))]

    def helpers(self):
        """What belongs to it, runs on the other core and is told apart."""
        return []

    def close(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Fake(Process):
    def __init__(self, *what):
        super().__init__("direct", free_port())
        self.start([TOOLS / "bench-fake", self.port, *what], LOAD_CORE)


class Peer(Process):
    """nginx, HAProxy or h2o."""

    def __init__(self, name, setting, certificate):
        super().__init__(name, free_port())
        if not shutil.which(PROGRAMS[name]):
            raise Missing(f"{name} is not installed")
        keys = [random_key() for _ in range(N_KEYS)]
        self.key = keys[0]
        getattr(self, f"_{name}")(setting, keys, self._values(setting, certificate))

    def _values(self, setting, certificate):
        return {"DIRECTORY": self.directory, "PORT": self.port, "TLS_PORT": self.tls_port, "UPSTREAM": setting.upstream,
                "CONNECTIONS": setting.connections, "DESCRIPTORS": min(2 * setting.connections + 100, descriptors()), "USER": getpass.getuser(),
                "CERTIFICATE": certificate.certificate, "KEY": certificate.key, "CERTIFICATE_AND_KEY": certificate.both}

    def _write(self, name, text):
        (self.directory / name).write_text(text)
        return self.directory / name

    def _nginx(self, setting, keys, values):
        self._write("keys", "".join(f'"Bearer {key}" caller-{n};\n' for n, key in enumerate(keys)))
        values |= {"NGINX_COMMON": part("nginx-common.conf"), "NGINX_PROXY": part("nginx-proxy.conf"),
                   "NGINX_TLS": part("nginx-tls.conf") if setting.is_tls else "", "NGINX_BUFFERING": "off" if setting.is_stream else "on",
                   # It counts those to the upstream, too, and when fifteen of sixteen are taken it closes some that have just come.
                   "CONNECTIONS": 3 * setting.connections}
        kind = "plain" if setting.duties == "plain" else "duties"
        config = self._write("nginx.conf", fill(f"nginx-{kind}.conf", values))
        self.start(["nginx", "-p", self.directory, "-c", config], PROXY_CORE)

    def _haproxy(self, setting, keys, values):
        self._write("keys", "".join(f"{hashlib.sha256(key.encode()).hexdigest()} caller-{n}\n" for n, key in enumerate(keys)))
        values |= {"HAPROXY_COMMON": part("haproxy-common.cfg"), "HAPROXY_TLS": part("haproxy-tls.cfg") if setting.is_tls else "",
                   "HAPROXY_TLS_GLOBAL": "ssl-default-bind-curves X25519:P-256" if setting.is_tls else "",
                   # without it the first event waits 200 ms in the kernel for more
                   "HAPROXY_STREAM": "option http-no-delay" if setting.is_stream else ""}
        kind = "plain" if setting.duties == "plain" else "duties"
        config = self._write("haproxy.cfg", fill(f"haproxy-{kind}.cfg", values))
        with open(self.directory / "access.log", "w", encoding="utf-8") as log:
            self.start(["haproxy", "-f", config], PROXY_CORE, stdout=log)

    def _h2o(self, setting, _, values):
        values |= {"H2O_TLS": part("h2o-tls.conf") if setting.is_tls else ""}
        config = self._write("h2o.conf", fill("h2o.conf", values))
        self.start(["h2o", "-c", config], PROXY_CORE)


class Scribe(Process):
    """The gateway with its ledger, which has the other core: its work is told apart. As "translating" its provider speaks another
    dialect than the clients; as "limited" its keys have limits, and are in a group that has some."""
    wrapper = ()  # a program that starts it

    def __init__(self, setting, certificate, name="gateway"):
        super().__init__(name, free_port())
        values = {"DIALECT": OTHER_DIALECT[setting.dialect] if name == "translating" else setting.dialect, "REFUSING": setting.refusing, "DIRECTORY": self.directory, "PORT": self.port, "TLS_PORT": self.tls_port, "UPSTREAM": setting.upstream,
                  "CONNECTIONS": setting.connections, "GROUP": grp.getgrgid(os.getegid()).gr_name,
                  "CERTIFICATE": certificate.certificate, "KEY": certificate.key, "GATEWAY_COMMON": part("gateway-common.conf"),
                  "ADDRESS_LIMIT": f"address_limit = {setting.address_limit}" if setting.address_limit else "",
                  "GATEWAY_TLS": part("gateway-tls.conf") if setting.is_tls else ""}
        self.gateway = Gateway(directory=self.directory, workers=1, start=False)
        self.gateway.port = self.port
        self.gateway.write_config(fill(f"gateway-{setting.duties}.conf", values))
        self.gateway.wrapper = ["taskset", "-c", PROXY_CORE, *self.wrapper]
        try:
            self.gateway.start()
        except AssertionError as error:
            self.gateway.remove()
            raise Missing(f"the gateway did not start: {str(error).splitlines()[-1]}") from None
        self.pid = self.gateway.pid
        self.ledger = wait_for(self.gateway.ledger_pid, what="the ledger")
        for task in os.listdir(f"/proc/{self.ledger}/task"):
            os.sched_setaffinity(int(task), {int(LOAD_CORE)})
        more = {}
        if name == "limited":
            self.gateway.ledger("CreateGroup", name="team", limits=GROUP_LIMITS)
            more = {"group": "team", "limits": KEY_LIMITS}
        self.revoked = self.gateway.create_key("revoked")
        self.gateway.ledger("RevokeKey", name="revoked")
        for n in range(N_KEYS):
            self.key = self.gateway.create_key(f"caller-{n}", wait=n == N_KEYS - 1, **more)

    def pids(self):
        return [self.pid]

    def helpers(self):
        return [self.ledger]

    def close(self):
        try:
            self.gateway.stop()
        finally:
            self.gateway.remove()


def start(name, setting, certificate):
    return Scribe(setting, certificate, name) if name in ("gateway", "translating", "limited") else Peer(name, setting, certificate)


def versions():
    """{name: version, or why there is none}, for the head of the table."""
    found = {}
    for name, arguments in (("nginx", ["-v"]), ("haproxy", ["-v"]), ("h2o", ["--version"])):
        if shutil.which(PROGRAMS[name]):
            done = subprocess.run([PROGRAMS[name], *arguments], capture_output=True, text=True, check=False)
            match = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
            found[name] = match[0] if match else "?"
        else:
            found[name] = "MISSING"
    return found


def descriptors():
    """The most that a process may have, after this one has raised its limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 40000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except ValueError:  # only root may raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
