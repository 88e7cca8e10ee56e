"""The corpus against the gateway over HTTP/1.1: each case in one piece, and torn into single bytes."""

import pytest

from cases import read_all
from gateway import SLOWNESS
from judge import TIMEOUT, check_next_connection, check_passed_on, following
from wire import Closed

CASES = [case for case in read_all() if case.text]
TORN_BYTES_MAX = 2000  # larger ones are torn into pieces, not into bytes


def send(wire, data, is_torn):
    try:
        if is_torn:
            wire.send_split(data, 1 if len(data) <= TORN_BYTES_MAX else 1 + len(data) // TORN_BYTES_MAX)
        else:
            wire.send(data)
    except ConnectionError:
        pass  # refused and closed before the last byte was sent; the answer is there


def read_answer(wire, outcome):
    try:
        return wire.read(is_head=outcome.method == "HEAD")
    except Closed as closed:
        assert not closed.seen, f"half an answer: {closed.seen[-300:]!r}"
        return None
    except TimeoutError:
        raise AssertionError(f"no answer within {TIMEOUT * SLOWNESS:.0f} s; {outcome} was expected") from None


def check_answer(answer, outcome):
    if answer is None:
        assert "close" in outcome.others, f"closed without an answer; expected {outcome}"
        return
    assert answer.status in outcome.statuses, f"{answer}; expected {outcome}"
    if outcome.kind == "refuse":
        assert answer.header("connection") == "close", answer.raw_head
        assert answer.json()["error"]
    if outcome.kind == "accept" and outcome.method != "HEAD":
        assert answer.body == b"seen\n"


def check_end(wire, case):
    """True when the connection goes on: then the request behind the case has been answered."""
    ends = "closes" if case.is_refused or case.fin else case.ends or "stays"
    try:
        answer = wire.read()
    except Closed as closed:
        assert ends != "stays", f"the connection was closed: {closed}"
        assert not closed.seen, closed.seen
        return False
    except TimeoutError:
        raise AssertionError("neither the next answer nor the end of the connection has come") from None
    assert ends != "closes", f"{answer} to the request behind one that closes the connection"
    assert answer.status == 200, answer
    return True


def run(gateway, upstream, key, case, is_torn):
    mark = upstream.mark()
    with gateway.connect(timeout=TIMEOUT * SLOWNESS) as wire:
        send(wire, case.bytes(key) + (b"" if case.fin else following(key, "/v1/next")), is_torn)
        if case.fin:
            wire.half_close()
        for outcome in case.outcomes:
            check_answer(read_answer(wire, outcome), outcome)
        goes_on = check_end(wire, case)
    expected = [outcome for outcome in case.outcomes if outcome.kind == "accept"]
    requests, stray = upstream.since(mark)
    told = [(x.method, x.target, x.body) for x in requests]
    assert told == [(o.method, o.target, o.body) for o in expected] + [("GET", "/v1/next", b"")] * goes_on, told
    assert stray == b"", f"reached the upstream and belongs to no request: {stray[:300]!r}"
    for x, outcome in zip(requests, expected):
        check_passed_on(x, outcome)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_request(gateway, upstream, key, settled, case):
    for is_torn in (False, True):
        run(gateway, upstream, key, case, is_torn)
        check_next_connection(gateway, upstream, key)


def test_corpus_is_as_large_as_promised():
    assert len(CASES) >= 150
