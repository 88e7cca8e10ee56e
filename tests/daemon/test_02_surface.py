"""The LLM surface through the practice provider and through a fake one: every route, and the clients of the seed."""

import json
import subprocess

import pytest
import requests

from fake import chat_json
from gateway import PROVIDER_SECRET, Gateway, bearer

GATEWAY_OPTIONS = {"config": '[model "default"]\ntarget = echo\n[model "alias"]\ntarget = fake/real-name\n'}


def test_chat_completion_through_echo(gateway, key):
    answer = gateway.chat(key, content="Hello there, echo")
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    found = answer.json()
    assert found["object"] == "chat.completion"
    assert found["model"] == "echo"
    assert "Hello there, echo" in found["choices"][0]["message"]["content"]
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]


def test_usage_reaches_the_ledger_as_the_provider_said(gateway, key):
    answer = gateway.chat(key, content="one two three")
    event = gateway.event(answer.request_id)
    usage = answer.json()["usage"]
    assert event["input_tokens"] == usage["prompt_tokens"]
    assert event["output_tokens"] == usage["completion_tokens"]
    assert (event["certainty"], event["outcome"], event["status"]) == ("measured", "complete", 200)
    assert (event["key"], event["model"], event["provider"], event["operation"]) == ("tester", "echo", "echo", "chat")


def test_stream_through_echo_comes_word_by_word(gateway, key):
    answer = gateway.chat(key, content="one two three", stream=True)
    assert answer.header("content-type").startswith("text/event-stream")
    assert answer.events()[-1] == "[DONE]"
    assert "one two three" in answer.text()
    chunks = answer.chunks()
    assert len([c for c in chunks if c["choices"] and c["choices"][0]["delta"].get("content")]) >= 3
    assert len({c["id"] for c in chunks}) == 1
    assert all("usage" not in c or c["usage"] is None for c in chunks), "usage was not asked for"
    assert gateway.event(answer.request_id)["certainty"] == "measured"


def test_stream_shows_usage_to_those_who_ask(gateway, key):
    answer = gateway.chat(key, content="one two", stream=True, stream_options={"include_usage": True})
    last = answer.chunks()[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == gateway.event(answer.request_id)["output_tokens"]


def test_completions(gateway, key):
    answer = gateway.ask("POST", "/v1/completions", bearer(key), {"model": "echo", "prompt": "say this"})
    assert answer.status == 200
    assert answer.json()["object"] == "text_completion"
    assert "say this" in answer.json()["choices"][0]["text"]
    assert gateway.event(answer.request_id)["operation"] == "text_completion"


def test_embeddings(gateway, key):
    answer = gateway.ask("POST", "/v1/embeddings", bearer(key), {"model": "echo", "input": "some words"})
    assert answer.status == 200
    found = answer.json()
    assert found["object"] == "list" and isinstance(found["data"][0]["embedding"][0], float)
    event = gateway.event(answer.request_id)
    assert event["operation"] == "embeddings"
    assert event["input_tokens"] == found["usage"]["prompt_tokens"]


def test_models_lists_what_the_configuration_names(gateway, key):
    found = gateway.ask("GET", "/v1/models", bearer(key)).json()
    assert found["object"] == "list"
    names = [model["id"] for model in found["data"]]
    assert {"echo", "default", "alias"} <= set(names)
    assert not [name for name in names if name.endswith("*")], "a pattern is no model that one could ask for"
    for model in found["data"]:
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]


def test_one_model(gateway, key):
    assert gateway.ask("GET", "/v1/models/echo", bearer(key)).json()["id"] == "echo"


def test_models_need_a_key(gateway):
    assert gateway.ask("GET", "/v1/models").status == 401


def test_alias_is_rewritten_and_all_else_is_passed_byte_for_byte(gateway, fake, key):
    body = b'{ "messages" : [ {"role":"user","content":"h\\u00e9 \\ud83d\\ude00"} ],\n  "model" : "alias" , "x":1.10, "y":[1e3,{}]}'
    answer = gateway.ask("POST", "/v1/chat/completions", {**bearer(key), "Content-Type": "application/json"}, body)
    assert answer.status == 200
    sent = fake.wait("real-name")
    assert sent.body == body.replace(b'"alias"', b'"real-name"')
    event = gateway.event(answer.request_id)
    assert (event["model"], event["upstream_model"]) == ("alias", "real-name")


def test_answer_is_passed_byte_for_byte(gateway, fake, key):
    body = json.dumps(chat_json("ünï"), ensure_ascii=False, indent=3).encode() + b"\n \n"
    fake.on("bytes", lambda x: x.answer(body))
    assert gateway.chat(key, model="bytes").body == body


def test_provider_gets_its_own_credential_and_never_the_clients(gateway, fake, key):
    gateway.ask("POST", "/v1/chat/completions", {**bearer(key), "X-Custom": "yes", "Cookie": "c=1"},
                {"model": "cred", "messages": []})
    sent = fake.wait("cred")
    assert sent.header("authorization") == f"Bearer {PROVIDER_SECRET}"
    assert key not in sent.raw_head.decode("latin-1")
    assert sent.target == "/v1/chat/completions"
    assert sent.header("host") == f"127.0.0.1:{fake.port}"


def test_x_api_key_is_taken_too(gateway, fake, key):
    answer = gateway.ask("POST", "/v1/chat/completions", {"x-api-key": key}, {"model": "xkey", "messages": []})
    assert answer.status == 200
    assert key not in fake.wait("xkey").raw_head.decode("latin-1")


def test_other_v1_paths_are_passed_through_to_the_default_provider(fake):
    found = {"id": "file-1", "object": "file"}
    fake.on(None, lambda x: x.answer(found, headers=[("X-Custom", "yes")]))
    with Gateway(fake.url, config='[model "default"]\ntarget = fake\n') as gateway:
        key = gateway.create_key("passer")
        got = gateway.ask("GET", "/v1/files/file-1?limit=2", bearer(key))
        assert got.status == 200 and got.json() == found and got.header("x-custom") == "yes"
        assert fake.wait(lambda x: x.target == "/v1/files/file-1?limit=2").method == "GET"
        posted = gateway.ask("POST", "/v1/moderations", bearer(key), {"model": "pass-on", "input": "text"})
        assert posted.status == 200
        assert fake.wait("pass-on").target == "/v1/moderations"
        for answer in (got, posted):
            event = gateway.event(answer.request_id)
            assert (event["status"], event["outcome"], event["provider"]) == (200, "complete", "fake")
        n = len(fake.requests)
        assert gateway.ask("GET", "/v1/files").status == 401
        assert len(fake.requests) == n


def test_include_usage_is_always_asked_of_the_provider(gateway, fake, key):
    answer = gateway.chat(key, model="asked", stream=True)
    sent = fake.wait("asked")
    assert sent.json["stream_options"]["include_usage"] is True
    assert all(chunk["choices"] for chunk in answer.chunks()), "the usage chunk was not asked for by the client"
    assert gateway.event(answer.request_id)["output_tokens"] == 7


def test_include_usage_joins_other_stream_options(gateway, fake, key):
    gateway.chat(key, model="joined", stream=True, stream_options={"include_obfuscation": False})
    assert fake.wait("joined").json["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    gateway.chat(key, model="refused", stream=True, stream_options={"include_usage": False})
    assert fake.wait("refused").json["stream_options"] == {"include_usage": True}


def test_upstream_connections_are_reused(gateway, fake, key):
    for _ in range(10):
        assert gateway.chat(key, model="reuse").status == 200
    assert len({x.number for x in fake.of("reuse")}) <= gateway.workers


# ---- the seed's examples, as they stand there (address and key replaced)

def test_seed_python_example(gateway, key):
    url = f"{gateway.url}/v1/chat"
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {key}"
    }
    data = {
        "messages": [
            {"role": "user", "content": "你好"}
        ],
        "model": "moonshot-v1-8k"
    }

    response = requests.post(url, headers=headers, json=data)
    found = response.json()
    assert response.status_code == 200
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "Hello there"}
    assert found["usage"] == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def test_seed_curl_example_without_model_uses_default(gateway, key):
    command = rf"""curl -sS --noproxy '*' -X POST {gateway.url}/v1/chat \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer {key}" \
  -d '{{"messages": [{{"role": "user", "content": "你好"}}]}}'"""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert "你好" in found["choices"][0]["message"]["content"]
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(found["usage"])


@pytest.mark.parametrize("headers, text", [
    ({}, "Unauthorized: No API key provided"),
    ({"Authorization": "Basic abc"}, "Unauthorized: No API key provided"),
    ({"Authorization": "Bearer sk-" + "x" * 32}, "Unauthorized: Invalid API key"),
])
def test_seed_errors_are_plain_text_in_an_object(gateway, headers, text):
    answer = gateway.ask("POST", "/v1/chat", headers, {"messages": []})
    assert answer.status == 401
    assert answer.json() == {"error": text}


def test_v1_chat_streams_too(gateway, key):
    answer = gateway.chat(key, model=None, path="/v1/chat", content="a b c", stream=True)
    assert answer.events()[-1] == "[DONE]" and "a b c" in answer.text()
