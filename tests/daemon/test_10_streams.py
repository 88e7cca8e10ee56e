"""Streams in time: a client that hangs up ends the request at the provider at once; chunks pass as they come."""

import statistics
import threading
import time

import pytest

from fake import frame, chunk_json, stream, stream_frames
from gateway import SLOWNESS, Gateway, bearer, wait_for

AT_ONCE = 0.1 * SLOWNESS


def ask_stream(gateway, key, model, wire, is_stream=True):
    wire.request("POST", "/v1/chat/completions", bearer(key),
                 {"model": model, "stream": is_stream, "messages": [{"role": "user", "content": "x"}]})


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_hang_up_before_the_first_byte_ends_the_upstream_request(gateway, fake, key, how, is_stream):
    model = f"never-{how}-{is_stream}"
    fake.on(model, lambda x: x.pause(60))
    wire = gateway.connect()
    ask_stream(gateway, key, model, wire, is_stream)
    x = fake.wait(model)
    at = time.monotonic()
    getattr(wire, how)()
    assert x.gone.wait(10), "the provider works on, and bills it"
    assert x.gone_at - at < AT_ONCE
    wire.close()
    event = wait_for(lambda: gateway.usage(model=model), what="the event")
    assert [row["outcome"] for row in event] == ["client_gone"]


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
def test_hang_up_in_mid_stream_ends_the_upstream_request(gateway, fake, key, how):
    model = f"mid-{how}"

    def script(x):
        x.start_stream()
        for data in stream_frames(("Hello", " there"), finish=None, usage=None, done=False):
            x.chunk(data)
        x.pause(60)
    fake.on(model, script)
    wire = gateway.connect()
    ask_stream(gateway, key, model, wire)
    answer = wire.read_head()
    pieces = wire.each_piece(answer)
    while b" there" not in answer.body:
        next(pieces)
    x = fake.wait(model)
    at = time.monotonic()
    getattr(wire, how)()
    assert x.gone.wait(10)
    assert x.gone_at - at < AT_ONCE
    wire.close()
    event = gateway.event(answer.request_id)
    assert event["outcome"] == "client_gone" and event["output_tokens"] > 0
    assert event["certainty"] in ("partial", "estimated")


def test_hang_up_while_the_gateway_connects(gateway, fake, key):
    """A provider that does not accept: the connection attempt is given up as well, without a trace."""
    before = gateway.n_descriptors()
    wires = [gateway.connect() for _ in range(10)]
    fake.on("unanswered", lambda x: x.pause(60))
    for wire in wires:
        ask_stream(gateway, key, "unanswered", wire)
        wire.close()
    wait_for(lambda: gateway.n_descriptors() <= before + 2, what="descriptors to be closed")
    assert gateway.chat(key).status == 200


def test_hang_up_after_the_last_byte_is_no_hang_up(gateway, fake, key):
    wire = gateway.connect()
    answer = gateway.chat(key, model="fine", stream=True, wire=wire)
    wire.close()
    assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_thousand_hang_ups_leave_nothing(gateway, fake, key):
    fake.on("leak", lambda x: x.pause(60))
    before = gateway.n_descriptors()
    n = 200
    wires = []
    for at in range(n):
        wire = gateway.connect()
        ask_stream(gateway, key, "leak", wire)
        wires.append(wire)
        if len(wires) == 20:
            fake.wait("leak", at + 1)
            for one in wires:
                one.reset()
            wires = []
    wait_for(lambda: all(x.gone.is_set() for x in fake.of("leak")), what="the provider to be left alone")
    wait_for(lambda: gateway.n_descriptors() <= before + 4, what="descriptors to be closed")


# ---- chunk by chunk

def test_each_chunk_passes_at_once(gateway, fake, key, record_property):
    """At concurrency 1 a flat 40 ms per chunk would be Nagle waiting for a delayed acknowledgement."""
    sent = []
    words = [f"w{n} " for n in range(30)]

    def script(x):
        x.start_stream()
        for data in stream_frames(words):
            x.pause(0.02)
            sent.append(time.monotonic())
            x.chunk(data)
        x.end_stream()
    fake.on("drip", script)
    delays, first = [], []
    for _ in range(3):
        sent.clear()
        with gateway.connect() as wire:
            ask_stream(gateway, key, "drip", wire)
            answer = wire.read_head()
            arrived = [(stamp, piece) for stamp, piece in wire.each_piece(answer)]
        for at, word in enumerate(words):
            stamp = next(stamp for stamp, piece in arrived if f'"{word}"'.encode() in piece)
            delays.append(stamp - sent[at + 1])
        first.append(delays[-len(words)])
        assert answer.text() == "".join(words)
    median, worst = statistics.median(delays) * 1000, max(delays) * 1000
    record_property("figure", f"added per chunk: median {median:.2f} ms, worst {worst:.2f} ms; first chunk {max(first) * 1000:.2f} ms")
    assert median < 5 * SLOWNESS
    assert sorted(delays)[int(len(delays) * 0.9)] * 1000 < 10 * SLOWNESS


def test_echo_streams_at_the_pace_that_is_set(fake):
    config = '[provider "slow"]\ndialect = echo\npace = 50ms\n[model "slow"]\ntarget = slow\n'
    with Gateway(fake.url, config=config) as gateway:
        key = gateway.create_key("pace")
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        with gateway.connect() as wire:
            wire.request("POST", "/v1/chat/completions", bearer(key),
                         {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "a b c d e f g h"}]})
            answer = wire.read_head()
            stamps = [stamp for stamp, piece in wire.each_piece(answer) if b'"content"' in piece]
        assert len(stamps) >= 8, "the words came in fewer pieces"
        assert 0.3 < stamps[-1] - stamps[0] < 2 * SLOWNESS


def test_streams_do_not_wait_for_each_other(gateway, fake, key):
    """Fifty at once, all slow: together they take about as long as one."""
    fake.on("many", stream(stream_frames([f"{n} " for n in range(10)]), pace=0.05))
    answers = []

    def one():
        answers.append(gateway.chat(key, model="many", stream=True))
    threads = [threading.Thread(target=one) for _ in range(50)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50 and all(answer.events()[-1] == "[DONE]" for answer in answers)
    assert time.monotonic() - start < 5 * SLOWNESS


def test_error_event_has_a_form_of_its_own_on_v1_chat(gateway, fake, key):
    fake.on("simple", stream([frame(chunk_json({"content": "Hi"}))], end=False))
    answer = gateway.chat(key, model="simple", path="/v1/chat", stream=True, keep_broken=True)
    assert '"error":' in answer.events()[-1].replace('" :', '":')
    assert "[DONE]" not in answer.events()
