#!/usr/bin/python3
"""Runs one file of tests and reports each test as a line of TAP, which meson counts. More arguments go to pytest."""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import pytest  # noqa: E402


class Tap:
    """One line per test; what failed is told in comment lines above it."""

    def __init__(self):
        self.n = 0

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        config.pluginmanager.unregister(config.pluginmanager.getplugin("terminalreporter"))

    def say(self, text):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def tell(self, report):
        for title, text in [("", str(report.longrepr)), *report.sections]:
            for line in [f"--- {title}"] * bool(title) + text.splitlines():
                self.say(f"# {line}")

    def result(self, is_ok, report, remark=""):
        self.n += 1
        name = report.nodeid.split("::", 1)[-1].replace("#", "-")
        self.say(f"{'ok' if is_ok else 'not ok'} {self.n} - {name}{remark}")

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.result(True, report, f" # SKIP {reason.removeprefix('Skipped: ')}")
        elif report.failed:
            self.tell(report)
            self.result(False, report, "" if report.when == "call" else f" ({report.when})")
        elif report.when == "call":
            for _, text in report.user_properties:
                self.say(f"# {text}")
            self.result(True, report)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tell(report)
            self.result(False, report, " (collection)")
        elif report.skipped and report.longrepr:
            self.result(True, report, f" # SKIP {report.longrepr[2].removeprefix('Skipped: ')}")


def main():
    file = (Path(__file__).parent / sys.argv[1]).resolve()  # a name: of this directory; a path: of another one
    here = file.parent
    os.chdir(here)
    sys.path.insert(0, str(here))
    tap = Tap()
    status = pytest.main(["-p", "no:cacheprovider", "--rootdir", str(here), "--tb", "short", file.name, *sys.argv[2:]], plugins=[tap])
    tap.say(f"1..{tap.n}")
    if status == pytest.ExitCode.INTERNAL_ERROR:
        tap.say("Bail out! pytest broke")
    return 1 if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else 0


if __name__ == "__main__":
    sys.exit(main())
