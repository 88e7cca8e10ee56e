"""The text form of a case (README.md), and the comparison of what came with what it wants."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONVERSATIONS = HERE / "conversations"
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
SECTIONS = {
    "provider": (), "model": (),
    "client": (),
    "provider-gets": ("fields",),
    "provider-sends": ("chunked", "close", "keep", "hold", "reset"),
    "client-gets": ("answer", "stream", "broken-stream"),
    "event": (), "log": (),
}
# What a conversation's event need not name because it is nothing.
TOKEN_CLASSES = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
                 "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_tokens")


def unescape(text):
    found = b""
    at = 0
    while at < len(text):
        char = text[at]
        if char != "\\":
            found += char.encode()
            at += 1
        elif text[at + 1] == "x":
            found += bytes([int(text[at + 2:at + 4], 16)])
            at += 4
        else:
            found += ESCAPES[text[at + 1]]
            at += 2
    return found


class Case:
    def __init__(self, path):
        self.path = path
        self.is_conversation = CONVERSATIONS in path.parents
        self.name = f"{path.parent.name}/{path.stem}" if self.is_conversation else path.stem
        self.model = re.sub(r"[^a-z0-9]+", "-", self.name)  # {model}: a name of its own, so that no case disturbs another
        self.parts = {}
        self.options = {}
        section = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("== "):
                section, *options = line[3:].split()
                assert section in SECTIONS, f"{path.name}:{number}: no such section: {section}"
                assert section not in self.parts, f"{path.name}:{number}: {section} stands there twice"
                assert set(options) <= set(SECTIONS[section]), f"{path.name}:{number}: no such option: {options}"
                self.parts[section] = []
                self.options[section] = options
            elif section and line and not line.startswith("#"):
                self.parts[section].append(line)
        assert "client" in self.parts and "client-gets" in self.parts, f"{path.name}: client and client-gets are needed"

    def has(self, section, option=None):
        return section in self.parts and (option is None or option in self.options[section])

    @property
    def then(self):
        """What the provider does after its bytes."""
        return next((o for o in self.options.get("provider-sends", ()) if o != "chunked"), "close")

    def data(self, section):
        return b"".join(unescape(line) for line in self.parts[section])

    def fields(self, section):
        return dict(line.split(" = ", 1) for line in self.parts.get(section, []))

    def wanted_event(self):
        """Of a conversation every class of tokens is compared: what is not named is zero."""
        wanted = self.fields("event")
        if self.is_conversation:
            wanted = {**dict.fromkeys(TOKEN_CLASSES, "0"), "raw_usage": "", "model": "{model}", **wanted}
        return {name: unescape(value).decode().replace("{model}", self.model) for name, value in wanted.items()}

    # ---- the configuration of a conversation

    def provider_settings(self):
        """Lines of its own go before those of its directory."""
        own = self.parts.get("provider", [])
        names = {line.partition("=")[0].strip() for line in own}
        common = (self.path.parent / "provider.conf").read_text().splitlines()
        return own + [line for line in common if line and line[0] not in ";#" and line.partition("=")[0].strip() not in names]

    def configuration(self, url, provider=None, model=None, more=()):
        """Its provider and its model: sections of gateway.conf."""
        provider, model = provider or self.model, model or self.model
        settings = [line.replace("{url}", url) for line in [*self.provider_settings(), *more]]
        lines = [f'[provider "{provider}"]', *settings, f'[model "{model}"]', f"target = {provider}", *self.parts.get("model", [])]
        return "".join(f"{line}\n" for line in lines)

    # ---- bytes

    def fill(self, data, words):
        """{name} of words; and {length}: that of what follows the empty line."""
        for name, value in words.items():
            data = data.replace(b"{%s}" % name.encode(), value)
        return data.replace(b"{length}", str(len(data.partition(b"\r\n\r\n")[2])).encode())

    def client_bytes(self, words):
        return self.fill(self.data("client"), words)

    def provider_bytes(self, words):
        """With option chunked each event, or all of another body, is a chunk of its own."""
        head, body = split(self.fill(self.data("provider-sends"), words))
        return head + (frame_chunks(sse_pieces(body)) if self.has("provider-sends", "chunked") else body)

    def provider_body(self, words):
        return split(self.fill(self.data("provider-sends"), words))[1]


def split(data):
    head, mark, body = data.partition(b"\r\n\r\n")
    return head + mark, body


def sse_pieces(body):
    """Events, each with the blank line that ends it; what stands behind the last one."""
    return [piece for piece in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", body) if piece]


def frame_chunks(pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def join_chunks(body):
    """(the bytes, whether the last chunk came). What is not framed so is an error."""
    found = b""
    while body:
        line, mark, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not mark:
            break
        if size == 0:
            assert body == b"\r\n", f"behind the last chunk: {body!r}"
            return found, True
        assert len(body) >= size + 2 and body[size:size + 2] == b"\r\n", f"a chunk that is no chunk: {body[:80]!r}"
        found, body = found + body[:size], body[size + 2:]
    return found, False


# ---- comparison

def pattern(data):
    """{*} stands for anything on that line, all else for itself."""
    return re.compile(b"[^\r\n]*?".join(re.escape(part) for part in data.split(b"{*}")) + b"\\Z", re.DOTALL)


def compare(what, wanted, got):
    if not pattern(wanted).match(got):
        at = next((i for i, (a, b) in enumerate(zip(wanted, got)) if a != b), min(len(wanted), len(got)))
        raise AssertionError(f"{what}:\n  wanted {wanted!r}\n  got    {got!r}\n  first other byte (of a text without {{*}}): {at}: "
                             f"{wanted[max(at - 20, 0):at + 40]!r} / {got[max(at - 20, 0):at + 40]!r}")


def head_fields(head):
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}


# What the gateway may add to any answer; and the frame of its body, which is checked by reading it.
OWN_FIELDS = {b"date", b"x-request-id", b"connection", b"content-length", b"transfer-encoding", b"server-timing"}


def compare_fields(what, wanted, got, may_have):
    """The first line, and each wanted field; others only where may_have(name)."""
    wanted_line, wanted_fields = head_fields(wanted)
    got_line, got_fields = head_fields(got)
    compare(what, wanted_line, got_line)
    for name, value in wanted_fields.items():
        assert name in got_fields, f"{what}: no {name.decode()} in {got!r}"
        compare(f"{what}: {name.decode()}", value, got_fields[name])
    for name in got_fields:
        assert name in wanted_fields or may_have(name), f"{what}: {name.decode()} is not expected"


def compare_answer(case, wanted, got):
    if not case.options["client-gets"]:
        compare("client-gets", wanted, got)
        return
    wanted_head, wanted_body = split(wanted)
    head, body = split(got)
    compare_fields("client-gets", wanted_head, head, lambda name: name in OWN_FIELDS or name.startswith(b"x-scribe-"))
    fields = head_fields(head)[1]
    if case.has("client-gets", "answer"):
        assert fields[b"content-length"] == b"%d" % len(body), f"content-length {fields[b'content-length']} of {len(body)}"
    else:
        body, is_whole = join_chunks(body)
        assert is_whole == case.has("client-gets", "stream"), f"the chunked body is{'' if is_whole else ' not'} whole"
    compare("client-gets", wanted_body, body)


def compare_request(case, wanted, head, body):
    if not case.has("provider-gets", "fields"):
        compare("provider-gets", wanted, head + body)
        return
    wanted_head, wanted_body = split(wanted)
    compare_fields("provider-gets", wanted_head, head, lambda name: True)
    compare("provider-gets", wanted_body, body)
