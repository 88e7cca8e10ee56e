"""The corpus against the gateway over HTTP/2, with prior knowledge: what means the same there, and what only it can say."""

import pytest

from cases import read_all
from gateway import SLOWNESS
from h2wire import PROTOCOL_ERROR, H2Wire
from judge import TIMEOUT, check_next_connection, check_passed_on

CASES = [case for case in read_all() if case.h2]


def next_request(key):
    return [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"next.example"), (b":path", b"/v1/next"),
            (b"x-api-key", key.encode())]


def check_answer(answer, case):
    """Written for HTTP/2: exactly what is said. Else what is a refusal there may be an answer, or a stream error here."""
    outcome = case.outcomes[0]
    if answer.status is not None and answer.reset in (None, 0):
        assert answer.is_whole and answer.status in outcome.statuses, f"{answer}; expected {outcome}"
        return
    assert outcome.kind == "refuse", f"{answer}; expected {outcome}"
    assert answer.status is None or answer.status in outcome.statuses, f"{answer}; expected {outcome}"
    if answer.reset is not None:
        is_meant = "reset" in outcome.others or not case.h2_fields
        assert answer.reset == PROTOCOL_ERROR and is_meant, f"{answer}; expected {outcome}"
    else:
        assert answer.is_cut and answer.goaway is not None and not case.h2_fields, f"{answer}; expected {outcome}"


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_request(gateway, upstream, key, settled, case):
    outcome = case.outcomes[0]
    mark = upstream.mark()
    with H2Wire(gateway.port, timeout=TIMEOUT * SLOWNESS) as wire:
        check_answer(wire.wait(wire.request(*case.h2_request(key))), case)
        goes_on = not wire.is_cut and wire.goaway is None
        assert goes_on or not case.h2_fields, "one bad stream ends no connection"
        if goes_on:
            answer = wire.wait(wire.request(next_request(key)))
            assert answer.status == 200 and answer.is_whole, f"{answer} to the next request"
    expected = [outcome] if outcome.kind == "accept" else []
    requests, stray = upstream.since(mark)
    told = [(x.method, x.target, x.body) for x in requests]
    assert told == [(o.method, o.target, o.body) for o in expected] + [("GET", "/v1/next", b"")] * goes_on, told
    assert stray == b"", f"reached the upstream and belongs to no request: {stray[:300]!r}"
    for x, accepted in zip(requests, expected):
        check_passed_on(x, accepted)
    check_next_connection(gateway, upstream, key)


def test_corpus_is_as_large_as_promised():
    assert len(CASES) >= 150
