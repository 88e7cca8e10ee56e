"""Clients that leave: what the provider is told, and what is counted. Over-billing and under-billing both ways."""

import threading
import time

import pytest

from fake import chat_json, chunk_json, frame, stream_frames
from gateway import SLOWNESS, Gateway, bearer, wait_for
from providers import Providers, message_frames

MODELS = """
[model "cancel"]
target = a
[model "drain"]
target = a
on_disconnect = drain
drain_time = 3s
drain_tokens = 200
[model "drain-messages"]
target = n
on_disconnect = drain
drain_time = 3s
"""


@pytest.fixture(scope="module")
def providers():
    with Providers("a", "n", dialects={"n": "anthropic"}) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(providers):
    with Gateway(config=providers.config(MODELS), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    return gateway.create_key("tester")


def leave_after_first(gateway, key, model, how="close", path="/v1/chat/completions", **more):
    wire = gateway.connect()
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True, **more}
    wire.send(wire_request(path, key, body))
    response = wire.read_head()
    wire.until(b"Hello")
    getattr(wire, how)()
    return response.request_id


def nobody_is_there(gateway):
    """The gateway has seen that the client left, and the exchange goes on."""
    def seen():
        now = gateway.control("GetStatus")["workers"]
        return sum(w["connections"] for w in now) == 0 and sum(w["exchanges"] for w in now) == 1
    wait_for(seen, 5, "the client gone")


def wire_request(path, key, body):
    from wire import request_bytes
    return request_bytes("POST", path, bearer(key), body)


def two_parts(go_on, frames, n_first=2):
    """The first events at once, the others when the client has left."""
    def script(x):
        x.start_stream()
        for data in frames[:n_first]:
            x.chunk(data)
        x.hold(go_on)
        for data in frames[n_first:]:
            x.chunk(data)
        x.end_stream()
    return script


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_drain_reads_on_and_counts_what_the_provider_counts(gateway, providers, key, how):
    left = threading.Event()
    providers.a.on("drain", two_parts(left, stream_frames(), 2))
    request_id = leave_after_first(gateway, key, "drain", how)
    nobody_is_there(gateway)
    left.set()
    event = gateway.event(request_id)
    assert (event["outcome"], event["certainty"]) == ("client_gone", "measured")
    assert (event["input_tokens"], event["output_tokens"]) == (11, 7)


def test_drain_of_messages(gateway, providers, key):
    left = threading.Event()
    providers.n.on("drain-messages", two_parts(left, message_frames(), 4))
    request_id = leave_after_first(gateway, key, "drain-messages", path="/v1/messages", max_tokens=10)
    left.set()
    event = gateway.event(request_id)
    assert (event["outcome"], event["certainty"]) == ("client_gone", "measured")
    assert (event["input_tokens"], event["cached_tokens"], event["output_tokens"]) == (33, 20, 6)


def test_drain_stops_after_its_time(gateway, providers, key):
    never = threading.Event()
    providers.a.on("drain", two_parts(never, stream_frames(), 2))
    began = time.monotonic()
    request_id = leave_after_first(gateway, key, "drain")
    event = gateway.event(request_id, timeout=10 * SLOWNESS)
    assert 2.5 < time.monotonic() - began
    assert (event["outcome"], event["certainty"]) == ("client_gone", "estimated")
    assert providers.a.of("drain")[-1].gone.wait(5), "the provider's request goes on"


def test_drain_stops_after_its_tokens(gateway, providers, key):
    left = threading.Event()
    frames = [frame(chunk_json({"content": "Hello"}))] + [frame(chunk_json({"content": "word " * 20}))] * 200

    def script(x):
        x.start_stream()
        x.chunk(frames[0])
        x.hold(left)
        for data in frames[1:]:
            x.chunk(data)
            x.pause(0.01)
        x.end_stream()
    providers.a.on("drain", script)
    request_id = leave_after_first(gateway, key, "drain")
    left.set()
    event = gateway.event(request_id)
    assert event["outcome"] == "client_gone" and event["certainty"] == "estimated"
    assert 200 <= event["output_tokens"] < 400, event
    assert providers.a.of("drain")[-1].gone.wait(5)


def test_cancel_ends_the_providers_request_and_counts_what_was_delivered(gateway, providers, key):
    never = threading.Event()
    providers.a.on("cancel", two_parts(never, stream_frames(("Hello there, this was delivered",)), 2))
    request_id = leave_after_first(gateway, key, "cancel")
    assert providers.a.of("cancel")[-1].gone.wait(5), "the provider's request goes on"
    event = gateway.event(request_id)
    assert (event["outcome"], event["certainty"]) == ("client_gone", "estimated")
    assert 0 < event["output_tokens"] < 20 and event["input_tokens"] > 0


def test_figures_that_came_before_the_client_left_count(gateway, providers, key):
    never = threading.Event()
    frames = [frame(chunk_json({"content": "Hello"}, usage={"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101})),
              frame(chunk_json({"content": " there"}))]
    providers.a.on("cancel", two_parts(never, frames, 2))
    request_id = leave_after_first(gateway, key, "cancel")
    event = gateway.event(request_id)
    assert (event["certainty"], event["input_tokens"]) == ("partial", 100)


@pytest.mark.parametrize("model, certainty", [("drain", "measured"), ("cancel", "estimated")])
def test_a_whole_answer_that_nobody_waits_for(gateway, providers, key, model, certainty):
    left = threading.Event()

    def script(x):
        x.head(200, [("Content-Type", "application/json"), ("Content-Length", len(body))])
        x.send(body[:10])
        x.hold(left)
        x.send(body[10:])
    import json
    body = json.dumps(chat_json())
    providers.a.on(model, script)
    wire = gateway.connect()
    wire.send(wire_request("/v1/chat/completions", key, {"model": model, "messages": [{"role": "user", "content": "hi"}]}))
    providers.a.wait(lambda x: x.model == model and not x.is_stream)
    wire.close()
    if model == "drain":
        nobody_is_there(gateway)
    else:
        assert providers.a.of(model)[-1].gone.wait(5), "the provider's request goes on"
    left.set()
    event = wait_for(lambda: [e for e in gateway.usage(model=model) if not e["stream"]], 10, "the event", pause=0.05)[0]
    assert (event["outcome"], event["certainty"], event["status"]) == ("client_gone", certainty, 499)
    if certainty == "measured":
        assert (event["input_tokens"], event["output_tokens"]) == (11, 7)
    assert event["attempts"] == 1


def test_a_gateway_that_stops_does_not_wait_for_drained_answers(providers):
    never = threading.Event()
    providers.a.on("drain", two_parts(never, stream_frames(), 2))
    with Gateway(config=providers.config(MODELS.replace("drain_time = 3s", "drain_time = 1h")), workers=1) as gateway:
        key = gateway.create_key("tester")
        leave_after_first(gateway, key, "drain")
        began = time.monotonic()
    assert time.monotonic() - began < 20 * SLOWNESS
