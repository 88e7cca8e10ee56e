"""Reads corpus/*.case: requests, each with the one right answer. README.md tells the format."""

import re
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
HOST = "a.example"
MACROS = {
    "usual": f"Host: {HOST}\r\nX-Api-Key: {{key}}",
    "get": f"GET /v1/items HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {{key}}",
    "post": f"POST /v1/items HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {{key}}",
}
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "s": " ", "\\": "\\"}
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")
REPEAT = re.compile(r"\{([^{}]+)\*(\d+)\}")
CONNECTION_FIELDS = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer"}


class BadCase(ValueError):
    pass


def unescape(text):
    def one(found):
        what = found[1]
        if what[0] == "x":
            return chr(int(what[1:], 16))
        if what not in ESCAPES:
            raise BadCase(f"unknown escape \\{what}")
        return ESCAPES[what]
    return ESCAPE.sub(one, text)


def expand(text):
    """Macros, repetitions and escapes; {key} stays."""
    for name, value in MACROS.items():
        text = text.replace("{" + name + "}", value)
    text = REPEAT.sub(lambda found: unescape(found[1]).replace("\\", "\\\\") * int(found[2]), text)
    return unescape(text)


@dataclass
class Outcome:
    """What becomes of one request: accept (it reaches the upstream), answer (by the gateway), refuse (answer and close)."""
    kind: str
    statuses: list = field(default_factory=list)
    may_close: bool = False  # refuse: without an answer
    method: str = None
    target: str = None
    body: bytes = b""
    fields: list = field(default_factory=list)
    without: list = field(default_factory=list)


@dataclass
class Case:
    group: str
    name: str
    line: int
    why: str = ""
    text: str = ""  # latin-1, {key} not filled in
    fin: bool = False
    ends: str = None  # stays, closes, either
    outcomes: list = field(default_factory=list)
    h2: str = None
    h2_text: list = field(default_factory=list)  # (name, value), when the case is written for HTTP/2
    h2_body: str = None

    @property
    def id(self):
        return f"{self.group}/{self.name}"

    @property
    def is_refused(self):
        return self.outcomes[-1].kind == "refuse"

    def bytes(self, key):
        return self.text.replace("{key}", key).encode("latin-1")

    def h2_request(self, key):
        """(fields with pseudo-fields first, body) of a case with "h2 yes": the same meaning in the other form."""
        if self.h2_text:
            fields = [(name.encode("latin-1"), value.replace("{key}", key).encode("latin-1")) for name, value in self.h2_text]
            return fields, None if self.h2_body is None else self.h2_body.encode("latin-1")
        head, _, body = self.bytes(key).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        method, rest = lines[0].split(b" ", 1)
        target = rest.rpartition(b" ")[0]
        pairs = [(name.lower(), value.lstrip(b" ")) for name, _, value in (line.partition(b":") for line in lines[1:])]
        hosts = [value for name, value in pairs if name == b"host"]
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", target), (b":authority", hosts[0])]
        return fields + [pair for pair in pairs if pair[0] != b"host"], body or None


def statuses_of(words):
    return [int(word) for word in words if word != "close"]


def read_outcome(words):
    if words[0] == "accept":
        if len(words) != 3:
            raise BadCase("accept METHOD TARGET")
        return Outcome("accept", [200], method=words[1], target=expand(words[2]))
    if not statuses_of(words[1:]) and "close" not in words:
        raise BadCase(f"{words[0]} STATUS...")
    return Outcome(words[0], statuses_of(words[1:]), may_close="close" in words)


def read_line(case, text):
    """One line of a case, without its indentation."""
    word, _, rest = text.partition(" ")
    last = case.outcomes[-1] if case.outcomes else None
    if word == ">":
        case.text += expand(rest) + "\r\n"
    elif word == ">>":
        case.text += expand(rest)
    elif word == "why":
        case.why = rest.strip()
    elif word == "h2":
        case.h2 = rest.strip()
    elif word == "h2>":
        name, _, value = rest[1:].partition(":") if rest.startswith(":") else rest.partition(":")
        case.h2_text.append((unescape((":" if rest.startswith(":") else "") + name), expand(value.removeprefix(" "))))
    elif word == "h2>>":
        case.h2_body = (case.h2_body or "") + expand(rest)
    elif word == "fin":
        case.fin = True
    elif word in ("closes", "stays", "either"):
        case.ends = word
    elif word in ("accept", "answer", "refuse"):
        case.outcomes.append(read_outcome(text.split()))
    elif word == "body" and last:
        last.body += expand(rest).encode("latin-1")
    elif word == "field" and last:
        name, _, value = rest.partition(":")
        last.fields.append((name, unescape(value.removeprefix(" "))))
    elif word == "without" and last:
        last.without.append(rest.strip().lower())
    else:
        raise BadCase(f"what is {word!r}?")


def check(case):
    if not case.why:
        raise BadCase("no reason is given")
    if not case.outcomes or not (case.text or case.h2_text):
        raise BadCase("bytes or outcome are missing")
    if case.is_refused and case.ends:
        raise BadCase("a refused request always closes")
    if case.h2 not in (None, "yes", "accept", "refuse") or (case.h2_text and not case.h2):
        raise BadCase("h2 is yes, accept or refuse")
    if any(outcome.kind == "refuse" for outcome in case.outcomes[:-1]):
        raise BadCase("nothing is answered after a refusal")


def read_file(path):
    cases = []
    for number, line in enumerate(path.read_text("ascii").split("\n"), 1):
        try:
            if line.startswith("case "):
                if cases:
                    check(cases[-1])
                cases.append(Case(path.stem, line[5:].strip(), number))
            elif line.startswith("  ") and cases:
                read_line(cases[-1], line.lstrip(" "))
            elif line and not line.startswith("#"):
                raise BadCase(f"unexpected {line!r}")
        except BadCase as error:
            raise BadCase(f"{path.name}:{number}: {error}") from None
    try:
        check(cases[-1])
    except BadCase as error:
        raise BadCase(f"{path.name}: {cases[-1].name}: {error}") from None
    return cases


def read_all():
    cases = [case for path in sorted(CORPUS.glob("*.case")) for case in read_file(path)]
    names = [case.id for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return cases
