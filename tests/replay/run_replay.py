#!/usr/bin/python3
"""Replays cases: what the client sends, what the provider answers, and every byte and word that must come of it. TAP.

A case is a text file, see README.md. All cases run through one gateway, each on a connection of its own.
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "daemon"))

from fake import Fake  # noqa: E402
from gateway import PROVIDER_SECRET, Gateway, wait_for  # noqa: E402

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
SECTIONS = ("client", "provider-gets", "provider-sends", "client-gets", "event", "log")


def unescape(text):
    found = b""
    at = 0
    while at < len(text):
        char = text[at]
        if char != "\\":
            found += char.encode()
            at += 1
        elif text[at + 1] == "x":
            found += bytes([int(text[at + 2:at + 4], 16)])
            at += 4
        else:
            found += ESCAPES[text[at + 1]]
            at += 2
    return found


class Case:
    def __init__(self, path):
        self.name = path.stem
        self.parts = {}
        section = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("== "):
                section, _, self_option = line[3:].partition(" ")
                assert section in SECTIONS, f"{path.name}:{number}: no such section: {section}"
                assert section not in self.parts, f"{path.name}:{number}: {section} stands there twice"
                self.parts[section] = []
                if section == "provider-sends":
                    self.then = self_option or "close"
            elif section and line and not line.startswith("#"):
                self.parts[section].append(line)
        assert "client" in self.parts and "client-gets" in self.parts, f"{path.name}: client and client-gets are needed"

    def data(self, section):
        return b"".join(unescape(line) for line in self.parts[section])

    def fields(self, section):
        return dict(line.split(" = ", 1) for line in self.parts.get(section, []))


def pattern(data):
    """{*} stands for anything on that line, all else for itself."""
    return re.compile(b"[^\r\n]*?".join(re.escape(part) for part in data.split(b"{*}")) + b"\\Z", re.DOTALL)


def fill(data, key):
    """{key}; and {length}: that of what follows the empty line."""
    data = data.replace(b"{key}", key.encode()).replace(b"{provider-key}", PROVIDER_SECRET.encode())
    return data.replace(b"{length}", str(len(data.partition(b"\r\n\r\n")[2])).encode())


def compare(what, wanted, got):
    if not pattern(wanted).match(got):
        raise AssertionError(f"{what}:\n  wanted {wanted!r}\n  got    {got!r}")


def run(case, gateway, provider, key):
    n_before = len(provider.requests)

    def script(x):
        x.send(fill(case.data("provider-sends"), key))
        if case.then == "hold":
            x.pause(60)
        elif case.then == "reset":
            x.reset()
        elif case.then == "close":
            x.close()
        else:
            assert case.then == "keep", case.then
    provider.default = script
    with gateway.connect() as wire:
        wire.send(fill(case.data("client"), key))
        got = wire.read_all()
    compare("client-gets", fill(case.data("client-gets"), key), got)
    requests = provider.requests[n_before:]
    if "provider-gets" in case.parts:
        assert len(requests) == 1, f"the provider got {len(requests)} requests"
        compare("provider-gets", fill(case.data("provider-gets"), key), requests[0].raw_head + b"\r\n\r\n" + requests[0].body)
    elif "provider-sends" not in case.parts:
        assert not requests, "the provider was asked"
    request_id = re.search(rb"\r\nx-request-id: ([^\r]+)", got)
    if "event" in case.parts:
        event = gateway.event(request_id[1].decode())
        for name, value in case.fields("event").items():
            assert str(event[name]) == value, f"event: {name} is {event[name]}, not {value}"
    if "log" in case.parts:
        entry = wait_for(lambda: gateway.log(SCRIBE_REQUEST=request_id[1].decode()), what="the log line")[0]
        for name, value in case.fields("log").items():
            assert str(entry.get(name)) == value, f"log: {name} is {entry.get(name)}, not {value}"


def main():
    paths = sorted(HERE.glob("*.case"))
    if sys.argv[1:]:
        paths = [path for path in paths if path.stem in sys.argv[1:]]
    print(f"1..{len(paths) + 1}")
    provider = Fake()
    n_failed = 0
    try:
        with Gateway(provider.url) as gateway:
            key = gateway.create_key("replay")
            wait_for(lambda: gateway.chat(key).status == 200, 1, "the key")
            for number, path in enumerate(paths, 1):
                try:
                    run(Case(path), gateway, provider, key)
                    print(f"ok {number} - {path.stem}", flush=True)
                except Exception as error:
                    n_failed += 1
                    print("".join(f"# {line}\n" for line in f"{type(error).__name__}: {error}".splitlines()), end="")
                    print(f"not ok {number} - {path.stem}", flush=True)
        print(f"ok {len(paths) + 1} - the gateway ended in order")
    except AssertionError as error:
        n_failed += 1
        print("".join(f"# {line}\n" for line in str(error).splitlines()), end="")
        print(f"not ok {len(paths) + 1} - the gateway ended in order")
    provider.close()
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
