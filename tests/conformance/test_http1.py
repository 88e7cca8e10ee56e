"""The corpus against the gateway over HTTP/1.1: each case in one piece, and torn into single bytes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "daemon"))

from cases import read_all  # noqa: E402
from gateway import SLOWNESS, Gateway, wait_for  # noqa: E402
from watched import Upstream, framing_faults  # noqa: E402
from wire import Closed  # noqa: E402

CASES = [case for case in read_all() if case.text]
TORN_BYTES_MAX = 2000  # larger ones are torn into pieces, not into bytes
TIMEOUT = 5


@pytest.fixture(scope="module")
def upstream():
    provider = Upstream()
    yield provider
    provider.close()
    assert provider.failures() == []


@pytest.fixture(scope="module")
def gateway(upstream):
    """One worker, so that all cases share one pool of connections to the upstream."""
    options = "head_timeout = 4s\nbody_timeout = 4s\nmax_body = 1M\n"
    config = '\n[model "default"]\ntarget = fake\n'
    with Gateway(upstream.url, workers=1, gateway=options, config=config) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.create_key("conformance")


def following(key, target):
    """The request that stands behind every case: whether it is read as one tells where the case was thought to end."""
    return f"GET {target} HTTP/1.1\r\nHost: next.example\r\nX-Api-Key: {key}\r\n\r\n".encode()


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


def check_passed_on(x, outcome):
    """Exactly the one meaning, and no doubt about its length."""
    assert (x.method, x.target, x.body) == (outcome.method, outcome.target, outcome.body)
    assert framing_faults(x) == [], x.raw_head
    for name in {name for name, _ in outcome.fields}:
        assert [v for k, v in x.headers if k == name] == [v for k, v in outcome.fields if k == name], x.raw_head
    for name in outcome.without:
        assert x.header(name) is None, x.raw_head


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


def check_next_connection(gateway, upstream, key):
    """The gateway serves, and nothing was left over on a pooled connection to the upstream."""
    mark = upstream.mark()
    with gateway.connect(timeout=TIMEOUT * SLOWNESS) as wire:
        wire.send(following(key, "/v1/afterwards"))
        assert wire.read().status == 200
    requests, stray = upstream.since(mark)
    assert [(x.method, x.target, x.body) for x in requests] == [("GET", "/v1/afterwards", b"")] and stray == b""


@pytest.fixture
def settled(gateway, upstream, key):
    """What a failed case has left on its way must not be taken for the next one's."""
    def is_quiet():
        try:
            check_next_connection(gateway, upstream, key)
        except AssertionError:
            return False
        return True
    wait_for(is_quiet, what="the upstream to be quiet")


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_request(gateway, upstream, key, settled, case):
    for is_torn in (False, True):
        run(gateway, upstream, key, case, is_torn)
        check_next_connection(gateway, upstream, key)


def test_corpus_is_as_large_as_promised():
    assert len(CASES) >= 150
