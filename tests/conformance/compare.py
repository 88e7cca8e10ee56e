#!/usr/bin/python3
"""The corpus through nginx, HAProxy and the gateway in front of the same upstream: in how many cases each differs from the one
right answer. By hand, not in the suite; needs nginx and haproxy. Prints Markdown, and the names of the cases on stderr.

What counts is what reached the upstream, and where the request was thought to end: method, target and body of all that came, the
request behind the case among it. Left out is what is a matter of configuration: statuses, fields, limits, and whatever the
gateway answers by itself (paths, credentials, methods).
"""

import datetime
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "daemon"))

from cases import read_all  # noqa: E402
from gateway import Gateway, free_port, wait_for  # noqa: E402
from watched import Upstream, framing_faults  # noqa: E402
from wire import Wire  # noqa: E402

SECONDS = 0.5  # without a byte: then the peer waits for more, and will say nothing else
KEY = "sk-for-nobody"

NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    upstream up {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server one 127.0.0.1:{upstream}
"""


class Peer:
    """A program in front of the upstream, as Debian ships it, with the least configuration that makes it a reverse proxy."""

    def __init__(self, name, text, command, upstream):
        self.name = name
        self.key = KEY
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="scribe-compare-"))
        config = self.directory / "config"
        config.write_text(text.format(directory=self.directory, port=self.port, upstream=upstream.port))
        self.process = subprocess.Popen([*command, str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.directory / "stderr", "wb"))
        wait_for(self.answers, what=name)

    def answers(self):
        assert self.process.poll() is None, (self.directory / "stderr").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


def request(key, target):
    return f"GET {target} HTTP/1.1\r\nHost: next.example\r\nX-Api-Key: {key}\r\n\r\n".encode()


def talk(port, data, half_close=False):
    """Sends, and reads until the peer closes or falls silent. True when it has closed."""
    with Wire(port, timeout=SECONDS) as wire:
        try:
            wire.send(data)
            if half_close:
                wire.half_close()
            while wire.receive():
                pass
            return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True


def settle(peer, upstream, number):
    """Whatever the case before has left in a connection comes out; then nothing is between peer and upstream."""
    def is_quiet():
        mark = upstream.mark()
        with Wire(peer.port, timeout=5) as wire:
            wire.send(request(peer.key, f"/v1/settle-{number}"))
            wire.read(keep_broken=True)
        return [(x.target, x.body) for x in upstream.since(mark)[0]] == [(f"/v1/settle-{number}", b"")]
    wait_for(is_quiet, what=f"{peer.name} to be quiet")


def origin_form(target):
    """What an absolute target says in the other form: both are right in front of an upstream."""
    scheme, found, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if found and "/" not in scheme else target


def verdict(peer, upstream, case):
    """None when the peer did what the case asks for; else what it did."""
    mark = upstream.mark()
    talk(peer.port, case.bytes(peer.key) + (b"" if case.fin else request(peer.key, "/v1/next")), case.fin)
    requests, stray = upstream.since(mark)
    told = [(x.method, origin_form(x.target), x.body) for x in requests]
    wanted = [(o.method, o.target, o.body) for o in case.outcomes if o.kind == "accept"]
    has_next = told[-1:] == [("GET", "/v1/next", b"")]
    if any(framing_faults(x) for x in requests if x.version == "HTTP/1.1"):
        return "passed on with a doubtful length or host"
    if case.is_refused:
        if told == wanted and not stray:
            return None
        is_kept = told == [*wanted, ("GET", "/v1/next", b"")] and not stray
        return "refused, and the next request served" if is_kept else "passed on"
    if told[:len(told) - has_next] == wanted and (has_next or case.ends == "closes"):
        return None if has_next != (case.ends == "closes") else "not closed"
    return "refused" if len(told) - has_next < len(wanted) else "read differently"


def run(peer, upstream, cases):
    found = {}
    for number, case in enumerate(cases):
        settle(peer, upstream, number)
        what = verdict(peer, upstream, case)
        if what:
            found[case.id] = what
            print(f"{peer.name}: {case.id}: {what}", file=sys.stderr)
    return found


def version(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).splitlines()[0].strip()


def table(cases, names, found):
    print(f"| part | cases | {' | '.join(f'{name}: let through' for name in names)} | "
          f"{' | '.join(f'{name}: otherwise different' for name in names)} |")
    print("| --- " * (2 + 2 * len(names)) + "|")
    groups = sorted({case.group for case in cases})
    for group in [*groups, None]:
        some = [case for case in cases if group in (None, case.group)]
        through = [sum(found[name].get(case.id, "").startswith("passed on") for case in some) for name in names]
        other = [sum(case.id in found[name] for case in some) - n for name, n in zip(names, through)]
        print(f"| {group or 'all'} | {len(some)} | {' | '.join(map(str, through))} | {' | '.join(map(str, other))} |")


def main():
    cases = [case for case in read_all() if case.text and case.group != "large"
             and all(outcome.kind != "answer" for outcome in case.outcomes)]
    upstream = Upstream()
    found = {}
    with Gateway(upstream.url, workers=1, config='\n[model "default"]\ntarget = fake\n') as gateway:
        gateway.name, gateway.key = "gateway", gateway.create_key("compare")
        found["gateway"] = run(gateway, upstream, cases)
    for name, text, command in (("nginx", NGINX, ["nginx", "-c"]), ("HAProxy", HAPROXY, ["haproxy", "-q", "-f"])):
        peer = Peer(name, text, command, upstream)
        try:
            found[name] = run(peer, upstream, cases)
        finally:
            peer.close()
    upstream.close()
    print(f"{datetime.date.today()}: {version(['nginx', '-v'])}; {version(['haproxy', '-v'])}\n")
    table(cases, list(found), found)


if __name__ == "__main__":
    main()
