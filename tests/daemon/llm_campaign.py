"""Clients and providers that do what the dice say, all at once: see test_38_llm_edges.

Each request has a mark, and a true answer is made of its mark and of how many of them there are: "<mark><mark>#2". What
an answer says is so seen to be whole, of one attempt, and of this request.
"""

import json
import random
import re
import ssl
import threading
import time

import h2.exceptions

from fake import Exchange, Fake, chat_json, error_json, frame, stream_frames
from gateway import SLOWNESS, bearer
from providers import event, message_frames, message_json
from test_25_http2 import Client
from wire import Closed, request_bytes, sse_data

MARK = re.compile(rb"m[0-9a-f]{14}e")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses", "pass": "/v1/files",
         "form": "/v1/audio/transcriptions", "images": "/v1/images/generations"}
REFUSED_AT_ONCE = {401, 402, 407, 429, 503, 529}
PLANS = 12 * ["well"] + 3 * ["refuse", "cut"] + 2 * ["early", "stall", "in-band", "garbage", "mute", "other"] + ["comments", "huge", "flip", "reset"]


def words_of(mark, n):
    return [mark] * n + [f"#{n}"]


class Provider(Fake):
    """Of one dialect; the campaign says what it does, by the request's own dice."""

    def __init__(self, name, dialect, secrets):
        self.name, self.dialect, self.secrets = name, dialect, secrets
        self.campaign = None
        super().__init__()
        self.default = self.serve

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def serve(self, x):
        self.campaign.serve(self, x)

    def _one(self, connection, number):
        """An answer may come before the request."""
        head, rest = self._read_head(connection)
        if head is None:
            return False
        found = re.search(r"(?i)x-early: (\S+)", head.decode("latin-1"))
        if found and random.Random(found[1] + self.name).random() < 0.7:
            x = Exchange(connection, number, head, b"")
            self.campaign.early(self, x)
            return False
        return self._answer(Exchange(connection, number, head, self._read_body(connection, head, rest)))

    def _answer(self, x):
        from fake import Gone
        try:
            self.serve(x)
        except (Gone, ConnectionError):
            return False
        except AssertionError as error:
            self.campaign.wrong.append(f"provider {self.name}: {error}")
            return False
        return x.keep_alive and self.is_open


class Campaign:
    def __init__(self, gateway, providers, models, seed, seconds):
        self.gateway, self.providers, self.models, self.seed = gateway, providers, models, seed
        self.end = time.monotonic() + seconds
        self.wrong, self.counts, self.lock = [], {}, threading.Lock()
        self.attempts = {}  # of each mark: what was done with it
        self.answered = {}  # of each request id: what the client saw
        self.n_of_text = {}  # of each request id that was answered whole: the provider's count of tokens
        for p in providers:
            p.campaign = self

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    # ---- providers

    def attempt(self, p, x, mark, did):
        with self.lock:
            before = self.attempts.setdefault(mark, [])
            if x.header("x-op") == "pass" and any(d not in REFUSED_AT_ONCE for d in before):
                self.wrong.append(f"what is passed on came twice to {p.name}: {mark}: {before}, then {did}")
            before.append(did)
            return len(before)

    def check_request(self, p, x, mark):
        assert x.header("x-scribe-model") is None and x.header("cookie") is None
        shown = x.header("x-api-key") if p.dialect == "anthropic" else (x.header("authorization") or "").removeprefix("Bearer ")
        assert shown in p.secrets, f"{shown} of {p.name}"
        if p.dialect != "anthropic":
            assert not any(k.startswith("anthropic-") for k, _ in x.headers), x.headers
        else:
            assert [k for k, _ in x.headers].count("anthropic-version") == 1
        assert set(MARK.findall(x.body)) <= {mark.encode()}, "the request of another"

    def early(self, p, x):
        mark = x.header("x-mark")
        self.attempt(p, x, mark, "early")
        if random.Random(mark + p.name).random() < 0.5:
            x.answer(error_json("too much at once", "server_error"), 500, [("Connection", "close")])
        else:
            x.answer(error_json("slow down", "rate_limit_error"), 429, [("Connection", "close"), ("Retry-After", "1")])

    def serve(self, p, x):
        mark = x.header("x-mark")
        self.check_request(p, x, mark)
        dice = random.Random(f"{mark}-{p.name}-{len(self.attempts.get(mark, ()))}")
        plan = dice.choice(PLANS)
        if plan == "refuse":
            self.refuse(p, x, mark, dice)
            return
        self.attempt(p, x, mark, plan)
        getattr(self, "plan_" + plan.replace("-", "_"))(p, x, mark, dice)

    def refuse(self, p, x, mark, dice):
        status = dice.choice([400, 401, 402, 403, 404, 407, 408, 413, 422, 429, 429, 500, 502, 503, 504, 529, 301, 418])
        self.attempt(p, x, mark, status)
        secret = dice.choice(p.secrets)
        text = dice.choice(["no", f"Incorrect API key provided: {secret}", "x" * dice.randint(0, 600) + secret,
                            "This model's maximum context length is 8192 tokens"])
        if status == 301:
            text = "elsewhere"  # of what is passed on it is passed on, too
        code = "context_length_exceeded" if "context" in text else dice.choice([None, "insufficient_quota"])
        body = dice.choice([error_json(text, "invalid_request_error", code), {"type": "error", "error": {"type": "overloaded_error", "message": text}},
                            f"<html>{text}</html>", "", {"detail": text}])
        headers = [("Retry-After", dice.choice(["0", "1", "-1", "soon", "99999999999999999999"]))] if dice.random() < 0.5 else []
        x.answer(body, status, headers)

    def n_of(self, dice):
        return dice.choice([1, 2, 5, 30, 200])

    def frames(self, p, x, mark, n):
        words = words_of(mark, n)
        if p.dialect == "anthropic":
            return message_frames(words, usage={"input_tokens": 5, "output_tokens": n})
        if x.target.split("?")[0].endswith("/responses"):
            return self.responses_frames(mark, n)
        return stream_frames(words, usage={"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n})

    @staticmethod
    def responses_json(mark, n, status="completed"):
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "".join(words_of(mark, n)), "annotations": []}]}
        return {"id": "resp_1", "object": "response", "status": status, "model": "r", "output": [item],
                "usage": {"input_tokens": 5, "output_tokens": n, "total_tokens": 5 + n}}

    def responses_frames(self, mark, n):
        found = [event("response.created", sequence_number=0, response={"id": "resp_1", "object": "response", "status": "in_progress", "output": []})]
        found += [event("response.output_text.delta", sequence_number=1, item_id="msg_1", output_index=0, content_index=0, delta=w) for w in words_of(mark, n)]
        return found + [event("response.completed", sequence_number=2, response=self.responses_json(mark, n))]

    def whole(self, p, x, mark, n):
        if p.dialect == "anthropic":
            return message_json([{"type": "text", "text": "".join(words_of(mark, n))}], usage={"input_tokens": 5, "output_tokens": n})
        if x.target.split("?")[0].endswith("/responses"):
            return self.responses_json(mark, n)
        if x.header("x-op") == "chat" or x.target.endswith("/chat/completions"):
            return chat_json("".join(words_of(mark, n)), usage={"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n})
        if x.target.endswith("/images/generations"):
            return {"created": 1, "data": [{"b64_json": "".join(words_of(mark, n))}]}
        return {"text": "".join(words_of(mark, n))}

    def is_stream(self, x):
        return x.is_stream and x.header("x-op") in ("chat", "messages", "responses")

    def bytes_of(self, p, x, mark, dice, n=None, is_stream=None):
        """A whole answer as it goes over the wire, framed by the dice."""
        n = n or self.n_of(dice)
        if self.is_stream(x) if is_stream is None else is_stream:
            pieces, kind = [f.encode() for f in self.frames(p, x, mark, n)], "text/event-stream"
            if dice.random() < 0.3:
                pieces.insert(dice.randrange(len(pieces)), b": still here\n\n")
        else:
            pieces, kind = [json.dumps(self.whole(p, x, mark, n)).encode()], "application/json"
        before = dice.choice([b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"])
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n" % kind.encode()
        how = dice.choice(["chunks", "chunks", "length", "close"])
        if how == "chunks":
            trailers = dice.choice([b"", b"", b"X-Trailing: yes\r\n"])
            body = b"".join(b"%x\r\n" % len(c) + c + b"\r\n" for c in pieces if c) + b"0\r\n" + trailers + b"\r\n"
            return before + head + b"Transfer-Encoding: chunked\r\n\r\n" + body
        body = b"".join(pieces)
        if how == "close":
            x.close()
            return before + head + b"Connection: close\r\n\r\n" + body
        return before + head + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def dribble(self, x, data, dice):
        if dice.random() < 0.5:
            x.send(data)
            return
        while data:
            n = dice.choice([1, 7, 100, 1000, 20000])
            x.send(data[:n])
            data = data[n:]
            if data and dice.random() < 0.1:
                x.pause(dice.random() * 0.03)

    def plan_well(self, p, x, mark, dice):
        self.dribble(x, self.bytes_of(p, x, mark, dice), dice)

    def plan_early(self, p, x, mark, dice):
        self.plan_well(p, x, mark, dice)

    def plan_other(self, p, x, mark, dice):
        """A stream where none was asked for, and the other way round."""
        self.dribble(x, self.bytes_of(p, x, mark, dice, is_stream=x.header("x-op") in ("chat", "messages") and not self.is_stream(x)), dice)

    def cut(self, p, x, mark, dice):
        data = self.bytes_of(p, x, mark, dice)
        if b"Connection: close" in data and b"event-stream" not in data:
            return data  # nobody could tell that it is cut, but by its JSON
        at = dice.randrange(len(data) - 1) if data else 0
        return data[:at]

    def plan_cut(self, p, x, mark, dice):
        self.dribble(x, self.cut(p, x, mark, dice), dice)
        if dice.random() < 0.3:
            x.reset()
        x.close()

    def plan_stall(self, p, x, mark, dice):
        self.dribble(x, self.cut(p, x, mark, dice), dice)
        x.pause(1.5 * SLOWNESS if dice.random() < 0.3 else 0.3)
        x.close()

    def plan_flip(self, p, x, mark, dice):
        data = bytearray(self.bytes_of(p, x, mark, dice))
        at = data.index(b"\r\n\r\n") + 4 + dice.randrange(40)
        data[at % len(data)] = dice.choice(b"{}\"\\\n\r\x00,:x")
        self.flipped(mark)
        x.send(bytes(data))
        x.close()

    def flipped(self, mark):
        with self.lock:
            self.attempts[mark].append("flipped")

    def plan_in_band(self, p, x, mark, dice):
        secret = dice.choice(p.secrets)
        kind = dice.choice(["overloaded_error", "invalid_request_error", "rate_limit_error", "server_error"])
        error = {"type": "error", "error": {"type": kind, "message": f"no: {secret}", "code": dice.choice([None, 429, 503, "x"])}}
        if x.header("x-op") == "pass":
            error = {"id": mark}  # a 200 that is passed on as it comes: what is in it is the provider's
        if not self.is_stream(x):
            x.answer(error)
            return
        x.start_stream()
        frames = self.frames(p, x, mark, 5)
        for f in frames[:dice.randrange(len(frames))]:
            x.chunk(f)
        x.chunk(event("error", **error) if dice.random() < 0.5 else frame(error))
        x.end_stream()

    def plan_garbage(self, p, x, mark, dice):
        self.flipped(mark)  # an empty object is passed on as the provider's word
        x.send(dice.choice([b"\x00\xff\x00", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{]}",
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n",
                            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {\"choices\": 7}\n\ndata: []\n\ndata: [DONE]\n\n",
                            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]))
        x.close()

    def plan_mute(self, p, x, mark, dice):
        x.pause(dice.random() * 0.3)
        x.close()

    def plan_reset(self, p, x, mark, dice):
        x.reset()

    def plan_comments(self, p, x, mark, dice):
        """Signs of life, then an answer or none."""
        if not self.is_stream(x):
            self.plan_well(p, x, mark, dice)
            return
        x.start_stream()
        for _ in range(dice.randint(1, 20)):
            x.chunk(": " + "c" * dice.choice([3, 3000]) + "\n\n")
            x.pause(dice.random() * 0.02)
        if dice.random() < 0.6:
            for f in self.frames(p, x, mark, self.n_of(dice)):
                x.chunk(f)
            x.end_stream()
        x.close()

    def plan_huge(self, p, x, mark, dice):
        if not self.is_stream(x):
            x.head(200, [("Content-Type", "application/json"), ("Content-Length", 3 << 20)])
            x.send(b"[" + b" " * (3 << 20))
            x.close()
            return
        x.start_stream()
        for f in self.frames(p, x, mark, 2)[:dice.randrange(3)]:
            x.chunk(f)
        for _ in range(9):
            x.chunk(b"data: " + b"x" * (1 << 20) if _ == 0 else b"x" * (1 << 20))
        x.close()

    # ---- clients

    def mark(self, dice):
        return "m" + "".join(dice.choice("0123456789abcdef") for _ in range(14)) + "e"

    def request(self, dice):
        """(path, headers, body, mark, op)"""
        mark, op = self.mark(dice), dice.choice(3 * ["chat", "messages", "responses"] + ["pass", "form", "images"])
        headers = {"X-Mark": mark, "X-Op": op, "Cookie": "a=b", "X-Scribe-Model": "x", "Content-Type": "application/json", **self.key}
        if dice.random() < 0.05:
            headers["X-Early"] = mark
        if dice.random() < 0.3:
            headers["anthropic-version"] = "2023-06-01"
            headers["anthropic-beta"] = "a,b"
        text = f"say {mark}" + "." * dice.choice([0, 0, 0, 1000, 60000])
        model = dice.choice(self.models)
        stream = {"stream": True} if dice.random() < 0.6 else {}
        messages = [{"role": "user", "content": text}]
        if op == "chat":
            if stream and dice.random() < 0.5:
                stream["stream_options"] = {"include_usage": True}
            body = {"model": model, "messages": messages, **stream}
            if dice.random() < 0.1:
                body["logprobs"] = True
        elif op == "messages":
            body = {"model": model, "messages": messages, "max_tokens": 100, **stream}
        elif op == "responses":
            body = {"model": model, "input": text, **stream, "store": False}
        elif op == "images":
            body = {"model": model, "prompt": text}
        elif op == "form":
            fields = f'--bound\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n--bound\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{text}\r\n--bound--\r\n'
            return PATHS[op], {**headers, "Content-Type": "multipart/form-data; boundary=bound"}, fields.encode(), mark, op
        else:
            body = {"purpose": text}
        return PATHS[op], headers, json.dumps(body).encode(), mark, op

    def run(self, kind, number):
        dice = random.Random(f"{self.seed}-{kind}-{number}")
        while time.monotonic() < self.end and not self.wrong:
            try:
                getattr(self, kind)(dice)
            except TimeoutError:
                self.wrong.append(f"{kind}-{number}: an answer did not come")
            except (Closed, ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
                self.count("broken off")
            except Exception as error:  # noqa: BLE001 - told at the end
                self.wrong.append(f"{kind}-{number}: {error!r}")

    def http1(self, dice):
        with self.gateway.connect(timeout=40 * SLOWNESS, receive_buffer=dice.choice([None, None, 4096])) as wire:
            for _ in range(dice.randint(1, 6)):
                asked = [self.request(dice) for _ in range(dice.choice([1, 1, 1, 2]))]
                wire.send(b"".join(request_bytes("POST", path, headers, body) for path, headers, body, _, _ in asked))
                if dice.random() < 0.08:
                    time.sleep(dice.random() * 0.1)
                    (wire.reset if dice.random() < 0.5 else wire.close)()
                    self.count("left before an answer")
                    return
                for *_, mark, op in asked:
                    if not self.one_http1(wire, dice, mark, op):
                        return

    def one_http1(self, wire, dice, mark, op):
        answer = wire.read_head()
        leaves = dice.random() < 0.1
        try:
            for _ in wire.each_piece(answer):
                if leaves and dice.random() < 0.5:
                    (wire.reset if dice.random() < 0.5 else wire.close)()
                    self.count("left")
                    return False
                if dice.random() < 0.02:
                    time.sleep(0.01)
        except (Closed, ConnectionError):
            pass
        self.check(answer.status, dict(answer.headers), bytes(answer.body), answer.is_whole, mark, op)
        return answer.is_whole and answer.header("connection") != "close"

    def http2(self, dice):
        with Client(self.gateway.port, timeout=40) as client:
            streams = {}
            for _ in range(dice.randint(1, 8)):
                path, headers, body, mark, op = self.request(dice)
                stream = client.request("POST", path, {k.lower(): v for k, v in headers.items()}, body)
                if dice.random() < 0.1 and not client.answers[stream].is_whole and client.answers[stream].reset is None:
                    client.h2.reset_stream(stream)
                    client.flush()
                    self.count("reset")
                else:
                    streams[stream] = (mark, op)
                if dice.random() < 0.03:
                    return
            for stream, (mark, op) in streams.items():
                a = client.wait(stream)
                if a.status is not None:
                    self.check(a.status, a.headers, bytes(a.body), a.is_whole, mark, op)

    def check(self, status, headers, body, is_whole, mark, op):
        found = set(MARK.findall(body))
        assert found <= {mark.encode()}, f"the answer of another request: {body[:300]!r} for {mark}"
        for p in self.providers:
            for secret in p.secrets:
                assert secret.encode() not in body and not any(secret in v for v in headers.values()), f"{op}: a credential: {body[:900]!r}"
                assert secret[:20].encode() not in body, f"{op}: half a credential: {body[:900]!r}"
        assert not any(k.startswith("x-early") for k in headers)
        is_stream = "event-stream" in headers.get("content-type", "")
        seen = self.seen(status, body, is_whole, is_stream, mark, op)
        self.count((op, status, seen))
        with self.lock:
            request_id = headers["x-request-id"]
            assert request_id not in self.answered
            self.answered[request_id] = (status, seen, op, body, mark)
            if seen == "whole":
                self.n_of_text[request_id] = int((re.findall(rb"#(\d+)", body) or [b"0"])[0])

    def seen(self, status, body, is_whole, is_stream, mark, op):
        """What a client makes of it: "whole", "error" or "broken"."""
        if status >= 400:
            if is_whole:
                assert isinstance(json.loads(body), dict), body
            return "error" if is_whole else "broken"
        assert status == 200 or (op in ("pass", "form") and status in (301, 204)), (op, status)
        if op in ("pass", "form"):
            return "whole" if is_whole else "broken"
        if not is_stream:
            if not is_whole:
                return "broken"
            if not self.is_flipped(mark):
                self.check_text(self.text_of(op, json.loads(body)), mark)
            return "whole"
        return self.seen_of_stream(body, is_whole, mark, op)

    def seen_of_stream(self, body, is_whole, mark, op):
        data = sse_data(body)
        events = [json.loads(d) for d in data if d != "[DONE]"]
        failed = any(e.get("error") or e.get("type") in ("error", "response.failed") for e in events)
        ends = {"chat": data[-1:] == ["[DONE]"], "messages": bool(events) and events[-1].get("type") == "message_stop",
                "responses": any(e.get("type") in ("response.completed", "response.incomplete") for e in events),
                "images": is_whole and not failed}[op]
        assert not (failed and ends), body[-600:]
        assert not (is_whole and not (failed or ends)), f"{op}: a whole stream without an end: {body[-600:]!r}"
        if not ends:
            return "error" if failed else "broken"
        if not self.is_flipped(mark):
            self.check_text("".join(self.delta_of(op, e) for e in events), mark)
        return "whole"

    @staticmethod
    def delta_of(op, e):
        if op in ("chat", "images"):
            return "".join(c["delta"].get("content") or "" for c in e.get("choices", []))
        if op == "messages":
            return (e.get("delta") or {}).get("text", "") if e.get("type") == "content_block_delta" else ""
        return e["delta"] if e.get("type") == "response.output_text.delta" else ""

    @staticmethod
    def text_of(op, answer):
        if op == "chat":
            return answer["choices"][0]["message"]["content"]
        if op == "messages":
            return "".join(b["text"] for b in answer["content"])
        if op == "images":
            return answer["data"][0]["b64_json"]
        return "".join(c["text"] for item in answer["output"] for c in item["content"])

    def is_flipped(self, mark):
        with self.lock:
            return "flipped" in self.attempts.get(mark, ())

    def check_text(self, text, mark):
        n = text.count(mark)
        assert text == "".join(words_of(mark, n)) and n, f"no whole answer of one attempt: {text[:200]!r}"

    # ---- an admin, meanwhile

    def disturb(self, dice):
        time.sleep(dice.random())
        what = dice.choice(["reload", "status", "drain", "list"])
        if what == "reload":
            self.gateway.reload()
        elif what == "status":
            self.gateway.ctl("status")
        elif what == "list":
            self.gateway.ctl("upstream", "list")

    def play(self, **kinds):
        threads = [threading.Thread(target=self.run, args=(kind, i)) for kind, n in kinds.items() for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"seed {self.seed}: {sorted(self.counts.items(), key=str)}")
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:5]}"


__all__ = ["Campaign", "Provider", "bearer"]
