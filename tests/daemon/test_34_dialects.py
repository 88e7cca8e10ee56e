"""What providers of each dialect get to see, what comes through byte for byte, and who is asked for what one has no words for."""

import json
from urllib.parse import quote

import pytest

from fake import answering, chat_json, error_json, frame, plain, stream, stream_frames
from gateway import PROVIDER_SECRET, Gateway, bearer
from providers import MESSAGE_INPUT, Providers, anthropic, anthropic_error, event, message_frames, saying

KEY = "api_key = env:FAKE_PROVIDER_KEY\n"
AZURE = "2024-10-21"
DIALECTS = {"n": "anthropic", "v": "anthropic", "z": "azure"}
MORE = {"o": KEY, "r": KEY + "responses = yes\n", "n": KEY, "v": KEY + "api_version = 2099-01-01\n",
        "z": KEY + f"api_version = {AZURE}\nresponses = yes\n"}
MODELS = """
[model "default"]
target = n/claude-default
[model "chat"]
alias = chat-latest chat-stable
target = o/upstream-chat
[model "claude"]
target = n/upstream-claude
[model "dots"]
target = z/..
[model "both"]
strategy = ordered
target = n
target = o
[model "both-chat-first"]
strategy = ordered
target = o
target = n
[model "responders"]
strategy = ordered
target = r
target = o
[model "outgrown"]
target = n
larger = o
[model "two-claudes"]
strategy = ordered
target = n
target = v
""" + "".join(f'[model "{name}-*"]\ntarget = {name}\nretries = 0\n' for name in "ornvz")
HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def providers():
    with Providers(*MORE, dialects=DIALECTS, more={name: f"breaker_failures = 0\n{text}" for name, text in MORE.items()}) as found:
        for name in "nv":
            found.fakes[name].default = anthropic
        yield found
        for fake in found.fakes.values():
            assert fake.failures() == []


@pytest.fixture(scope="module")
def gateway(providers):
    config = providers.config(MODELS).replace(providers.z.url, providers.z.url.removesuffix("/v1"))
    with Gateway(config=config, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.create_key("tester")


@pytest.fixture
def post(gateway, key):
    def ask(path, body, headers=(), **options):
        content = {"Content-Type": "application/json"} if isinstance(body, (bytes, str)) else {}
        return gateway.ask("POST", path, {**bearer(key), **content, **dict(headers)}, body, **options)
    return ask


def messages(model, **more):
    return {"model": model, "max_tokens": 100, "messages": HELLO, **more}


def turns(*list_):
    return [{"role": role, "content": content} for role, content in list_]


def last(fake):
    return fake.requests[-1]


# ---- azure

@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/images/generations", "/audio/speech"])
def test_azure_has_a_path_for_each_deployment(providers, post, path):
    providers.z.on("z-one", answering({"data": []} if path != "/chat/completions" else chat_json()))
    answer = post(f"/v1{path}?extra=1", {"model": "z-one", "messages": HELLO, "input": "x", "prompt": "x"})
    x = last(providers.z)
    assert answer.status == 200 and x.target == f"/openai/deployments/z-one{path}?api-version={AZURE}&extra=1"
    assert x.header("api-key") == PROVIDER_SECRET
    assert x.header("authorization") is None and x.header("x-api-key") is None


@pytest.mark.parametrize("name", ["z-a b", "z-ü/../x", "z-?x=1#y", "z-%41", "z-a&b=c", "z-v1.5_~", "z-;\\\"'"])
def test_azure_deployments_of_odd_names_are_one_segment(providers, post, name):
    assert post("/v1/chat/completions", {"model": name, "messages": HELLO}).status == 200
    x = last(providers.z)
    assert x.target == f"/openai/deployments/{quote(name, safe='')}/chat/completions?api-version={AZURE}"
    assert x.model == name


def test_azure_gets_one_version_and_that_is_the_clients(providers, post):
    assert post("/v1/chat/completions?api-version=2099-01-01", {"model": "z-one", "messages": HELLO}).status == 200
    assert last(providers.z).target.endswith("/chat/completions?api-version=2099-01-01")


def test_azure_deployments_are_no_way_up(providers, post):
    assert post("/v1/chat/completions", {"model": "dots", "messages": HELLO}).status == 200
    assert last(providers.z).target.startswith("/openai/deployments/%2E%2E/chat/completions?")


def test_azure_names_the_model_of_a_response_in_its_body(providers, post):
    providers.z.on("z-r", answering(response_json()))
    assert post("/v1/responses", {"model": "z-r", "input": "hi"}).status == 200
    assert last(providers.z).target == f"/openai/responses?api-version={AZURE}"


def azure_frames():
    """The first chunk has no choice, the second's text was filtered."""
    filtered = {"id": "", "object": "", "created": 0, "model": "", "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]}
    return [frame(filtered), *stream_frames()]


def test_azure_streams(gateway, providers, post):
    providers.z.on("z-stream", stream(azure_frames()))
    body = {"model": "z-stream", "stream": True, "stream_options": {"include_usage": True}, "messages": HELLO}
    answer = post("/v1/chat/completions", body)
    assert answer.body == "".join(azure_frames()).encode()
    answer = post("/v1/messages", messages("z-stream", stream=True))
    told = [json.loads(data) for data in answer.events()]
    assert [e["type"] for e in told].count("message_start") == 1 and told[-1]["type"] == "message_stop"
    assert "".join(e["delta"].get("text", "") for e in told if e["type"] == "content_block_delta") == "Hello there"
    found = gateway.event(answer.request_id)
    assert (found["outcome"], found["certainty"], found["input_tokens"], found["output_tokens"]) == ("complete", "measured", 11, 7)


AZURE_FILTER = {"error": {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter",
                          "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}


def test_azure_errors(providers, post):
    providers.z.on("z-error", answering(AZURE_FILTER, 400))
    answer = post("/v1/chat/completions", {"model": "z-error", "messages": HELLO})
    assert (answer.status, answer.json()) == (400, AZURE_FILTER)
    answer = post("/v1/messages", messages("z-error"))
    assert (answer.status, answer.json()["type"]) == (400, "error")
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "The response was filtered" in answer.json()["error"]["message"]
    providers.z.on("z-error", answering({"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, 401))
    answer = post("/v1/chat/completions", {"model": "z-error", "messages": HELLO})
    assert answer.status == 502 and "subscription" not in answer.json()["error"]["message"]


# ---- anthropic

def test_anthropic_gets_its_key_and_version(providers, post):
    for path, body in (("/v1/messages", messages("n-1")), ("/v1/chat/completions", {"model": "n-1", "messages": HELLO})):
        assert post(path, body).status == 200
        x = last(providers.n)
        assert (x.header("x-api-key"), x.header("authorization")) == (PROVIDER_SECRET, None)
        assert [v for k, v in x.headers if k == "anthropic-version"] == ["2023-06-01"]
        assert x.target == "/v1/messages"


def test_the_clients_version_goes_before_the_setting(providers, post):
    assert post("/v1/messages", messages("v-1")).status == 200
    assert last(providers.v).header("anthropic-version") == "2099-01-01"
    assert post("/v1/messages", messages("v-1"), {"anthropic-version": "2023-01-01"}).status == 200
    assert [v for k, v in last(providers.v).headers if k == "anthropic-version"] == ["2023-01-01"]


def test_fields_of_anthropic_go_to_anthropic_alone(providers, post):
    own = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-1m,files-api", "anthropic-dangerous-direct-browser-access": "true"}
    assert post("/v1/messages", messages("n-1"), own).status == 200
    assert {name: last(providers.n).header(name) for name in own} == own
    for fake, model in ((providers.o, "o-1"), (providers.z, "z-1")):
        assert post("/v1/messages", messages(model), own).status == 200
        assert not [name for name, _ in last(fake).headers if name.startswith("anthropic-")]


def test_a_query_stays_within_its_dialect(providers, post):
    assert post("/v1/messages?beta=true", messages("n-1")).status == 200
    assert last(providers.n).target == "/v1/messages?beta=true"
    assert post("/v1/messages?beta=true", messages("o-1")).status == 200
    assert last(providers.o).target == "/v1/chat/completions"
    assert post("/v1/chat/completions?trace=1", {"model": "o-1", "messages": HELLO}).status == 200
    assert last(providers.o).target == "/v1/chat/completions?trace=1"


def test_count_tokens(gateway, providers, post):
    body = b'{"model": "claude" , "messages":[{"role":"user","content":"hi","cache_control":{"type":"ephemeral"}}], "later":1e400}'
    answer = post("/v1/messages/count_tokens?beta=true", body)
    assert (answer.status, answer.json()) == (200, {"input_tokens": 14})
    x = last(providers.n)
    assert x.target == "/v1/messages/count_tokens?beta=true" and x.body == body.replace(b'"claude"', b'"upstream-claude"')
    assert gateway.event(answer.request_id)["certainty"] == "none"
    n = len(providers.o.requests) + len(providers.z.requests)
    for model in ("chat", "z-1"):
        answer = post("/v1/messages/count_tokens", messages(model))
        assert answer.status == 400 and answer.json()["type"] == "error", answer
        assert answer.json()["error"]["type"] == "invalid_request_error" and model in answer.json()["error"]["message"]
        assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == "cannot_serve"
    assert len(providers.o.requests) + len(providers.z.requests) == n


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions", "/v1/images/generations", "/v1/audio/speech"])
def test_what_a_dialect_has_not_is_refused(providers, post, path):
    answer = post(path, {"model": "claude", "input": "x", "prompt": "x"})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "unsupported_operation")


def test_other_paths_of_messages_are_passed_on(gateway, providers, key, post):
    providers.n.default = answering({"id": "batch_1"})
    try:
        body = b'{"requests": [ {"custom_id":"a","params":{"model":"x"}} ]}'
        answer = post("/v1/messages/batches?limit=2", body, {"anthropic-beta": "b"})
        x = last(providers.n)
        assert (answer.status, answer.json(), x.target, x.body) == (200, {"id": "batch_1"}, "/v1/messages/batches?limit=2", body)
        assert (x.header("x-api-key"), x.header("anthropic-beta")) == (PROVIDER_SECRET, "b")
        answer = gateway.ask("GET", "/v1/messages/batches/batch_1", bearer(key))
        x = last(providers.n)
        assert (answer.status, x.method, x.target) == (200, "GET", "/v1/messages/batches/batch_1")
        answer = gateway.ask("DELETE", "/v1/messages/batches/batch_1", bearer(key))
        assert (answer.status, last(providers.n).method) == (200, "DELETE")
        answer = gateway.ask("GET", "/v1/messages/batches/batch_1", bearer("sk-nobodys-key-at-all"))
        assert (answer.status, answer.json()["type"], answer.json()["error"]["type"]) == (401, "error", "authentication_error")
    finally:
        providers.n.default = anthropic


# ---- byte for byte

ODD_MESSAGES = (b'{ "stream":false,\n"model" : "claude","max_tokens":1e2, "unknown":{"deep":[1e400,"\\ud83d\\ude00 \\u00e9 \xc3\xa9"]},'
                b'"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}],"thinking":{"type":"enabled",'
                b'"budget_tokens":1024},"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":'
                b'{"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"hm\\/","signature":"Er=="},'
                b'{"type":"redacted_thinking","data":"xx"},{"type":"server_tool_use","id":"s","name":"w","input":{}}]},'
                b'{"role":"user","content":"go on"}], "stop_sequences":[ ] }\n')
ODD_ANSWER = (b'{"id":"msg_9", "type":"message","role":"assistant","model":"dated-claude","content":[{"type":"thinking","thinking":"x",'
              b'"signature":"E\\/w=="},{"type":"text","text":"a\\u0062","citations":[{"type":"odd"}]},{"type":"unheard_of","x":1e999}],'
              b'"stop_reason":"pause_turn","stop_sequence":null,"container":{"id":"c"},"usage":{"input_tokens":9,'
              b'"cache_creation_input_tokens":4,"cache_read_input_tokens":20,"output_tokens":6,"server_tool_use":{"web":1}}}\n')


def test_messages_to_messages_arrive_unchanged_but_for_the_model(gateway, providers, post):
    providers.n.on("upstream-claude", answering(ODD_ANSWER))
    answer = post("/v1/messages", ODD_MESSAGES)
    assert last(providers.n).body == ODD_MESSAGES.replace(b'"claude"', b'"upstream-claude"')
    assert (answer.status, answer.body) == (200, ODD_ANSWER)
    assert answer.header("x-scribe-dropped") is None
    found = gateway.event(answer.request_id)
    assert (found["input_tokens"], found["cached_tokens"], found["cache_write_tokens"], found["output_tokens"]) == (33, 20, 4, 6)


def test_streams_of_messages_arrive_unchanged(gateway, providers, post):
    frames = message_frames()
    frames[1:1] = [event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
                   event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "Er+/=="}),
                   event("content_block_stop", index=0), ": a comment\n\n", event("unheard_of", x="\u00e9")]
    providers.n.on("upstream-claude", stream(frames))
    answer = post("/v1/messages", messages("claude", stream=True))
    assert answer.body == "".join(frames).encode()
    found = gateway.event(answer.request_id)
    assert (found["outcome"], found["certainty"], found["input_tokens"], found["output_tokens"]) == \
        ("complete", "measured", MESSAGE_INPUT, 6)


def test_errors_of_the_same_dialect_arrive_unchanged(providers, post):
    providers.n.on("n-bad", anthropic_error("invalid_request_error", "max_tokens: too many"))
    answer = post("/v1/messages", messages("n-bad"))
    assert (answer.status, answer.json()["request_id"]) == (400, "req_1")
    answer = post("/v1/chat/completions", {"model": "n-bad", "messages": HELLO})
    assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "max_tokens: too many" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_ping_is_no_answer(gateway, providers, post, path):
    """Until there is more, another provider may take the place of this one unseen."""
    told = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    providers.n.on("two-claudes", stream([event("ping"), ": a comment\n\n", event("ping"), told]))
    answer = post(path, messages("two-claudes", stream=True))
    assert answer.header("x-scribe-model") == "v/two-claudes" and b"Overloaded" not in answer.body and b"there" in answer.body
    gateway.ctl("upstream", "enable", "n/two-claudes")
    frames = [event("ping"), *message_frames()]
    providers.n.on("two-claudes", stream(frames))
    answer = post("/v1/messages", messages("two-claudes", stream=True))
    assert answer.body == "".join(frames).encode() and answer.header("x-scribe-attempts") == "1"


@pytest.mark.parametrize("path, model, status, kind, body", [
    ("/v1/chat/completions", "n-rate", 429, "rate_limit_error", {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}),
    ("/v1/messages", "o-rate", 429, "rate_limit_error", error_json("slow", "requests", "rate_limit_exceeded")),
    ("/v1/messages", "o-lost", 404, "not_found_error", error_json("slow", code="model_not_found")),
    ("/v1/messages", "o-long", 413, "request_too_large", error_json("slow")),
    ("/v1/chat/completions", "n-full", 529, "upstream_error", {"type": "error", "error": {"type": "overloaded_error", "message": "slow"}}),
])
def test_errors_are_told_in_the_clients_words(providers, post, path, model, status, kind, body):
    providers.fakes[model[0]].on(model, answering(body, status, [("Retry-After", "7")]))
    answer = post(path, messages(model))
    assert answer.status == (503 if status == 529 else status)  # a number of Anthropic's alone
    assert (answer.json()["error"]["type"], answer.header("retry-after")) == (kind, "7")
    assert "slow" in answer.json()["error"]["message"] and ("type" in answer.json()) == (path == "/v1/messages")


# ---- responses

def response_json(status="completed", **more):
    return {"id": "resp_1", "object": "response", "created_at": 1700000000, "status": status, "model": "r-1", "error": None,
            "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "Hello there", "annotations": []}]}],
            "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 7,
                      "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18}, **more}


def response_frames(end="response.completed", **more):
    status = end.removeprefix("response.")
    return [event("response.created", sequence_number=0, response=response_json("in_progress", usage=None)),
            event("response.output_text.delta", sequence_number=1, item_id="m", delta="Hello there"),
            event(end, sequence_number=2, response=response_json(status, **more))]


FAILED = {"error": {"code": "server_error", "message": "the model broke"}, "output": [], "usage": None}


def test_responses_are_passed_to_those_who_have_them(gateway, providers, post):
    body = (b'{ "input":[{"type":"item_reference","id":"x"}],"model":"responders" ,"previous_response_id":"resp_0","store":true,'
            b'"tools":[{"type":"web_search"}],"odd":1e400}')
    raw = b" " + json.dumps(response_json()).encode() + b"\n"
    providers.r.on("responders", answering(raw))
    answer = post("/v1/responses?include=x", body)
    x = last(providers.r)
    assert (x.target, x.body, x.header("authorization")) == ("/v1/responses?include=x", body, f"Bearer {PROVIDER_SECRET}")
    assert (answer.status, answer.body) == (200, raw)
    found = gateway.event(answer.request_id)
    assert (found["input_tokens"], found["cached_tokens"], found["output_tokens"], found["reasoning_tokens"]) == (11, 5, 7, 2)


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete"])
def test_streams_of_responses_are_passed_on(gateway, providers, post, end):
    providers.r.on("r-stream", stream(response_frames(end)))
    answer = post("/v1/responses", {"model": "r-stream", "input": "hi", "stream": True})
    assert answer.body == "".join(response_frames(end)).encode()
    found = gateway.event(answer.request_id)
    assert (found["outcome"], found["certainty"], found["input_tokens"]) == ("complete", "measured", 11)


def test_a_response_that_fails_first_is_tried_elsewhere(gateway, providers, post):
    providers.r.on("responders", stream([response_frames("response.failed", **FAILED)[2]]))
    providers.o.on("responders", saying("from o"))
    answer = post("/v1/responses", {"model": "responders", "input": "hi", "stream": True})
    told = [json.loads(data) for data in answer.events()]
    assert told[-1]["type"] == "response.completed" and answer.header("x-scribe-attempts") == "2"
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "from o"
    assert [e["sequence_number"] for e in told] == list(range(len(told)))


def test_a_response_that_fails_later_is_an_error(gateway, providers, post):
    providers.r.on("responders", stream(response_frames("response.failed", **FAILED)))
    answer = post("/v1/responses", {"model": "responders", "input": "hi", "stream": True}, keep_broken=True)
    told = [json.loads(data) for data in answer.events()]
    assert [e["type"] for e in told[:2]] == ["response.created", "response.output_text.delta"]
    assert told[-1]["type"] == "error" and "the model broke" in told[-1]["message"]
    assert told[-1]["sequence_number"] == 2 and not answer.is_whole
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


@pytest.mark.parametrize("model", ["r-cut", "o-cut", "n-cut"])
def test_a_response_that_is_cut_off_ends_in_an_error(gateway, providers, post, model):
    providers.r.on(model, stream(response_frames()[:2], end=False))
    providers.o.on(model, stream(stream_frames()[:2], end=False))
    providers.n.on(model, stream(message_frames()[:4], end=False))
    answer = post("/v1/responses", {"model": model, "input": "hi", "stream": True}, keep_broken=True)
    told = [json.loads(data) for data in answer.events()]
    assert told[-1]["type"] == "error" and told[-1]["code"] == "stream_truncated" and not answer.is_whole
    assert [e["sequence_number"] for e in told] == list(range(len(told)))
    assert not [e for e in told if e["type"] in ("response.completed", "response.incomplete", "response.failed")]
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


@pytest.mark.parametrize("model", ["o-1", "n-1"])
def test_responses_are_made_of_chat_for_others(providers, post, model):
    answer = post("/v1/responses", {"model": model, "input": "hi", "instructions": "be kind"})
    assert answer.status == 200 and answer.json()["object"] == "response" and answer.json()["store"] is False
    assert answer.json()["output"][0]["content"][0]["text"] == "Hello there"
    x = last(providers.fakes[model[0]])
    assert "be kind" in json.dumps(x.json) and x.target in ("/v1/chat/completions", "/v1/messages")
    for field in ("previous_response_id", "conversation", "prompt"):
        answer = post("/v1/responses", {"model": model, "input": "hi", field: "x"})
        assert (answer.status, answer.json()["error"]["param"]) == (400, field)


# ---- media

def form(boundary, *parts):
    """Each part: (name, content) or (name, content, more of its head)."""
    found = b""
    for name, content, *more in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{"".join(more)}\r\n\r\n'
        found += head.encode() + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"
    return found + f"--{boundary}--\r\n".encode()


SOUND = bytes(range(256)) * 8 + b"\r\n--bound\r\n"  # the beginning of a boundary, but not of this one
FILE = '; filename="a %22b%22.wav"\r\nContent-Type: audio/wav'


def test_a_form_with_two_boundaries_is_refused(providers, post):
    n = len(providers.o.requests)
    answer = post("/v1/audio/transcriptions", form("b2", ("model", "chat"), ("file", SOUND, FILE)),
                  {"Content-Type": "multipart/form-data; boundary=b1; boundary=b2"})
    assert answer.status == 400 and "one boundary" in answer.json()["error"]["message"] and len(providers.o.requests) == n


@pytest.mark.parametrize("path, usage, counted", [
    ("/audio/transcriptions", {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
                               "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}, (14, 45, 14, 0)),
    ("/images/edits", {"input_tokens": 50, "output_tokens": 100, "total_tokens": 150,
                       "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}, (50, 100, 0, 40)),
])
def test_forms_come_with_the_model_replaced_and_nothing_else(gateway, providers, post, path, usage, counted):
    def body(model):
        return form("boundary", ("prompt", "say\r\n--boundar"), ("model", model), ("file", SOUND, FILE), ("n", "1"))
    providers.o.default = answering({"text": "hello", "data": [], "usage": usage})
    try:
        for model in ("chat", "chat-latest"):
            answer = post(f"/v1{path}", body(model), {"Content-Type": 'multipart/form-data; boundary="boundary"'})
            x = last(providers.o)
            assert (answer.status, x.target, x.body) == (200, f"/v1{path}", body("upstream-chat"))
            assert x.header("content-type") == 'multipart/form-data; boundary="boundary"'
            found = gateway.event(answer.request_id)
            assert (found["input_tokens"], found["output_tokens"], found["audio_input_tokens"], found["image_tokens"]) == counted
            assert (found["model"], found["upstream_model"]) == (model, "upstream-chat")
    finally:
        providers.o.default = plain


def test_sound_is_passed_on_raw(gateway, providers, post):
    providers.o.on("upstream-chat", answering(SOUND, content_type="audio/mpeg"))
    answer = post("/v1/audio/speech", b'{"voice":"a","model":"chat-stable", "input":"read"}')
    assert last(providers.o).body == b'{"voice":"a","model":"upstream-chat", "input":"read"}'
    assert (answer.status, answer.body, answer.header("content-type")) == (200, SOUND, "audio/mpeg")
    found = gateway.event(answer.request_id)
    assert (found["outcome"], found["output_tokens"]) == ("complete", 0)
    providers.o.scripts.pop("upstream-chat")


@pytest.mark.parametrize("path, body, begun, end", [
    ("/images/generations", {"prompt": "x", "stream": True}, event("image_generation.partial_image", b64_json="AA"),
     event("image_generation.completed", b64_json="AA", usage={"input_tokens": 14, "output_tokens": 45, "total_tokens": 59})),
    ("/audio/speech", {"input": "x", "stream_format": "sse"}, event("speech.audio.delta", audio="AA"),
     event("speech.audio.done", usage={"input_tokens": 14, "output_tokens": 45, "total_tokens": 59})),
    ("/audio/transcriptions", form("b1", ("model", "o-media"), ("stream", "true"), ("file", SOUND, FILE)),
     event("transcript.text.delta", delta="x"),
     event("transcript.text.done", text="x", usage={"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59})),
])
def test_streams_of_media_have_an_end(gateway, providers, post, path, body, begun, end):
    def ask():
        if isinstance(body, bytes):
            return post(f"/v1{path}", body, {"Content-Type": "multipart/form-data; boundary=b1"}, keep_broken=True)
        return post(f"/v1{path}", {"model": "o-media", **body}, keep_broken=True)
    try:
        providers.o.default = stream([begun, end])
        answer = ask()
        assert answer.body == (begun + end).encode()
        found = gateway.event(answer.request_id)
        assert (found["outcome"], found["certainty"], found["input_tokens"], found["output_tokens"]) == ("complete", "measured", 14, 45)
        providers.o.default = stream([begun], end=False)
        answer = ask()
        assert json.loads(answer.events()[-1])["error"]["code"] == "stream_truncated" and not answer.is_whole
        found = gateway.event(answer.request_id)
        assert (found["outcome"], found["input_tokens"]) == ("truncated", 0)
    finally:
        providers.o.default = plain


def test_images_and_embeddings_are_metered(gateway, providers, post):
    providers.o.on("o-image", answering({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": {
        "input_tokens": 50, "output_tokens": 4000, "total_tokens": 4050, "input_tokens_details": {"text_tokens": 50, "image_tokens": 0}}}))
    answer = post("/v1/images/generations", {"model": "o-image", "prompt": "a cat"})
    found = gateway.event(answer.request_id)
    assert (found["certainty"], found["input_tokens"], found["output_tokens"]) == ("measured", 50, 4000)
    answer = post("/v1/embeddings", {"model": "chat", "input": "x"})
    assert (answer.status, last(providers.o).model) == (200, "upstream-chat")
    found = gateway.event(answer.request_id)
    assert (found["certainty"], found["input_tokens"], found["output_tokens"]) == ("measured", 3, 0)


# ---- models

def test_models_are_listed_in_both_shapes(gateway, key):
    names = ["echo", "default", "chat", "chat-latest", "chat-stable", "claude", "dots", "both", "both-chat-first", "responders",
             "outgrown", "two-claudes"]
    listed = gateway.ask("GET", "/v1/models", bearer(key)).json()
    assert listed["object"] == "list" and sorted(m["id"] for m in listed["data"]) == sorted(names)
    assert {m["object"] for m in listed["data"]} == {"model"} and all(isinstance(m["created"], int) for m in listed["data"])
    listed = gateway.ask("GET", "/v1/models?limit=1000", {"x-api-key": key, "anthropic-version": "2023-06-01"}).json()
    assert sorted(m["id"] for m in listed["data"]) == sorted(names) and {m["type"] for m in listed["data"]} == {"model"}
    assert listed["has_more"] is False and (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
    for headers, kind in (({}, "object"), ({"anthropic-version": "2023-06-01"}, "type")):
        answer = gateway.ask("GET", "/v1/models/chat-latest", {**bearer(key), **headers})
        assert (answer.status, answer.json()["id"], answer.json()[kind]) == (200, "chat-latest", "model")
    answer = gateway.ask("GET", "/v1/models/nothing", {**bearer(key), "anthropic-version": "2023-06-01"})
    assert (answer.status, answer.json()["error"]["type"]) == (404, "not_found_error")


# ---- the simple surface

def test_the_simple_surface_reaches_anthropic(gateway, providers, key, post):
    answer = gateway.chat(key, model="n-simple", path="/v1/chat")
    assert (answer.status, answer.text()) == (200, "Hello there") and last(providers.n).target == "/v1/messages"
    answer = gateway.chat(key, model="n-simple", path="/v1/chat", stream=True)
    assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
    providers.n.on("n-simple", anthropic_error("invalid_request_error", "too odd"))
    answer = gateway.chat(key, model="n-simple", path="/v1/chat")
    assert answer.status == 400 and list(answer.json()) == ["error"] and "too odd" in answer.json()["error"]
    answer = post("/v1/chat", {"model": "n-simple", "messages": [{"role": "oracle", "content": "x"}]})
    assert answer.status == 400 and "messages.0.role" in answer.json()["error"]
    providers.n.scripts.pop("n-simple")


# ---- what has no words in the other dialect

REDACTED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"},
                                                                               {"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"}]


@pytest.mark.parametrize("path, model, own, other, field, body", [
    ("/v1/chat/completions", "both", "o", "n", "logit_bias", {"messages": HELLO, "logit_bias": {"5": 1}}),
    ("/v1/chat/completions", "both", "o", "n", "audio", {"messages": HELLO, "audio": {"voice": "a"}}),
    ("/v1/chat/completions", "both", "o", "n", "messages.0.content.0.type",
     {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]}),
    ("/v1/messages", "both-chat-first", "n", "o", "messages.1.content.0", {"max_tokens": 9, "messages": REDACTED}),
    ("/v1/messages", "both-chat-first", "n", "o", "container", {"max_tokens": 9, "messages": HELLO, "container": "c"}),
    ("/v1/messages", "both-chat-first", "n", "o", "tools.0.type",
     {"max_tokens": 9, "messages": HELLO, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
])
def test_what_cannot_be_said_goes_to_who_understands_it_or_is_named(providers, post, path, model, own, other, field, body):
    n = len(providers.fakes[other].requests)
    answer = post(path, {"model": model, **body})
    assert answer.status == 200 and {**body, "model": model} == last(providers.fakes[own]).json
    assert answer.header("x-scribe-model") == f"{own}/{model}" and answer.header("x-scribe-attempts") == "1"
    answer = post(path, {"model": f"{other}-1", **body})
    assert answer.status == 400 and field in answer.json()["error"]["message"], answer
    if path == "/v1/chat/completions":
        assert answer.json()["error"]["param"].startswith(field)
    assert len(providers.fakes[other].requests) == n


def test_that_who_understands_it_fails_is_not_the_requests_fault(gateway, providers, key, post):
    """The client is told to try again, and not that its request is wrong."""
    body = {"model": "both", "max_tokens": 9, "messages": REDACTED}
    n = len(providers.o.requests)
    try:
        providers.n.on("both", anthropic_error("overloaded_error", "Overloaded"))
        answer = post("/v1/messages", body)
        assert (answer.status, answer.json()["error"]["type"]) == (503, "overloaded_error") and int(answer.header("retry-after")) > 0
        assert (answer.header("x-scribe-model"), answer.header("x-scribe-attempts")) == ("n/both", "1")
        found = gateway.event(answer.request_id)
        assert (found["provider"], found["attempts"], found["status"]) == ("n", 1, 503)
        providers.n.on("both", anthropic)
        assert post("/v1/messages", body).status == 200  # it rests, but nobody else would understand
        gateway.ctl("upstream", "drain", "n/both")
        answer = post("/v1/messages", body)
        assert answer.status == 503 and "admin" in gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_DETAIL"]
    finally:
        gateway.ctl("upstream", "enable", "n/both")
    assert len(providers.o.requests) == n


def test_a_prompt_that_only_small_targets_understand_is_the_requests_fault(providers, post):
    providers.n.on("outgrown", anthropic_error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"))
    answer = post("/v1/messages", {"model": "outgrown", "max_tokens": 9, "messages": REDACTED})
    assert answer.status == 400
    assert (answer.header("x-scribe-model"), answer.header("x-scribe-attempts")) == ("n/outgrown", "1")
    assert post("/v1/messages", messages("outgrown")).header("x-scribe-model") == "o/outgrown"


def test_another_translation_may_have_words_for_it(providers, post):
    """Of a temperature above 1 chat completions know, and messages do not."""
    body = {"input": turns(("user", "x"), ("assistant", "y")) + HELLO, "temperature": 1.5}
    answer = post("/v1/responses", {"model": "both", **body})
    assert (answer.status, answer.header("x-scribe-model"), answer.header("x-scribe-attempts")) == (200, "o/both", "1")
    answer = post("/v1/responses", {"model": "n-1", **body})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "temperature") and answer.header("x-scribe-attempts") is None


def test_what_is_dropped_is_named(providers, post):
    answer = post("/v1/chat/completions", {"model": "n-1", "messages": HELLO, "seed": 5, "metadata": {"a": "b"}})
    assert answer.status == 200
    assert {name.strip() for name in answer.header("x-scribe-dropped").split(",")} == {"seed", "metadata"}
    answer = post("/v1/chat/completions", {"model": "o-1", "messages": HELLO, "seed": 5, "metadata": {"a": "b"}})
    assert answer.header("x-scribe-dropped") is None and last(providers.o).json["seed"] == 5
