"""What a client is told that asks for nonsense, what becomes of a provider's garbage, and how a cut stream ends over HTTP/2: in each
dialect, with the providers of test_34_dialects.py."""

import json

import pytest

from fake import answering, chunk_json, frame, stream, stream_frames
from gateway import bearer
from providers import event, message_frames
from test_25_http2 import Client
from test_34_dialects import HELLO, gateway, key, last, messages, post, providers, response_frames, turns  # noqa: F401 - fixtures
from wire import sse_data

# ---- bad input

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
BAD_CHATS = [
    ("messages", {"messages": "hi"}), ("messages", {"messages": []}), ("messages", {}), ("messages.0", {"messages": ["hi"]}),
    ("messages.0.role", {"messages": turns(("oracle", "x"))}), ("messages.1.role", {"messages": [*HELLO, {"content": "x"}]}),
    ("messages.0.role", {"messages": turns((5, "x"))}), ("messages.0.content", {"messages": turns(("user", 5))}),
    ("messages.0.content", {"messages": [{"role": "user"}]}),
    ("messages.0.content.0", {"messages": turns(("user", ["x"]))}),
    ("messages.0.content.0.text", {"messages": turns(("user", [{"type": "text", "text": 7}]))}),
    ("messages.0.content.0.image_url", {"messages": turns(("user", [{"type": "image_url", "image_url": 7}]))}),
    ("messages.0.content.0.image_url.url", {"messages": turns(("user", [{"type": "image_url", "image_url": {"url": "ftp://x"}}]))}),
    ("messages.1", {"messages": [*HELLO, {"role": "tool", "tool_call_id": "c1", "content": "x"}]}),
    ("messages.1", {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALL]}, *HELLO]}),
    ("messages.2.tool_call_id", {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALL]},
                                              {"role": "tool", "tool_call_id": "c2", "content": "x"}]}),
    ("messages.1.tool_calls.0.function.arguments", {"messages": [*HELLO, {"role": "assistant", "tool_calls": [
        {**CALL, "function": {"name": "f", "arguments": "{oops"}}]}, {"role": "tool", "tool_call_id": "c1", "content": "x"}]}),
    ("max_tokens", {"messages": HELLO, "max_tokens": "many"}), ("max_tokens", {"messages": HELLO, "max_tokens": -1}),
    ("max_tokens", {"messages": HELLO, "max_tokens": 1 << 70}), ("max_tokens", {"messages": HELLO, "max_tokens": 1.5}),
    ("temperature", {"messages": HELLO, "temperature": "hot"}), ("temperature", {"messages": HELLO, "temperature": 1.7}),
    ("tools", {"messages": HELLO, "tools": {}}), ("tools.0.function", {"messages": HELLO, "tools": [{"type": "function"}]}),
    ("tools.0.function.name", {"messages": HELLO, "tools": [{"type": "function", "function": {"name": 5}}]}),
    ("tool_choice", {"messages": HELLO, "tools": [TOOL], "tool_choice": "perhaps"}),
    ("response_format", {"messages": HELLO, "response_format": {"type": "xml"}}),
    ("reasoning_effort", {"messages": HELLO, "reasoning_effort": "total"}), ("stop", {"messages": HELLO, "stop": 5}),
    ("unheard_of", {"messages": HELLO, "unheard_of": 1}),
]
BAD_MESSAGES = [
    ("max_tokens", {"max_tokens": None}), ("max_tokens", {"max_tokens": "many"}), ("max_tokens", {"max_tokens": 1 << 70}),
    ("messages", {"messages": "hi"}), ("messages", {"messages": []}), ("messages.0.role", {"messages": turns(("oracle", "x"))}),
    ("messages.0.content", {"messages": turns(("user", 5))}), ("messages.0.content.0", {"messages": turns(("user", ["x"]))}),
    ("messages.0.content.0.type", {"messages": turns(("user", [{"type": "hologram"}]))}),
    ("messages.0.content.0", {"messages": turns(("user", [RESULT]))}),
    ("messages.1", {"messages": turns(("user", "x"), ("assistant", [USE]), ("user", "x"))}),
    ("messages.2.content.0.tool_use_id", {"messages": turns(("user", "x"), ("assistant", [USE]),
                                                            ("user", [{**RESULT, "tool_use_id": "t2"}]))}),
    ("messages.1.content.0.input", {"messages": turns(("user", "x"), ("assistant", [{**USE, "input": "x"}]), ("user", [RESULT]))}),
    ("messages.0.content.0.source", {"messages": turns(("user", [{"type": "image", "source": {"type": "file", "file_id": "x"}}]))}),
    ("system", {"system": 5}), ("stop_sequences", {"stop_sequences": "x"}), ("thinking", {"thinking": {"type": "perhaps"}}),
    ("tools.0.input_schema", {"tools": [{"name": "f", "input_schema": 5}]}), ("tool_choice", {"tool_choice": {"type": "perhaps"}}),
    ("unheard_of", {"unheard_of": 1}),
]
BAD_RESPONSES = [
    ("input", {"input": 5}), ("input", {}), ("input.0", {"input": ["x"]}), ("input.0.type", {"input": [{"type": "hologram"}]}),
    ("input.0.role", {"input": turns(("oracle", "x"))}), ("input.0", {"input": [{"type": "item_reference", "id": "x"}]}),
    ("input.0.call_id", {"input": [{"type": "function_call_output", "call_id": "c1", "output": "x"}]}),
    ("input.0.content.0", {"input": turns(("user", [{"type": "input_image", "file_id": "x"}]))}),
    ("max_output_tokens", {"input": "x", "max_output_tokens": 1 << 70}), ("tools.0.type", {"input": "x", "tools": [{"type": "web_search"}]}),
    ("text.format", {"input": "x", "text": {"format": {"type": "xml"}}}), ("store", {"input": "x", "store": True}),
    ("unheard_of", {"input": "x", "unheard_of": 1}),
]


def check_refused(gateway, provider, answer, n, field, has_param=True):
    assert answer.status == 400 and len(provider.requests) == n, answer
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and field in error["message"], error
    assert not has_param or (error["param"] or "").startswith(field), error


@pytest.mark.parametrize("field, body", BAD_CHATS)
def test_bad_chats_are_refused_with_their_place(gateway, providers, post, field, body):
    n = len(providers.n.requests)
    check_refused(gateway, providers.n, post("/v1/chat/completions", {"model": "n-1", **body}), n, field)


@pytest.mark.parametrize("field, body", BAD_MESSAGES)
def test_bad_messages_are_refused_with_their_place(gateway, providers, post, field, body):
    n = len(providers.o.requests)
    answer = post("/v1/messages", {k: v for k, v in {**messages("o-1"), **body}.items() if v is not None})
    check_refused(gateway, providers.o, answer, n, field, has_param=False)
    assert answer.json()["type"] == "error" and answer.json()["request_id"] == answer.request_id == answer.header("request-id")


@pytest.mark.parametrize("provider", ["o", "n"])
@pytest.mark.parametrize("field, body", BAD_RESPONSES)
def test_bad_responses_are_refused_with_their_place(gateway, providers, post, provider, field, body):
    n = len(providers.fakes[provider].requests)
    answer = post("/v1/responses", {"model": f"{provider}-1", **body})
    check_refused(gateway, providers.fakes[provider], answer, n, field)


DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize("path, model, before", [
    ("/v1/chat/completions", "n-1", b""), ("/v1/messages", "o-1", b'"max_tokens":9,'), ("/v1/messages", "n-1", b'"max_tokens":9,')])
@pytest.mark.parametrize("bad", [
    b'"messages":' + DEEP, b'"messages":[{"role":"user","content":"\xff"}]', b'"messages":[{"role":"user","content":"\xed\xa0\x80"}]',
    b'"messages":[{"role":"user","content":"a\x00b"}]', b'"messages":[{"role":"user","content":"\\ud83d"',
    b'"messages":[{"role":"user","content":"hi"}],"n":0x1', b'"messages":[{"role":"user","content":"hi"}],"n":--1'])
def test_what_is_no_json_is_refused_in_each_dialect(providers, post, path, model, before, bad):
    fake = providers.fakes[model[0]]
    n = len(fake.requests)
    answer = post(path, b'{"model":"%s",%s%s}' % (model.encode(), before, bad))
    assert answer.status == 400 and answer.json()["error"]["type"] == "invalid_request_error" and len(fake.requests) == n
    assert ("type" in answer.json()) == (path == "/v1/messages") and "byte" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body, field", [
    (b'"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]', "messages"),
    (b'"messages":[{"role":"user","content":"a","role":"assistant"}]', "messages.0.role"),
    (b'"messages":[{"role":"user","content":"a"}],"max_tokens":5,"max_tokens":6', "max_tokens"),
])
def test_members_that_stand_twice_are_refused(providers, post, body, field):
    for path, model in (("/v1/chat/completions", "n-1"), ("/v1/messages", "o-1")):
        before = b'"max_tokens":9,' if path == "/v1/messages" and b"max_tokens" not in body else b""
        answer = post(path, b'{"model":"%s",%s%s}' % (model.encode(), before, body))
        assert answer.status == 400 and field in answer.json()["error"]["message"], answer


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "18446744073709551615", "1e19", "0", "1e2.5"])
def test_numbers_that_are_no_limit_of_tokens_are_refused(providers, post, number):
    for path, model in (("/v1/chat/completions", "n-1"), ("/v1/messages", "o-1"), ("/v1/chat/completions", "o-1"), ("/v1/messages", "n-1")):
        if number == "0" and (path, model[0]) in (("/v1/chat/completions", "o"), ("/v1/messages", "n")):
            continue  # the provider's own business
        n = len(providers.fakes[model[0]].requests)
        answer = post(path, '{"model":"%s","max_tokens":%s,"messages":[{"role":"user","content":"x"}]}' % (model, number))
        assert answer.status == 400 and len(providers.fakes[model[0]].requests) == n, (path, answer)
        assert "max_tokens" in answer.json()["error"]["message"] or number == "1e2.5"


def test_what_is_the_clients_own_arrives_as_it_was_written(providers, post):
    """Numbers that no machine holds, half characters, schemas with members twice: nobody here has to understand them."""
    schema = b'{"type":"object","properties":{"n":{"maximum":1e400,"minimum":-1180591620717411303424,"x":1,"x":2}}}'
    text = b'"half \\ud83d \\u0000 \\/ \xf0\x9f\x98\x80"'
    chat = b'{"model":"n-raw","messages":[{"role":"user","content":%s}],"tools":[{"type":"function","function":{"name":"f",' \
           b'"parameters":%s}}]}' % (text, schema)
    assert post("/v1/chat/completions", chat).status == 200
    assert text in last(providers.n).body and schema in last(providers.n).body
    body = b'{"model":"o-raw","max_tokens":9,"messages":[{"role":"user","content":%s}],"tools":[{"name":"f","input_schema":%s}]}' % (
        text, schema)
    assert post("/v1/messages", body).status == 200
    assert text in last(providers.o).body and schema in last(providers.o).body


# ---- a provider's garbage

BAD_ANSWERS = [b"", b"{}", b"[]", b"7", b'"x"', b"null", b'{"choices":[]}', b'{"choices":{}}', b'{"choices":[{"message":5}]}',
               b'{"content":5,"stop_reason":"end_turn"}',
               b'{"choices":[{"message":{"content":{"a":1}},"finish_reason":"stop"}]}', DEEP, b'{"content":[{"type":"text","text":"\xff"}]}']


@pytest.mark.parametrize("body", BAD_ANSWERS)
@pytest.mark.parametrize("path, model", [("/v1/chat/completions", "n-bad"), ("/v1/chat", "n-bad"), ("/v1/messages", "o-bad"),
                                         ("/v1/responses", "o-bad"), ("/v1/responses", "n-bad")])
def test_garbage_of_a_provider_is_its_fault(gateway, providers, post, path, model, body):
    providers.fakes[model[0]].on(model, answering(body))
    answer = post(path, messages(model) if path != "/v1/responses" else {"model": model, "input": "hi"})
    assert answer.status == 502, answer
    told = answer.json()["error"]
    assert "provider" in (told if path == "/v1/chat" else told["message"]), told
    if path == "/v1/messages":
        assert told["type"] == "api_error"
    assert gateway.event(answer.request_id)["outcome"] == "failed"


@pytest.mark.parametrize("path, model, frames", [
    ("/v1/chat/completions", "n-odd", [message_frames()[0], event("content_block_delta", index=7, delta={"type": "text_delta", "text": "x"})]),
    ("/v1/chat/completions", "n-odd", [*message_frames()[:4], "event: content_block_delta\ndata: {oops\n\n"]),
    ("/v1/chat/completions", "n-odd", [*message_frames()[:4], event("content_block_delta", index=0, delta=5)]),
    ("/v1/messages", "o-odd", [*stream_frames()[:2], "data: {oops\n\n"]),
    ("/v1/messages", "o-odd", [*stream_frames()[:2], frame({"choices": 5})]),
    ("/v1/messages", "o-odd", [*stream_frames()[:2], frame(chunk_json({"content": {"text": "x"}}))]),
    ("/v1/responses", "o-odd", [*stream_frames()[:2], "data: [1,2\n\n"]),
])
def test_garbage_in_a_stream_is_an_error_and_no_end(gateway, providers, post, path, model, frames):
    providers.fakes[model[0]].on(model, stream([*frames, *stream_frames()] if model[0] == "o" else [*frames, *message_frames()]))
    body = {**(messages(model) if path != "/v1/responses" else {"model": model, "input": "hi"}), "stream": True}
    answer = post(path, body, keep_broken=True)
    if answer.status == 200:
        check_broken(path, answer.events())
        assert not answer.is_whole
    else:
        assert answer.status == 502
    assert gateway.event(answer.request_id)["outcome"] in ("truncated", "failed")


# ---- the truth over HTTP/2

def check_broken(path, events):
    """The last event is an error of the client's dialect, and nothing looks like an end."""
    assert "[DONE]" not in events
    told = json.loads(events[-1])
    if path == "/v1/chat/completions":
        assert told["error"]["message"] and told["error"]["type"]
        assert not [e for e in events if any(c.get("finish_reason") for c in json.loads(e).get("choices", []))]
    elif path == "/v1/messages":
        assert told["type"] == "error" and told["error"]["type"] and told["error"]["message"]
    else:
        assert told["type"] == "error" and told["message"]
    assert not [e for e in events if json.loads(e).get("type") in ("message_stop", "response.completed", "response.incomplete")]


@pytest.mark.parametrize("path, model", [("/v1/chat/completions", "n-h2"), ("/v1/messages", "o-h2"), ("/v1/messages", "z-h2"),
                                         ("/v1/responses", "o-h2"), ("/v1/responses", "n-h2"), ("/v1/responses", "r-h2"),
                                         ("/v1/messages", "n-h2"), ("/v1/chat/completions", "o-h2")])
def test_a_cut_stream_is_an_error_and_a_reset_over_http2(gateway, providers, key, path, model):
    frames = {"n": message_frames()[:4], "r": response_frames()[:2]}.get(model[0], stream_frames()[:2])
    providers.fakes[model[0]].on(model, stream(frames, end=False))
    body = {**(messages(model) if path != "/v1/responses" else {"model": model, "input": "hi"}), "stream": True}
    with Client(gateway.port) as client:
        answer = client.ask("POST", path, bearer(key), body)
        assert answer.status == 200 and answer.reset is not None and not answer.is_whole
        check_broken(path, sse_data(answer.body))
        assert client.ask("GET", "/health").status == 200  # the connection lives
    assert gateway.event(answer.headers["x-request-id"])["outcome"] == "truncated"
