"""Faults made of a conversation: its provider's bytes cut, torn, stalled, and changed, each in one place.

A Fault is the bytes that the provider sends and what it does then. It knows nothing of what must come of it: the campaign reads
that from the bytes themselves (dialects.py).
"""

import json

from case import frame_chunks, split, sse_pieces

DEAD = {"chat": b'data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}\n\n',
        "messages": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Internal server error"}}\n\n',
        "responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"The server had an error","param":null,'
                     b'"sequence_number":99}\n\n'}
GARBAGE = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choi\n\n'


class Fault:
    def __init__(self, case, name, data, end="fin", torn_at=None):
        self.case = case
        self.name = f"{case.name}#{name}"
        self.data = data
        self.end = end  # "fin", "rst" or "stall"
        self.torn_at = torn_at  # sent in two parts, a moment apart


def event_json(piece):
    """The object of an event, or None."""
    lines = [line[5:] for line in piece.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
    try:
        found = json.loads(b"\n".join(lines))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def event_with(piece, value):
    """The same event with another object."""
    name = next((line for line in piece.split(b"\n") if line.startswith(b"event:")), None)
    return (name + b"\n" if name else b"") + b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def is_terminal(piece):
    value = event_json(piece)
    if value is None:
        return piece.replace(b" ", b"").strip() == b"data:[DONE]"
    return value.get("type") in ("message_stop", "response.completed", "response.incomplete", "response.failed")


def usage_places(value):
    """The objects that have a member usage."""
    places = [value, value.get("x_groq"), value.get("message"), value.get("response"), *(value.get("choices") or [])]
    return [place for place in places if isinstance(place, dict) and place.get("usage")]


def without_usage(piece):
    """The event without its figures; nothing when it was there for them alone."""
    value = event_json(piece)
    if value is None or not usage_places(value):
        return piece
    for place in usage_places(value):
        del place["usage"]
    return b"" if value.get("choices") == [] else event_with(piece, value)


def without_finish(piece):
    value = event_json(piece)
    if value is None:
        return piece
    for choice in value.get("choices") or []:
        choice["finish_reason"] = None
    if value.get("type") == "message_delta" and value.get("delta"):
        value["delta"]["stop_reason"] = None
    return event_with(piece, value)


# ---- bytes

def places_in_event(piece):
    """Where it hurts: inside field name and blank, the JSON's begin, middle and end, a character of several bytes, the line
    ends."""
    at = piece.find(b"data:")
    content_end = len(piece.rstrip(b"\r\n"))
    places = {1, len(piece) - 1, content_end}
    if at >= 0:
        places |= {at + 3, at + 5, at + 6, at + 7, (at + content_end) // 2, content_end - 1}
    wide = next((i for i, byte in enumerate(piece) if byte >= 0xC0), None)
    if wide is not None:
        places.add(wide + 1)
    if piece.endswith(b"\r\n\r\n"):
        places |= {len(piece) - 3, len(piece) - 2}
    return sorted(place for place in places if 0 < place < len(piece))


def places_in_stream(head, pieces, is_chunked):
    """(name, offset in the bytes as sent), from the head to the last byte."""
    found = [("head-%d" % at, at) for at in (5, len(head) // 2, len(head) - 2, len(head))]
    at = len(head)
    for number, piece in enumerate(pieces):
        if is_chunked:
            line = len(b"%x\r\n" % len(piece))
            found += [(f"event-{number}-frame-{i}", at + i) for i in (1, line - 1, line)]
            at += line
        found += [(f"event-{number}-byte-{i}", at + i) for i in places_in_event(piece)]
        at += len(piece)
        found.append((f"event-{number}-end", at))
        if is_chunked:
            found += [(f"event-{number}-end-frame-{i}", at + i) for i in (1, 2)]
            at += 2
    if is_chunked:
        found += [(f"last-chunk-{i}", at + i) for i in (1, 3, 4)]
    return found


def with_length(head, length):
    lines = [line for line in head.removesuffix(b"\r\n\r\n").split(b"\r\n")
             if not line.lower().startswith((b"transfer-encoding:", b"content-length:"))]
    return b"\r\n".join([*lines, *([b"Content-Length: %d" % length] if length is not None else [])]) + b"\r\n\r\n"


def cuts(case, data, places):
    """At every place an end; a reset and a tear by turns."""
    for number, (name, at) in enumerate(place for place in places if place[1] < len(data)):
        yield Fault(case, f"cut-{name}", data[:at])
        if number % 2:
            yield Fault(case, f"reset-{name}", data[:at], "rst")
        else:
            yield Fault(case, f"torn-{name}", data, torn_at=at)


def lengths(case, head, body):
    """The same body under other frames; and lengths that lie."""
    yield Fault(case, "length", with_length(head, len(body)) + body)
    yield Fault(case, "length-long", with_length(head, len(body) + 10) + body)
    yield Fault(case, "length-short", with_length(head, len(body) - 7) + body)
    yield Fault(case, "until-close", with_length(head, None) + body)
    yield Fault(case, "until-reset", with_length(head, None) + body, "rst")


# ---- conversations

def is_answer(head):
    return head.startswith(b"HTTP/1.1 2")


def stream_faults(case, head, body, wire):
    is_chunked = case.has("provider-sends", "chunked")
    pieces = sse_pieces(body)
    n = len(pieces)
    dead = DEAD.get(wire, DEAD["chat"])

    def sent(parts):
        parts = [part for part in parts if part]
        framed = frame_chunks(parts) if is_chunked else b"".join(parts)
        return (with_length(head, len(framed)) if b"\r\ncontent-length:" in head.lower() else head) + framed

    whole = sent(pieces)
    yield Fault(case, "untouched", whole)
    yield Fault(case, "reset-at-end", whole, "rst")
    yield from cuts(case, whole, places_in_stream(head, pieces, is_chunked))
    for k in range(n + 1):
        yield Fault(case, f"error-before-{k}", sent([*pieces[:k], dead, *pieces[k:]]))
        yield Fault(case, f"garbage-before-{k}", sent([*pieces[:k], GARBAGE, *pieces[k:]]))
        yield Fault(case, f"comment-before-{k}", sent([*pieces[:k], b": keep-alive\n\n", *pieces[k:]]))
    for k in range(n):
        yield Fault(case, f"without-{k}-the-rest", sent(pieces[:k]))
        value = event_json(pieces[k]) or {}
        if usage_places(value):
            if value.get("type") != "message_start":  # two of which are no message
                yield Fault(case, f"usage-twice-{k}", sent([*pieces[:k + 1], *pieces[k:]]))
            yield Fault(case, f"usage-removed-{k}", sent([*pieces[:k], without_usage(pieces[k]), *pieces[k + 1:]]))
    if any(without_usage(piece) != piece for piece in pieces):
        yield Fault(case, "usage-removed", sent([without_usage(piece) for piece in pieces]))
    yield Fault(case, "finish-removed", sent([without_finish(piece) for piece in pieces]))
    yield Fault(case, "terminal-removed", sent([piece for piece in pieces if not is_terminal(piece)]))
    yield Fault(case, "terminal-twice", sent([*pieces, *[piece for piece in pieces if is_terminal(piece)]]))
    yield Fault(case, "again-after-the-end", sent([*pieces, *pieces]))
    yield Fault(case, "error-after-the-end", sent([*pieces, dead]))
    yield from lengths(case, head, body)
    ends = dict(places_in_stream(head, pieces, is_chunked))
    for k in sorted({n // 2, n - 2}):
        if any(event_json(piece) for piece in pieces[:k + 1]):  # else the first byte is what is waited for, which takes longer
            yield Fault(case, f"stall-after-{k}", whole[:ends[f"event-{k}-end"]], "stall")


def answer_faults(case, head, body):
    is_chunked = case.has("provider-sends", "chunked")
    whole = head + (frame_chunks([body]) if is_chunked else body)
    n_parts = 24 if is_answer(head) else 4  # of a refusal the status says nearly all
    places = [(str(at), at) for at in sorted({5, len(head) // 2, len(head) - 2, len(head), len(head) + 1, len(whole) - 1, len(whole) - 2,
                                              *(len(head) + len(body) * part // n_parts for part in range(1, n_parts))})]
    yield Fault(case, "untouched", whole)
    yield Fault(case, "reset-at-end", whole, "rst")
    yield from cuts(case, whole, [place for place in places if 0 < place[1] < len(whole)])
    yield from lengths(case, head, body)
    yield Fault(case, "rest-behind", with_length(head, len(body)) + body + b'{"more":true}')
    yield Fault(case, "blank-before", with_length(head, len(body) + 4) + b"\r\n\n " + body)
    value = json.loads(body) if body.strip()[:1] == b"{" else {}
    if value.get("usage"):
        del value["usage"]
        bare = json.dumps(value, ensure_ascii=False).encode()
        yield Fault(case, "usage-removed", with_length(head, len(bare)) + bare)
    yield Fault(case, "stall", whole[:len(head) + len(body) // 2], "stall")


def faults_of(case, wire, words):
    head, body = split(case.fill(case.data("provider-sends"), words))
    if b"text/event-stream" in head:
        yield from stream_faults(case, head, body, "chat" if wire == "completion" else wire)
    else:
        yield from answer_faults(case, head, body)
