"""The package in a box, and what an administrator does with it."""

import functools
import json
import os
import subprocess
import threading

from box import HERE, Box, base, depends, package, wait_for

SUITE = os.environ.get("SCRIBE_SUITE", "bookworm")
URL = "http://127.0.0.1:8000"
GATEWAY = "scribe-gateway.service"
LEDGER = "scribe-ledger.service"
PROVIDER_SECRET = "provider-secret-5b0cf2"
DROPINS = "/etc/scribe-gateway/gateway.conf.d"


@functools.cache
def folder():
    """The Debian to boot: what the package needs is in it, what it only recommends is not."""
    return base(SUITE, [*depends(package(SUITE)), "python3", "jq"])


class Service(Box):
    """A box in which the package is installed and a key of "alice" lies in /root/key."""

    def __init__(self, install=True):
        super().__init__(folder())
        self.secrets = []
        if install:
            self.install()
            self.make_key("alice")

    def install(self, version=None):
        self.put("/root/scribe-gateway.deb", package(SUITE, version))
        return self.apt("install", "/root/scribe-gateway.deb")

    def apt(self, *words):
        return self.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", *words, timeout=120)

    def make_key(self, name, path="/root/key"):
        wait_for(lambda: self.run("scribectl", "status", "--json", check=False).returncode == 0, "scribectl status")
        secret = self.out("scribectl", "key", "create", name, "--quiet")
        self.secrets.append(secret)
        self.put(path, secret, mode="0600")
        wait_for(lambda: self.chat("hello", key=path).status == 200, f"the key of {name}")

    # ---- systemd

    def ctl(self, *words, **more):
        return self.run("systemctl", *words, **more)

    def show(self, what, unit=GATEWAY):
        return self.out("systemctl", "show", "-P", what, unit)

    def pid(self, unit=GATEWAY):
        return int(self.show("MainPID", unit))

    def is_active(self, unit=GATEWAY):
        return self.show("ActiveState", unit) == "active"

    def await_active(self, unit=GATEWAY, timeout=20):
        wait_for(lambda: self.show("ActiveState", unit) == "active", f"{unit} to be active", timeout)

    def await_other(self, pid, unit=GATEWAY, timeout=30):
        """Until the unit is active with another main process."""
        wait_for(lambda: self.show("ActiveState", unit) == "active" and self.pid(unit) not in (0, pid), f"another {unit}", timeout)

    def dropin(self, text, unit=GATEWAY, name="50-test"):
        self.put(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.ctl("daemon-reload")

    # ---- the journal

    def cursor(self):
        """A place in the journal: entries after it are new."""
        return self.out("sh", "-ec", "journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p'")

    def journal(self, *words, unit=GATEWAY, since=None):
        """Entries that match, as dicts. (journalctl 252 skips one too many with --after-cursor and a match.)"""
        more = ["-u", unit] * bool(unit) + (["--cursor", since] if since else [])
        text = self.run("journalctl", "-q", "--no-pager", "-o", "json", *more, *words, check=False).stdout
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in found if line["__CURSOR"] != since]

    def await_journal(self, *words, unit=GATEWAY, since=None, timeout=15):
        return wait_for(lambda: self.journal(*words, unit=unit, since=since), f"{' '.join(words)} in the journal", timeout)

    def leaks(self):
        """Secrets that stand anywhere in the journal."""
        text = subprocess.run(self.command("journalctl", "-q", "--no-pager", "-o", "export"), stdout=subprocess.PIPE, check=True).stdout
        return [secret for secret in self.secrets if secret.encode() in text]

    # ---- the configuration

    def configure(self, name, text):
        self.put(f"{DROPINS}/{name}.conf", text)

    def unconfigure(self, name):
        self.run("rm", f"{DROPINS}/{name}.conf")

    # ---- as a client

    def curl(self, path, *words, key="/root/key", timeout=15):
        done = self.run("sh", "-c", 'url=$1 key=$2 limit=$3; shift 3; exec curl -sS -m "$limit" -D /root/head '
                        '${key:+-H "Authorization: Bearer $(cat "$key")"} "$@" "$url"',
                        "sh", URL + path, key or "", str(timeout), *words, check=False, timeout=timeout + 10)
        return Answer(done, self.out("cat", "/root/head") if done.returncode == 0 else "")

    def chat(self, text, model="echo", key="/root/key", **more):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})
        return self.curl("/v1/chat/completions", "-d", body, key=key)

    def requests(self, key="alice"):
        """Metered requests of a key."""
        found = json.loads(self.out("scribectl", "usage", "--by", "key", "--json"))
        return next((row["requests"] for row in found["rows"] if row["group"] == key), 0)

    def status(self):
        return json.loads(self.out("scribectl", "status", "--json"))

    # ---- a provider beside it

    def start_provider(self):
        """One that demands PROVIDER_SECRET, which the caller gives to the gateway."""
        self.put("/root/provider.py", HERE / "inside/provider.py")
        self.put("/root/provider.secret", PROVIDER_SECRET, mode="0600")
        self.secrets.append(PROVIDER_SECRET)
        self.run("systemd-run", "--quiet", "--unit=provider", "python3", "/root/provider.py", "/root/provider.secret")
        wait_for(lambda: self.run("curl", "-sf", "http://127.0.0.1:9000/seen", check=False).returncode == 0, "the provider")

    def provider(self, what="seen"):
        return json.loads(self.out("curl", "-sf", f"http://127.0.0.1:9000/{what}"))


class Answer:
    """What curl brought."""

    def __init__(self, done, head):
        self.text = done.stdout
        self.exit_status = done.returncode
        lines = head.replace("\r", "").splitlines()
        self.status = int(lines[0].split()[1]) if lines else 0
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    def content(self):
        return json.loads(self.text)["choices"][0]["message"]["content"]

    def __repr__(self):
        return f"{self.status or f'curl {self.exit_status}'}: {self.text[:300]}"


class Load:
    """Clients at work while the block runs; afterwards .result has what they met (inside/load.py)."""

    def __init__(self, box, fresh=4, kept=4, streams=0):
        box.put("/root/load.py", HERE / "inside/load.py")
        self.process = box.start("python3", "/root/load.py", "/root/key", fresh, kept, streams)
        self.result = None

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line == "going\n", line + self.process.stdout.read()
        return self

    def __exit__(self, *_):
        guard = threading.Timer(90, self.process.kill)
        guard.start()
        text = self.process.communicate()[0]
        guard.cancel()
        assert text.startswith("{"), text
        self.result = json.loads(text)

    def failed(self):
        return [line for found in self.result.values() for line in found["failed"]]

    def answered(self):
        return sum(found["ok"] for found in self.result.values())
