"""What answers say, read from their bytes alone: the fault campaign's oracle. It shares no code and no data with the gateway.

A Reading is what one side of the gateway has said up to some byte: text, reasoning and arguments, whether it came to its proper
end, the figures it gave. read_answer() reads bytes as a provider sends them or as a client gets them.
"""

import json
import re

JUDGED = ("chat", "completion", "messages", "responses", "media")
MEDIA_ENDS = ("image_generation.completed", "image_edit.completed", "speech.audio.done", "transcript.text.done")


def number(value):
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def figures_of(wire, usage):
    """The classes of tokens that a usage object means, as far as the record has them; None when it gives no figure."""
    def at(*path):
        found = usage
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return number(found)
    if not isinstance(usage, dict):
        return None
    if wire == "messages":
        if at("input_tokens") is None and at("output_tokens") is None:
            return None
        read, written = at("cache_read_input_tokens") or 0, at("cache_creation_input_tokens") or 0
        return {"input_tokens": (at("input_tokens") or 0) + read + written, "output_tokens": at("output_tokens") or 0,
                "cached_tokens": read, "cache_write_tokens": written,
                "cache_write_1h_tokens": min(at("cache_creation", "ephemeral_1h_input_tokens") or 0, written),
                "reasoning_tokens": at("output_tokens_details", "thinking_tokens") or 0}
    into, out = ("input", "output") if wire in ("responses", "media") else ("prompt", "completion")
    details = f"{into}_tokens_details" if f"{into}_tokens_details" in usage else f"{into}_token_details"  # of transcriptions
    if at(f"{into}_tokens") is None and at(f"{out}_tokens") is None:
        return None
    return {"input_tokens": at(f"{into}_tokens") or 0, "output_tokens": at(f"{out}_tokens") or 0,
            "cached_tokens": at(details, "cached_tokens") or at("cached_tokens") or at("prompt_cache_hit_tokens") or 0,
            "cache_write_tokens": at(details, "cache_write_tokens") or 0,
            "reasoning_tokens": at(f"{out}_tokens_details", "reasoning_tokens") or 0,
            "audio_input_tokens": at(details, "audio_tokens") or 0, "image_tokens": at(details, "image_tokens") or 0,
            "audio_output_tokens": at(f"{out}_tokens_details", "audio_tokens") or 0}


class Reading:
    def __init__(self, wire):
        self.wire = wire
        self.status = None
        self.head_is_whole = self.body_is_whole = self.is_stream = False
        self.said = {"text": "", "reasoning": "", "arguments": ""}
        self.has_finish = self.is_done = self.is_failed = False
        self.error = None  # the object of an error
        self.raw_usage = {}  # of Messages: the last word on each figure
        self.usages = [None]  # the figures in force, from event to event
        self.is_open = False  # what is at the end may be an event or not, by how one reads the standard

    # ---- what all dialects share

    def say(self, channel, text):
        if isinstance(text, str):
            self.said[channel] += text

    def note_usage(self, usage):
        figures = figures_of(self.wire, usage)
        if figures:
            self.usages.append(figures)

    @property
    def usage(self):
        return self.usages[-1]

    @property
    def missing(self):
        """The figure that was not given beside another one: a stream of Messages gives them in two places."""
        if self.wire != "messages" or not self.is_stream or not self.usage:
            return None
        return next((name for name in ("input_tokens", "output_tokens") if name not in self.raw_usage), None)

    def fail(self, error=None):
        self.is_failed = True
        self.error = error

    @property
    def is_text(self):
        """Tokens of images and sounds cannot be guessed from bytes."""
        return self.wire != "media"

    @property
    def is_success(self):
        """Its proper end was seen: of a stream the terminal event, of another answer all of it."""
        if self.status is None or not 200 <= self.status < 300 or self.is_failed:
            return False
        if self.is_stream and self.wire in JUDGED:
            return self.is_done
        return self.body_is_whole

    # ---- streams

    def event(self, name, data):
        """True while the stream goes on."""
        data = data.strip(b" \t\r\n") if data != b"[DONE]" else data
        if not data:
            return True
        if self.wire in ("chat", "completion") and data == b"[DONE]":
            self.is_done = self.has_finish
            self.is_failed = not self.has_finish
            return False
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.fail()
        else:
            getattr(self, f"_{'chat' if self.wire == 'completion' else self.wire}_event")(name, value)
        return not self.is_done and not self.is_failed

    def _chat_event(self, name, value):
        choices = value.get("choices")
        if value.get("error") or (name == b"error" and choices is None):
            self.fail(value.get("error"))
            return
        groq = value.get("x_groq")
        self.note_usage(groq.get("usage") if isinstance(groq, dict) else None)
        for choice in choices or []:
            self.has_finish |= isinstance(choice.get("finish_reason"), str)
            self.say("text", choice.get("text"))
            self._chat_message(choice.get("delta") or {})
            self.note_usage(choice.get("usage"))
        self.note_usage(value.get("usage"))

    def _chat_message(self, message):
        self.say("text", message.get("content"))
        self.say("text", message.get("refusal"))
        self.say("reasoning", message.get("reasoning_content"))
        for call in [*(message.get("tool_calls") or []), {"function": message.get("function_call")}]:
            self.say("arguments", (call.get("function") or {}).get("arguments"))

    def _messages_event(self, name, value):
        kind = value.get("type")
        if kind == "error":
            self.fail(value.get("error"))
        elif kind == "message_start":
            # the output beside it is a placeholder
            usage = (value.get("message") or {}).get("usage")
            self._messages_usage({k: v for k, v in usage.items() if k != "output_tokens"} if isinstance(usage, dict) else None)
        elif kind == "content_block_delta":
            delta = value.get("delta") or {}
            self.say("text", delta.get("text"))
            self.say("reasoning", delta.get("thinking"))
            self.say("arguments", delta.get("partial_json"))
        elif kind == "message_delta":
            self.has_finish |= isinstance((value.get("delta") or {}).get("stop_reason"), str)
            self._messages_usage(value.get("usage"))
        elif kind == "message_stop":
            self.is_done = self.has_finish
            self.is_failed = not self.has_finish

    def _messages_usage(self, usage):
        """Figures are totals: one that comes later takes the place of the one before."""
        if isinstance(usage, dict):
            self.raw_usage.update({k: v for k, v in usage.items() if v is not None})
            self.note_usage(self.raw_usage)

    def _responses_event(self, name, value):
        kind = value.get("type")
        response = value.get("response") or {}
        if kind in ("response.completed", "response.incomplete"):
            self.note_usage(response.get("usage"))
            self.has_finish = self.is_done = True
        elif kind in ("response.failed", "error"):
            self.note_usage(response.get("usage"))
            self.fail(response.get("error") or value.get("error") or value)
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            self.say("text", value.get("delta"))
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            self.say("reasoning", value.get("delta"))
        elif kind == "response.function_call_arguments.delta":
            self.say("arguments", value.get("delta"))

    def _media_event(self, name, value):
        if value.get("error") or value.get("type") == "error":
            self.fail(value.get("error") or value)
            return
        self.say("text", value.get("delta"))
        self.note_usage(value.get("usage"))
        self.has_finish = self.is_done = value.get("type") in MEDIA_ENDS

    # ---- whole answers

    def answer(self, body):
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.fail()
            return
        if (value.get("error") and not value.get("choices") and not value.get("data")) or value.get("type") == "error" \
                or value.get("object") == "error":
            self.fail(value.get("error") or value)
            return
        if self.wire == "media":
            self.say("text", value.get("text"))
        for choice in value.get("choices") or []:
            self.say("text", choice.get("text"))
            self._chat_message(choice.get("message") or {})
        if self.wire == "messages":
            for block in value.get("content") or []:
                self.say("text", block.get("text"))
                self.say("reasoning", block.get("thinking"))
                if "input" in block:  # of the tool that stands for JSON mode it is the answer
                    self.say("text" if block.get("name") == "json_answer" else "arguments", json.dumps(block["input"]))
        if self.wire == "responses":
            for item in value.get("output") or []:
                for part in item.get("content") or []:
                    self.say("text", part.get("text"))
                    self.say("text", part.get("refusal"))
                self.say("arguments", item.get("arguments"))
        self.note_usage(value if self.wire == "count_tokens" else value.get("usage"))


def is_same(a, b):
    """The same text, or the same JSON."""
    try:
        return a == b or json.loads(a) == json.loads(b)
    except ValueError:
        return False


# ---- HTTP and SSE

def read_chunks(data):
    """(bytes of the whole chunks and of the begun one, whether the last one came)"""
    found, at = b"", 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return found, False
        size = int(data[at:end].split(b";")[0], 16)
        if size == 0:
            return found, data[end + 2:end + 4] == b"\r\n"
        found += data[end + 2:end + 2 + size]
        at = end + 2 + size
        if data[at:at + 2] != b"\r\n":
            return found, False
        at += 2


LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
EVENT_END = re.compile(LINE_END + LINE_END)


def sse_events(body):
    """[(name, data or None)] of each event. A byte order mark is one at the very begin only; elsewhere its event is "mark"."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    found, at = [], 0
    while True:
        if body[at:at + 1] in (b"\n", b"\r"):  # blank lines alone
            at += 1
            continue
        end = EVENT_END.search(body, at)
        if not end:
            return found
        if body[at:].startswith(b"\xef\xbb\xbf"):
            found.append((b"mark", b"no JSON"))
            return found
        name, data = b"", []
        for line in re.split(rb"\r\n|\n|\r", body[at:end.start()]):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
        found.append((name, b"\n".join(data) if data else None))
        at = end.end()


def read_answer(wire, data, is_closed_in_order=True):
    """wire: of JUDGED, or another word for answers that are whole or nothing."""
    reading = Reading(wire)
    head, mark, body = data.partition(b"\r\n\r\n")
    reading.head_is_whole = bool(mark)
    if not mark:
        return reading
    lines = head.split(b"\r\n")
    reading.status = int(lines[0].split(b" ")[1])
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if fields.get(b"transfer-encoding") == b"chunked":
        body, reading.body_is_whole = read_chunks(body)
    elif b"content-length" in fields:
        length = int(fields[b"content-length"])
        reading.body_is_whole, body = len(body) >= length, body[:length]
    else:
        reading.body_is_whole = is_closed_in_order
    reading.is_stream = fields.get(b"content-type", b"").startswith(b"text/event-stream")
    if not reading.is_stream:
        if reading.body_is_whole:
            reading.answer(body)
        return reading
    # A CR at the very end may be half of a CRLF: who waits for the other half is right, and who does not is, too.
    reading.is_open = body.endswith(b"\r\n\r")
    for name, content in sse_events(body):
        if content is not None and not reading.event(name, content):
            break
    return reading
