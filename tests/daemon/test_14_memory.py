"""Memory of the gateway process alone: at rest, with a thousand open streams, and after much work."""

import os
import resource
import threading

import pytest

from fake import chat_json, stream_frames
from gateway import Gateway, bearer, is_instrumented, wait_for

N_STREAMS = 1000


@pytest.mark.seconds(150)
def test_thousand_open_streams(fake, record_property):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] < 4 * N_STREAMS:
        pytest.skip(f"only {limit[1]} descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit[1], 16 * N_STREAMS), limit[1]))
    threading.stack_size(256 * 1024)
    go_on = threading.Event()

    def script(x):
        frames = stream_frames()
        x.start_stream()
        x.chunk(frames[0])
        x.chunk(frames[1])
        assert go_on.wait(120)
        for data in frames[2:]:
            x.chunk(data)
        x.end_stream()
    fake.on("held", script)
    with Gateway(fake.url, workers=2, dropins={"90-journal.conf": "[journal]\nsize = 16M\n"}) as gateway:
        key = gateway.create_key("many")
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        rest = gateway.memory()
        wires, answers = [], []
        for _ in range(N_STREAMS):
            wire = gateway.connect(timeout=60)
            wire.request("POST", "/v1/chat/completions", bearer(key),
                         {"model": "held", "stream": True, "messages": [{"role": "user", "content": "x" * 1000}]})
            wires.append(wire)
        for wire in wires:
            answer = wire.read_head()
            pieces = wire.each_piece(answer)
            while b"Hello" not in answer.body:
                next(pieces)
            answers.append((answer, pieces))
        full = gateway.memory()
        go_on.set()
        for answer, pieces in answers:
            for _ in pieces:
                pass
            assert answer.events()[-1] == "[DONE]"
        for wire in wires:
            wire.close()
        record_property("figure", f"{gateway.workers} workers: at rest RSS {rest[0]} KiB, PSS {rest[1]} KiB; with {N_STREAMS} open "
                        f"streams RSS {full[0]} KiB, PSS {full[1]} KiB: {(full[0] - rest[0]) / N_STREAMS:.1f} KiB each")
        wait_for(lambda: len(gateway.usage(model="held")) == N_STREAMS, 20, "an event for each stream", pause=0.2)
        if not is_instrumented():
            assert rest[0] < 40_000
            assert (full[0] - rest[0]) / N_STREAMS < 64


def test_large_bodies_are_given_back(fake):
    """What a hundred large requests took is not kept for ever."""
    if is_instrumented():
        pytest.skip("a sanitizer keeps freed memory on purpose")
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("large")
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        fake.on("large", lambda x: x.answer(chat_json("y" * 1_000_000)))
        for _ in range(10):
            assert gateway.chat(key, model="large", content="x" * 4_000_000).status == 200
        first = gateway.memory()[0]
        for _ in range(50):
            assert gateway.chat(key, model="large", content="x" * 4_000_000).status == 200
        assert gateway.memory()[0] < first + 20_000


def test_many_requests_do_not_grow_the_process(gateway, key, fake):
    if is_instrumented():
        pytest.skip("a sanitizer keeps freed memory on purpose")

    def some(n):
        with gateway.connect() as wire:
            for at in range(n):
                assert gateway.chat(key, model="plain", stream=at % 2 == 0, wire=wire).status == 200
    some(500)
    before = gateway.memory()[0]
    some(2000)
    assert gateway.memory()[0] < before + 4_000


def test_descriptors_of_the_parent_are_not_inherited(gateway):
    """The ledger child must not keep clients' connections alive."""
    ledger = wait_for(gateway.ledger_pid, what="the ledger")

    def sockets(pid):
        links = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
        return {os.readlink(link) for link in links if os.path.islink(link)}
    shared = {target for target in sockets(ledger) & sockets(gateway.pid) if target.startswith("socket:")}
    assert not shared
