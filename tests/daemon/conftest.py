"""What the tests share: one gateway and one fake provider per file, a limit of time for each test, the log on failure."""

import re
import signal

import pytest

from fake import Fake
from gateway import SLOWNESS, Gateway

TEST_SECONDS = 90


@pytest.fixture(scope="module")
def fake():
    provider = Fake()
    yield provider
    provider.close()
    assert provider.failures() == []


@pytest.fixture(scope="module")
def gateway(fake, request):
    """GATEWAY_OPTIONS of the test file are its constructor's arguments."""
    options = dict(getattr(request.module, "GATEWAY_OPTIONS", {}))
    with Gateway(fake.url, **options) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.create_key("tester")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails, with the line where it hung, instead of taking the whole run with it."""
    def expire(*_):
        raise AssertionError(f"the test took longer than {limit:.0f} s")
    mark = item.get_closest_marker("seconds")
    limit = (mark.args[0] if mark else TEST_SECONDS) * SLOWNESS
    old = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    running = getattr(item, "funcargs", {}).get("gateway")
    if report.failed and running is not None:
        for path in (running.stderr_path, running.log_path):
            if path.exists():
                tail = path.read_text(errors="replace").splitlines()[-30:]
                report.sections.append((path.name, "\n".join(tail)))


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): how long this test may take")


def pytest_make_parametrize_id(val, argname):
    """Names of cases that one can read and type: bytes on the wire are no such thing."""
    if callable(val):
        return argname
    text = val.decode("latin-1") if isinstance(val, bytes) else str(val)
    return re.sub(r"[^A-Za-z0-9_.:/=-]+", " ", text)[:40].strip() or argname
