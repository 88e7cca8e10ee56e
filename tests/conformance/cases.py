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
H2_MACROS = {
    "{get}": [":method: GET", ":scheme: http", f":authority: {HOST}", ":path: /v1/items", "x-api-key: {key}"],
    "{post}": [":method: POST", ":scheme: http", f":authority: {HOST}", ":path: /v1/items", "x-api-key: {key}"],
}
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "s": " ", "\\": "\\"}
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")
REPEAT = re.compile(r"\{([^{}]+)\*(\d+)\}")


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
    others: set = field(default_factory=set)  # refuse: "close" without an answer; over HTTP/2 "reset", "goaway"
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
    h2_fields: list = field(default_factory=list)  # "name: value", when the case is written for HTTP/2
    h2_data: list = field(default_factory=list)  # of each DATA frame
    h2_trailers: list = field(default_factory=list)

    @property
    def id(self):
        return f"{self.group}/{self.name}"

    @property
    def is_refused(self):
        return self.outcomes[-1].kind == "refuse"

    def bytes(self, key):
        return self.text.replace("{key}", key).encode("latin-1")

    def h2_request(self, key):
        """(fields, DATA, trailers) of a case with "h2 yes". What is written for HTTP/1 means the same in this form."""
        def pairs(lines):
            return [tuple(part.encode("latin-1") for part in split_field(line.replace("{key}", key))) for line in lines]
        if self.h2_fields:
            return pairs(self.h2_fields), [data.encode("latin-1") for data in self.h2_data], pairs(self.h2_trailers)
        head, _, body = self.bytes(key).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        method, _, rest = lines[0].partition(b" ")
        found = [(name.lower(), value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines[1:])]
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", rest.rpartition(b" ")[0])]
        fields += [(b":authority", value) for name, value in found if name == b"host"]
        return fields + [pair for pair in found if pair[0] != b"host"], [body] if body else [], []


def split_field(line):
    """(name, value) of "name: value"; a pseudo-field's name begins with a colon."""
    start = line.startswith(":")
    name, _, value = line[start:].partition(":")
    return ":" * start + name, value.removeprefix(" ")


OTHERS = {"close", "reset", "goaway"}


def read_outcome(words):
    if words[0] == "accept":
        if len(words) != 3:
            raise BadCase("accept METHOD TARGET")
        return Outcome("accept", [200], method=words[1], target=expand(words[2]))
    if len(words) < 2:
        raise BadCase(f"{words[0]} STATUS...")
    return Outcome(words[0], [int(word) for word in words[1:] if word not in OTHERS], OTHERS & set(words[1:]))


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
        case.h2_fields += H2_MACROS.get(rest) or [expand(rest)]
    elif word == "h2>>":
        case.h2_data.append(expand(rest))
    elif word == "h2t>":
        case.h2_trailers.append(expand(rest))
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
    if not case.outcomes or not (case.text or case.h2_fields):
        raise BadCase("bytes or outcome are missing")
    if case.is_refused and case.ends:
        raise BadCase("a refused request always closes")
    if case.h2 not in (None, "yes") or (case.h2_fields and not case.h2) or (case.h2 and len(case.outcomes) != 1):
        raise BadCase("h2 is yes, with one outcome, or not given")
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
