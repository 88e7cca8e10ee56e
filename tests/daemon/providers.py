"""Providers of other dialects than OpenAI's, for fake.py: what they say, and a configuration of several."""

import json

from fake import Fake, chat_json, plain, stream, stream_frames

MESSAGE_USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 20, "output_tokens": 6,
                 "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3}}
MESSAGE_INPUT = 9 + 4 + 20  # all that the provider read


def message_json(content=({"type": "text", "text": "Hello there"},), usage=None, stop="end_turn", model="claude-1"):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": list(content),
            "stop_reason": stop, "stop_sequence": None, "usage": usage or MESSAGE_USAGE}


def event(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"


def message_frames(words=("Hello", " there"), usage=None, stop="end_turn", done=True, model="claude-1"):
    """The events of a messages stream as Anthropic sends it."""
    usage = usage or MESSAGE_USAGE
    start = {**message_json((), usage={**usage, "output_tokens": 1}, stop=None, model=model)}
    found = [event("message_start", message=start),
             event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
             event("ping")]
    found += [event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    found += [event("content_block_stop", index=0),
              event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)]
    return found + [event("message_stop")] if done else found


def anthropic(x):
    """A well-behaved provider of Anthropic's dialect."""
    assert x.header("x-api-key"), x.headers
    assert x.header("anthropic-version"), x.headers
    if x.target.split("?")[0].endswith("/count_tokens"):
        x.answer({"input_tokens": 14})
    elif x.is_stream:
        stream(message_frames(model=x.model))(x)
    else:
        x.answer(message_json(model=x.model))


def anthropic_error(kind, message="no", status=None):
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    statuses = {"overloaded_error": 529, "rate_limit_error": 429, "authentication_error": 401, "api_error": 500,
                "invalid_request_error": 400, "permission_error": 403, "billing_error": 402, "not_found_error": 404}
    return lambda x: x.answer(body, status or statuses[kind])


def counting(script):
    """The script, and how often it ran."""
    def run(x):
        run.n += 1
        script(x)
    run.n = 0
    return run


def saying(text):
    """Who answered is seen by the answer's words."""
    def script(x):
        if x.is_stream:
            stream(stream_frames((text,), model=x.model))(x)
        else:
            x.answer(chat_json(text, model=x.model))
    return script


def text_of(answer):
    """Of a chat answer or a whole chat stream."""
    if "event-stream" in (answer.header("content-type") or ""):
        chunks = [json.loads(data) for data in answer.events() if data != "[DONE]"]
        return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk.get("choices", []))
    return answer.json()["choices"][0]["message"]["content"]


class Providers:
    """Several fakes by name, and the configuration that knows them. Each is also a model of its own: "a" is served by a alone."""

    def __init__(self, *names, dialects=None, more=None):
        self.fakes = {name: Fake() for name in names}
        self.dialects = dialects or {}
        self.more = more or {}

    def __getattr__(self, name):
        try:
            return self.__dict__["fakes"][name]
        except KeyError:
            raise AttributeError(name) from None

    def config(self, models):
        text = ""
        for name, fake in self.fakes.items():
            dialect = self.dialects.get(name, "openai")
            text += f'\n[provider "{name}"]\ndialect = {dialect}\nbase_url = {fake.url}\n'
            text += self.more.get(name, "api_key = env:FAKE_PROVIDER_KEY\n")
        return text + models

    def on(self, model, script):
        for fake in self.fakes.values():
            fake.on(model, script)

    def close(self):
        for fake in self.fakes.values():
            fake.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


__all__ = ["MESSAGE_INPUT", "MESSAGE_USAGE", "Providers", "anthropic", "anthropic_error", "counting", "event",
           "message_frames", "message_json", "plain", "saying", "text_of"]
