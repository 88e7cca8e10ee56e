#!/usr/bin/python3
"""Replays cases: what the client sends, what the provider answers, and every byte and word that must come of it. TAP.

A case is a text file, see README.md. All cases run through one gateway, each on a connection of its own. Given names, only
those cases run; --show prints what came of each.
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "daemon")]

from case import CONVERSATIONS, Case, compare_answer, compare_request  # noqa: E402
from fake import Fake  # noqa: E402
from gateway import PROVIDER_SECRET, Gateway, wait_for  # noqa: E402


def words(case, key):
    return {"key": key.encode(), "provider-key": PROVIDER_SECRET.encode(), "model": case.model.encode()}


def script_of(case, filled):
    def script(x):
        x.send(case.provider_bytes(filled))
        if case.then == "hold":
            x.pause(60)
        elif case.then == "reset":
            x.reset()
        elif case.then == "close":
            x.close()
    return script


def request_id(got):
    found = re.search(rb"\r\nx-request-id: ([^\r]+)", got)
    assert found, f"no x-request-id in {got[:400]!r}"
    return found[1].decode()


def ask(case, gateway, provider, key):
    """What the client got, compared; and what it sent to the provider."""
    filled = words(case, key)
    n_before = len(provider.requests)
    if case.has("provider-sends"):
        provider.default = script_of(case, filled)
    with gateway.connect() as wire:
        wire.send(case.client_bytes(filled))
        got = wire.read_all()
    if "--show" in sys.argv:
        print(f"# {case.name}\n# " + "\n# ".join(got.decode(errors="replace").splitlines()))
    if case.has("provider-sends"):
        filled["provider-body"] = case.provider_body(filled)
    requests = provider.requests[n_before:]
    if case.has("provider-sends") and case.is_conversation:
        assert len(requests) == 1, f"the provider got {len(requests)} requests; the client {got!r}"
    compare_answer(case, case.fill(case.data("client-gets"), filled), got)
    if case.has("provider-gets"):
        assert len(requests) == 1, f"the provider got {len(requests)} requests"
        wanted = case.fill(case.data("provider-gets"), filled)
        compare_request(case, wanted, requests[0].raw_head + b"\r\n\r\n", requests[0].body)
    elif not case.has("provider-sends"):
        assert not requests, "the provider was asked"
    return got


def check_record(case, gateway, got):
    if case.has("event"):
        event = gateway.event(request_id(got))
        for name, value in case.wanted_event().items():
            assert str(event[name]) == value, f"event: {name} is {event[name]}, not {value}"
    if case.has("log"):
        entry = wait_for(lambda: gateway.log(SCRIBE_REQUEST=request_id(got)), what="the log line")[0]
        for name, value in case.fields("log").items():
            assert str(entry.get(name)) == value, f"log: {name} is {entry.get(name)}, not {value}"


class Tap:
    def __init__(self, n):
        self.n = self.n_failed = 0
        print(f"1..{n}", flush=True)

    def say(self, name, error=None):
        self.n += 1
        if error is not None:
            self.n_failed += 1
            print("".join(f"# {line}\n" for line in f"{type(error).__name__}: {error}".splitlines()), end="")
        print(f"{'ok' if error is None else 'not ok'} {self.n} - {name}", flush=True)


def main():
    cases = [Case(path) for path in [*sorted(HERE.glob("*.case")), *sorted(CONVERSATIONS.glob("*/*.case"))]]
    names = [name for name in sys.argv[1:] if not name.startswith("--")]
    if names:
        cases = [case for case in cases if case.name in names or case.path.parent.name in names]
    tap = Tap(len(cases) + 1)
    provider = Fake()
    url = provider.url.removesuffix("/v1")
    config = "".join(case.configuration(url) for case in cases if case.is_conversation)
    # Conversations are asked one after the other; their records are looked at when all have been, as they need a moment.
    outcomes = {}
    try:
        with Gateway(provider.url, config=config) as gateway:
            key = gateway.create_key("replay")
            for case in cases:
                try:
                    outcomes[case.name] = ask(case, gateway, provider, key)
                except Exception as error:
                    outcomes[case.name] = error
            for case in cases:
                error = outcomes[case.name]
                if isinstance(error, bytes):
                    try:
                        error = check_record(case, gateway, error)
                    except Exception as found:
                        error = found
                tap.say(case.name, error)
        tap.say("the gateway ended in order")
    except AssertionError as error:
        tap.say("the gateway ended in order", error)
    provider.close()
    return 1 if tap.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
