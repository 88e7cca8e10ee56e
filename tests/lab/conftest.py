"""What the tests in boxes share: a skip that says why, a limit of time for each, the journal of the box when one fails; and
that no secret stands in the journal of any box."""

import signal

import pytest

import box
from service import SUITE, Service, folder

CASE_SECONDS = 120
FAILURE = pytest.StashKey[AssertionError]()


def pytest_collection_modifyitems(config, items):
    """Where there can be no boxes, or no package, that is said once and not by every case."""
    try:
        lack = box.missing()
        if not lack:
            box.Box(folder()).close()
    except box.NoBase as error:
        lack = str(error)
    except AssertionError as error:
        config.stash[FAILURE] = error
        del items[1:]
        return
    if lack:
        items[0].add_marker(pytest.mark.skip(reason=f"no boxes of {SUITE} on this machine: {lack}".replace("\n", " ")))
        del items[1:]


def pytest_runtest_setup(item):
    if FAILURE in item.config.stash:
        raise item.config.stash[FAILURE]


@pytest.fixture(scope="module")
def shared():
    """One box for all cases of a file that leave it as they found it."""
    with Service() as running:
        yield running
        assert running.leaks() == []


@pytest.fixture
def own():
    """A box of the case's own."""
    with Service() as running:
        yield running
        assert running.leaks() == []


@pytest.fixture
def bare():
    """One without the package."""
    with Service(install=False) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def expire(*_):
        raise AssertionError(f"the case took longer than {CASE_SECONDS} s")
    old = signal.signal(signal.SIGALRM, expire)
    signal.alarm(CASE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    found = getattr(item, "funcargs", {})
    for name in ("own", "bare", "shared"):
        if report.failed and name in found:
            text = found[name].run("journalctl", "-q", "--no-pager", "-n", "15", check=False).stdout
            report.sections.append((f"journal of the box ({name})", text))
