"""What is checked of a case over any version of HTTP."""

from gateway import SLOWNESS
from watched import framing_faults

TIMEOUT = 5


def following(key, target):
    """The request that stands behind every case: whether it is read as one tells where the case was thought to end."""
    return f"GET {target} HTTP/1.1\r\nHost: next.example\r\nX-Api-Key: {key}\r\n\r\n".encode()


def check_passed_on(x, outcome):
    """Exactly the one meaning, and no doubt about its length."""
    assert (x.method, x.target, x.body) == (outcome.method, outcome.target, outcome.body)
    assert framing_faults(x) == [], x.raw_head
    for name in {name for name, _ in outcome.fields}:
        assert [v for k, v in x.headers if k == name] == [v for k, v in outcome.fields if k == name], x.raw_head
    for name in outcome.without:
        assert x.header(name) is None, x.raw_head


def check_next_connection(gateway, upstream, key):
    """The gateway serves, and nothing was left over on a pooled connection to the upstream."""
    mark = upstream.mark()
    with gateway.connect(timeout=TIMEOUT * SLOWNESS) as wire:
        wire.send(following(key, "/v1/afterwards"))
        assert wire.read().status == 200
    requests, stray = upstream.since(mark)
    assert [(x.method, x.target, x.body) for x in requests] == [("GET", "/v1/afterwards", b"")] and stray == b""
