"""One gateway and one upstream for each file; what a failed case leaves behind is kept from the next one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "daemon"))

from gateway import Gateway, wait_for  # noqa: E402
from judge import check_next_connection  # noqa: E402
from watched import Upstream  # noqa: E402


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
