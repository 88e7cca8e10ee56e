#!/usr/bin/python3
"""The fault campaign: every fault of every conversation, through a gateway and its ledger, each judged by its own bytes. TAP.

    run_faults.py                      all of it; one line a conversation
    run_faults.py NAME...              the faults of these conversations
    run_faults.py NAME#FAULT...        these faults alone; --show prints what was sent and what came

What the provider sent tells what must come of it (dialects.py); the gateway is not asked. With SCRIBE_SLOWNESS above 1, as
sanitizer builds have it, every 20th fault runs.
"""

import asyncio
import json
import re
import socket
import struct
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "daemon")]

from case import CONVERSATIONS, TOKEN_CLASSES, Case  # noqa: E402
from dialects import JUDGED, is_same, read_answer  # noqa: E402
from faults import faults_of, is_answer  # noqa: E402
from gateway import PROVIDER_SECRET, SLOWNESS, Gateway, wait_for  # noqa: E402
from run_replay import Tap, request_id  # noqa: E402

# Each fault has a model of its own, so that none rests or trips what another one is asked by; a configuration holds 4096
# sections.
ROUND_SECTIONS = 3800
IN_FLIGHT = 48
STALL_SECONDS = 0.5 * SLOWNESS
MARK = re.compile(rb"-fault-(\d+)-")


# ---- the two sides

class Provider(asyncio.Protocol):
    """Reads one request, finds in it which fault it is of, and does that."""

    def __init__(self, campaign):
        self.campaign = campaign
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if not mark or len(body) < int(length[1]):
            return
        fault = self.campaign.faults[int(MARK.search(self.received)[1])]
        self.received = b""
        fault.n_asked += 1
        if fault.torn_at is not None:
            self.transport.write(fault.data[:fault.torn_at])
            asyncio.get_running_loop().call_later(0.002, self.rest, fault)
            return
        self.transport.write(fault.data)
        self.end(fault)

    def rest(self, fault):
        self.transport.write(fault.data[fault.torn_at:])
        self.end(fault)

    def end(self, fault):
        if fault.end == "fin":
            self.transport.close()
        elif fault.end == "rst":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class Client(asyncio.Protocol):
    def __init__(self, request, done):
        self.request = request
        self.done = done
        self.pieces = []

    def connection_made(self, transport):
        transport.write(self.request)

    def data_received(self, data):
        self.pieces.append(data)

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_result(b"".join(self.pieces))


# ---- what must come of it

CLIENT_WIRES = {"/v1/chat/completions": "chat", "/v1/chat": "simple", "/v1/completions": "completion", "/v1/embeddings": "embeddings",
                "/v1/messages": "messages", "/v1/messages/count_tokens": "count_tokens", "/v1/responses": "responses", "/v1/images/generations": "media",
                "/v1/audio/speech": "media", "/v1/audio/transcriptions": "media"}


def wires_of(case):
    """(what the client speaks, what the provider does)"""
    client = CLIENT_WIRES[case.data("client").split(b" ")[1].decode()]
    settings = dict(line.replace(" ", "").split("=", 1) for line in case.provider_settings())
    if client == "count_tokens":
        return client, client
    if settings["dialect"] == "anthropic":
        return client, "messages"
    if client in ("messages", "simple") or (client == "responses" and settings.get("responses") != "yes"):
        return client, "chat"
    return client, client


def has_error_form(wire, error):
    if wire == "simple":
        return isinstance(error, str)
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def is_open(fault, given):
    """A reset may take with it what was not read yet."""
    return fault.end == "rst" or given.is_open


def check_client(fault, given, seen):
    """What the client saw is what the provider gave: as much, and no other end."""
    client_wire, provider_wire = fault.wires
    assert seen.status is not None, "the client got no answer"
    if given.is_success and not is_open(fault, given):
        assert seen.is_success, f"the provider's answer is whole, the client's is not: {seen.error}"
    elif not given.is_success:
        assert not seen.is_success, "a truncated answer was reported as success"
    if seen.is_success:
        assert seen.body_is_whole, "the terminal event came, the end of the body did not"
    else:
        assert has_error_form(client_wire, seen.error), f"no error in the client's form: {seen.error}"
        assert not (seen.is_stream and seen.body_is_whole), "a broken stream has a proper end"
    for channel, text in seen.said.items():
        said = given.said[channel]
        heard = f"{channel}: the provider said {said!r}, the client heard {text!r}"
        if channel == "arguments" and client_wire not in (provider_wire, "simple") and not seen.is_stream:
            continue  # an object here, its text there
        assert is_same(text, said) if seen.is_success else said.startswith(text), heard


def most(text):
    """The most tokens that a guess of bytes may come to: text may be counted as JSON writes it."""
    return len(json.dumps(text).encode()) // 4 + 2


def check_event(fault, given, seen, event):
    figures = {name: event[name] for name in TOKEN_CLASSES}
    said = "".join(given.said.values())
    if seen.is_success:
        assert event["outcome"] == "complete", event["outcome"]
        if given.missing:
            other = "output_tokens" if given.missing == "input_tokens" else "input_tokens"
            assert event["certainty"] == "partial" and figures[other] == given.usage[other] and figures[given.missing] > 0, \
                f"{event['certainty']} {figures}, of {given.usage} without {given.missing}"
        elif given.usage:
            wanted = {name: given.usage.get(name, 0) for name in figures}
            assert (event["certainty"], figures) == ("measured", wanted), f"{event['certainty']} {figures}, not measured {wanted}"
        else:
            assert event["certainty"] == ("none" if fault.wires[1] == "media" else "estimated"), event["certainty"]
            assert (figures["output_tokens"] > 0) == bool(said) or not given.is_text, f"{figures} for {len(said)} characters"
        return
    assert event["outcome"] == ("truncated" if seen.is_stream else "failed"), event["outcome"]
    assert event["reason"], "no reason"
    assert event["certainty"] != "measured", "figures of an answer that broke off are called measured"
    if event["certainty"] == "partial":
        likely = [u for u in (given.usages if is_open(fault, given) else given.usages[-1:]) if u]
        assert any(figures["input_tokens"] == u["input_tokens"] and figures["cached_tokens"] == u["cached_tokens"] and
                   u["output_tokens"] <= figures["output_tokens"] <= u["output_tokens"] + most(said) for u in likely), \
            f"partial {figures}, of {likely}"
    elif event["certainty"] == "estimated":
        assert is_open(fault, given) or not (given.is_stream and given.usage), f"figures were given, and guessed: {figures}"
        assert figures["output_tokens"] <= most(said), f"{figures} for {len(said)} characters"
    else:
        assert not any(figures.values()), figures
        assert not given.is_text or (given.status or 0) >= 300 or given.is_failed, "nothing is counted of an answer that began"


def check(fault, got, events):
    client_wire, provider_wire = fault.wires
    given = read_answer(provider_wire, fault.data, fault.end == "fin")
    seen = read_answer("chat" if client_wire == "simple" else client_wire, got)
    check_client(fault, given, seen)
    if client_wire in JUDGED or client_wire in ("simple", "embeddings"):
        found = events.get(request_id(got), [])
        assert len(found) == 1, f"{len(found)} events"
        check_event(fault, given, seen, found[0])


# ---- the campaign

class Campaign:
    def __init__(self, faults):
        self.faults = faults

    def model(self, number):
        return f"{self.faults[number].case.model}-fault-{number}-"

    def configuration(self, url):
        """A provider for each conversation, but for one that refuses with what rests the credential: then for each fault."""
        more = [f"between_bytes_timeout = {int(STALL_SECONDS * 1000)}ms", "first_byte_timeout = 30s"]
        text = ""
        for number, fault in enumerate(self.faults):
            case = fault.case
            provider = case.model if is_answer(case.data("provider-sends")) else f"{case.model}-{number}"
            both = case.configuration(url, provider, self.model(number), more)
            text += both if f'[provider "{provider}"]' not in text else both[both.index("[model "):]
        return text

    async def one(self, port, number):
        fault = self.faults[number]
        words = {"key": self.key.encode(), "provider-key": PROVIDER_SECRET.encode(), "model": self.model(number).encode()}
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        await loop.create_connection(lambda: Client(fault.case.client_bytes(words), done), "127.0.0.1", port)
        try:
            fault.got = await asyncio.wait_for(done, 30 * SLOWNESS)
        except asyncio.TimeoutError:
            fault.got = None

    async def all(self, port):
        numbers = iter([n for n, fault in enumerate(self.faults) if fault.end != "stall"])
        stalled = [self.one(port, n) for n, fault in enumerate(self.faults) if fault.end == "stall"]

        async def some():
            for number in numbers:
                await self.one(port, number)
        await asyncio.gather(*stalled, *[some() for _ in range(IN_FLIGHT)])

    async def run(self):
        loop = asyncio.get_running_loop()
        for fault in self.faults:
            fault.n_asked = 0
        server = await loop.create_server(lambda: Provider(self), "127.0.0.1", 0, backlog=4096)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with Gateway(config=self.configuration(url), dropins={"faults.conf": "[journal]\nsize = 64M\n"}, log_level="err") as gateway:
            self.key = gateway.create_key("faults")
            await self.all(gateway.port)
            events = self.events(gateway)
        server.close()
        for fault in self.faults:
            fault.error = self.judge(fault, events)

    def events(self, gateway):
        """By request id, when all that are expected have come; those that do not come are missed where they belong."""
        n = sum(fault.got is not None and b"\r\nx-request-id: " in fault.got for fault in self.faults)

        def all_of_them():
            found = {}
            for event in gateway.usage():
                found.setdefault(event["request_id"], []).append(event)
            return found if len(found) >= n else None
        try:
            return wait_for(all_of_them, 10, pause=0.2)
        except AssertionError:
            found = {}
            for event in gateway.usage():
                found.setdefault(event["request_id"], []).append(event)
            return found

    def judge(self, fault, events):
        try:
            assert fault.got is not None, "the gateway neither answered nor closed"
            assert fault.n_asked, f"the provider was not asked; the client got {fault.got!r}"
            check(fault, fault.got, events)
        except Exception as error:
            return error
        return None


def gather():
    """The faults that are to run, and whether they were named."""
    names = [name for name in sys.argv[1:] if not name.startswith("--")]
    found = []
    for path in sorted(CONVERSATIONS.glob("*/*.case")):
        case = Case(path)
        if names and not any(name.partition("#")[0] == case.name for name in names):
            continue
        words = {"provider-key": PROVIDER_SECRET.encode(), "model": case.model.encode()}
        for fault in faults_of(case, wires_of(case)[1], words):
            fault.wires = wires_of(case)
            if not names or case.name in names or fault.name in names:
                found.append(fault)
    return found if names or SLOWNESS <= 1 else found[::20]


def rounds(faults):
    """As many at a time as one configuration has room for."""
    some, n_sections = [], 0
    for fault in faults:
        some.append(fault)
        n_sections += 1 if is_answer(fault.case.data("provider-sends")) else 2
        if n_sections >= ROUND_SECTIONS:
            yield some
            some, n_sections = [], 0
    if some:
        yield some


def show(fault):
    for title, data in (("sent", fault.data), ("got", fault.got or b"")):
        print(f"# {fault.name}: {title}, {fault.end}\n" + "".join(f"#   {line}\n" for line in data.decode(errors="replace").splitlines()), end="")


def report(faults, seconds):
    by_case = {}
    for fault in faults:
        by_case.setdefault(fault.case.name, []).append(fault)
    tap = Tap(len(by_case) + 1)
    failed = [fault for fault in faults if fault.error is not None]
    for name, of_case in by_case.items():
        bad = [fault for fault in of_case if fault.error is not None]
        for fault in bad[:20]:
            print(f"# {fault.name}: {type(fault.error).__name__}: {str(fault.error)[:600]}")
        tap.say(f"{name}: {len(of_case)} faults", None if not bad else AssertionError(f"{len(bad)} faults; one alone: run_faults.py {bad[0].name} --show"))
    tap.say(f"{len(faults)} faults in {seconds:.0f} s", None if not failed else AssertionError(f"{len(failed)} failed"))
    return 1 if failed else 0


def main():
    faults = gather()
    begin = time.monotonic()
    for some in rounds(faults):
        asyncio.run(Campaign(some).run())
    if "--show" in sys.argv:
        for fault in faults:
            show(fault)
    return report(faults, time.monotonic() - begin)


if __name__ == "__main__":
    sys.exit(main())
