#!/usr/bin/python3
"""Holds the manual pages against the code: what a person may meet stands in its page. Prints TAP.

usage: pages.py TREE SCRIBE-SETTINGS PAGE...
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path


def plain(source):
    """The words of a page without what steers troff."""
    text = re.sub(r"\\f[BIRP]", "", source)
    for escape, character in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\(ha", "^"), ("\\(ti", "~"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(escape, character)
    return text


class Pages:
    def __init__(self, tree, settings, paths):
        self.tree = Path(tree)
        self.settings = settings
        self.paths = {Path(path).name: path for path in paths}
        self.text = {name: plain(Path(path).read_text()) for name, path in self.paths.items()}

    def code(self, path):
        return (self.tree / path).read_text()

    def missing(self, page, names):
        """Names that stand nowhere in the page as a word of their own; there must be some to look for."""
        names = sorted(set(names))
        if not names:
            return [f"{page}: nothing was found in the code that it should tell"]
        return [f"{page}: {name} is not told" for name in names
                if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.text[page])]


def check_lint(p):
    found = []
    for path in p.paths.values():
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", path], capture_output=True, text=True, check=False)
        # Of this machine: pages of others that it does not have.
        found += [line for line in (done.stdout + done.stderr).splitlines() if "referenced manual not found" not in line]
    return found


def check_mandoc(p):
    return render(p, lambda path: ["mandoc", "-T", "utf8", path])


def check_groff(p):
    return render(p, lambda path: ["groff", "-ww", "-man", "-K", "utf8", "-T", "utf8", path])


def render(p, command):
    found = []
    for name, path in p.paths.items():
        done = subprocess.run(command(path), capture_output=True, text=True, check=False)
        shown = re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)
        title = name.rsplit(".", 1)[0].upper()
        found += [f"{name}: {line}" for line in done.stderr.splitlines()]
        found += [f"{name}: it shows no {part}" for part in (title, "NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO") if part not in shown]
        found += [f"{name}: it shows a '@': {line.strip()}" for line in shown.splitlines() if re.search(r"@[A-Z]+@", line)]
    return found


def check_scribectl(p):
    verbs = p.code("src/ctl/verbs.c")
    headings = re.findall(r'^\.SS "(.*)"$', p.text["scribectl.1"], re.MULTILINE)
    # {"key create", "NAME", 1, 1, ...
    table = re.findall(r'^ {8}\{"([a-z][a-z -]*)",\s+"([^"]*)",\s+\d', verbs, re.MULTILINE)
    found = [f"scribectl.1: no heading for '{name} {arguments}'" for name, arguments in table if f"{name} {arguments}".strip() not in headings]
    if len(table) < 10 or len(table) != len(headings):
        found.append(f"scribectl.1: {len(table)} verbs and {len(headings)} headings")
    found += p.missing("scribectl.1", re.findall(r'\{"(--[a-z-]+)"', verbs))
    statuses = re.findall(r"^        SG_CTL_\w+ = (\d+),", p.code("src/ctl/ctl.h"), re.MULTILINE)
    told = re.findall(r"^\.B (\d+)$", p.text["scribectl.1"], re.MULTILINE)
    if told != statuses or not statuses:
        found.append(f"scribectl.1: the exit statuses are {statuses}, told are {told}")
    return found


def check_settings(p):
    words = subprocess.run([p.settings, "--words"], capture_output=True, text=True, check=True).stdout.split()
    found = p.missing("scribe-gateway.conf.5", [word.split(".", 1)[1] + " =" for word in words])
    sections = {word.split(".", 1)[0] for word in words}
    found += [f"scribe-gateway.conf.5: no heading for [{section}]" for section in sections
              if not re.search(rf'^\.SS "\[{section}( NAME)?\]"$', p.text["scribe-gateway.conf.5"], re.MULTILINE)]
    code = p.code("src/config/environment.c") + p.code("src/config/credential.c")
    return found + p.missing("scribe-gateway.conf.5", re.findall(r'(?:sg_surroundings_env\(around, |FROM\()"(\w+)"', code))


def check_programs(p):
    constants = re.findall(r"^#define SG_EXIT_\w+ +(\d+)", p.code("src/base/error.h"), re.MULTILINE)
    found = [] if len(constants) >= 2 else ["src/base/error.h: the exit statuses were not found"]
    for page, room, main in (("scribe-gateway.8", "daemon", "life.c"), ("scribe-ledger.8", "ledger", "main.c")):
        code = "".join(path.read_text() for path in sorted((p.tree / "src" / room).glob("*.c")))
        found += p.missing(page, ["--" + name for name in re.findall(r'\{"([a-z-]+)", (?:no|required)_argument', code)])
        signals = re.findall(r"case (SIG[A-Z0-9]+):|(?<=[{ ])(SIG[A-Z0-9]+)(?=[,}])", p.code(f"src/{room}/{main}"))
        found += p.missing(page, {a or b for a, b in signals} - {"SIGCHLD", "SIGPIPE"})
        found += p.missing(page, re.findall(r'(?<!_)getenv\("(\w+)"\)', code) or ["LOG_LEVEL"])
        told = re.findall(r"^\.B (\d+)$", p.text[page], re.MULTILINE)
        wanted = sorted({"0", "2", *constants}, key=int)
        if told != wanted:
            found.append(f"{page}: the exit statuses are {wanted}, told are {told}")
    base = "".join(path.read_text() for path in sorted((p.tree / "src/base").glob("*.c")))
    return found + p.missing("scribe-gateway.8", re.findall(r'(?<!_)getenv\("(\w+)"\)', base))


def check_units(p):
    units = [path.name.removesuffix(".in") for path in (p.tree / "units").iterdir()
             if re.search(r"\.(service|socket|target|slice|timer)(\.in)?$", path.name)]
    found = p.missing("scribe-gateway.8", units)
    told = set(re.findall(r"scribe[\w-]*\.(?:service|socket|target|slice)", " ".join(p.text.values())))
    found += [f"there is no {unit}" for unit in sorted(told - set(units))]
    return found


def check_protocol(p):
    page = "scribe-gateway.varlink.7"
    found = []
    for path in ("src/varlink/io_scribe_gateway.c", "src/ledger/interface.c"):
        strings = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', p.code(path))).replace("\\n", "\n")
        for kind in ("method", "type", "error"):
            names = re.findall(rf"^{kind} (\w+) ?\(", strings, re.MULTILINE)
            if not names:
                found.append(f"{path}: no {kind} was found")
            found += [f"{page}: {kind} {name} is not told" for name in names if not re.search(rf"^{kind} {name} ?\(", p.text[page], re.MULTILINE)]
    errors = re.findall(r'"error (\w+) ?\(', p.code("src/varlink/service.c"))
    return found + p.missing(page, [f"org.varlink.service.{name}" for name in errors])


def check_references(p):
    """Pages of ours that are referred to exist."""
    ours = {f"{name.rsplit('.', 1)[0]}({name.rsplit('.', 1)[1]})" for name in p.paths}
    text = " ".join(re.sub(r"\s+\(", "(", text) for text in p.text.values())
    named = set(re.findall(r"\bscribe[\w.-]*\(\d\)", text))
    return [f"there is no page {name}" for name in sorted(named - ours)] + [f"nothing refers to {name}" for name in sorted(ours - named)]


CHECKS = [
    ("mandoc finds nothing to say", check_lint, "mandoc"),
    ("mandoc shows every page", check_mandoc, "mandoc"),
    ("groff shows every page", check_groff, "groff"),
    ("verbs, options and exit statuses of scribectl are told", check_scribectl, None),
    ("settings and variables are told", check_settings, None),
    ("options, signals, variables and exit statuses of both programs are told", check_programs, None),
    ("units are told, and no others", check_units, None),
    ("methods, types and errors of the protocol are told", check_protocol, None),
    ("references lead somewhere", check_references, None),
]


def main():
    p = Pages(sys.argv[1], sys.argv[2], sys.argv[3:])
    n_failed = 0
    print(f"1..{len(CHECKS)}")
    for number, (name, check, program) in enumerate(CHECKS, 1):
        if program and not shutil.which(program):
            print(f"ok {number} - {name} # SKIP there is no {program} here")
            continue
        found = check(p)
        for line in found:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} {number} - {name}")
        n_failed += bool(found)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
