"""The edges of an exchange: slow readers, early and late ends, drains at every stage; and nothing is left behind."""

import ctypes
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from fake import answering, chat_json, chunk_json, error_json, frame, raw, stream, stream_frames
from gateway import SLOWNESS, Gateway, bearer, wait_for
from wire import Closed, request_bytes

MEGABYTE = 1 << 20
GATEWAY_OPTIONS = {
    "gateway": "idle_timeout = 600ms\nwrite_timeout = 4s\n",
    "provider": "first_byte_timeout = 1500ms\nbetween_bytes_timeout = 700ms\n",
}


def chat_bytes(key, model, stream=False, content="x", headers=(), version="HTTP/1.1", **fields):
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream, **fields}
    return request_bytes("POST", "/v1/chat/completions", {**bearer(key), **dict(headers)}, body, version=version)


def kept(data):
    """Exactly these bytes, and the connection stays for another request."""
    return lambda x: x.send(data)


def held_bytes(gateway):
    return gateway.control("GetStatus")["memory"]["bodies_bytes"]


def is_at_rest(gateway):
    """No exchange is open and no body is held."""
    status = gateway.control("GetStatus")
    return status["exchanges"]["n_open"] == 0 and status["memory"]["bodies_bytes"] == 0


def read_slowly(wire, answer, seconds):
    """The whole body at an even pace. Being slow is the point: bytes move all the time, but not many."""
    length = int(answer.header("content-length"))
    n_steps = int(seconds / 0.05)
    step = length // n_steps + 1
    body = b""
    while len(body) < length:
        body += wire.exactly(min(step, length - len(body)))
        time.sleep(0.05)
    return body


# ---- who reads slowly

@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_slow_reader_of_a_large_answer_is_waited_for(gateway, fake, key, connection):
    """The answer is handed over at once and the exchange is over; idle_timeout is not for what is still on its way out."""
    fake.on("large", answering(chat_json("y" * 16 * MEGABYTE)))
    with gateway.connect(receive_buffer=16384) as wire:
        wire.send(chat_bytes(key, "large", headers={"Connection": connection}))
        answer = wire.read_head()
        body = read_slowly(wire, answer, 6 if connection == "close" else 2)
        assert json.loads(body)["choices"][0]["message"]["content"] == "y" * 16 * MEGABYTE
        assert wire.is_closed(timeout=5 * SLOWNESS)


def test_answer_that_nobody_reads_is_charged_and_given_up(gateway, fake, key):
    """What waits for a client is held memory like any other, though its exchange is over; and not for ever."""
    wait_for(lambda: is_at_rest(gateway), what="rest")
    fake.on("unread", answering(chat_json("y" * 16 * MEGABYTE)))
    with gateway.connect(receive_buffer=16384) as wire:
        wire.send(chat_bytes(key, "unread"))
        request_id = wire.read_head().request_id
        gateway.wait_log(SCRIBE_REQUEST=request_id)
        assert held_bytes(gateway) > 4 * MEGABYTE
        wait_for(lambda: is_at_rest(gateway), 8, "the client to be given up")


def test_who_asks_and_never_reads_gets_no_further(gateway):
    """Requests without end, not one answer read: the gateway stops to take them before its memory grows, and gives up."""
    data = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    sent = 0
    with gateway.connect(receive_buffer=16384, timeout=1) as wire:
        try:
            while sent < 64 * MEGABYTE:
                sent += wire.socket.send(data)
        except TimeoutError:
            pass
        assert sent < 40 * MEGABYTE
        wire.socket.settimeout(10 * SLOWNESS)
        before = gateway.control("GetStatus")["counters"].get("write_timeout", 0)
        wait_for(lambda: gateway.control("GetStatus")["counters"].get("write_timeout", 0) > before, 8, "the client to be given up")
    wait_for(lambda: is_at_rest(gateway), what="rest")


def test_pipelining_client_that_reads_late_gets_every_answer(gateway):
    n = 4000
    data = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * n
    with gateway.connect(receive_buffer=16384) as wire:
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        time.sleep(0.5)  # all buffers fill
        for _ in range(n):
            assert wire.read().status == 200
        sender.join()


def test_slow_reader_of_a_stream_is_not_the_providers_fault(gateway, fake, key):
    """While the client has no room the provider is paused: its silence is no stall."""
    words = ["x" * 60_000 + " "] * 200
    fake.on("paused", stream(stream_frames(words)))
    with gateway.connect(receive_buffer=16384) as wire:
        wire.send(chat_bytes(key, "paused", stream=True))
        answer = wire.read_head()
        time.sleep(1.6)  # longer than between_bytes_timeout, shorter than write_timeout
        for _ in wire.each_piece(answer):
            pass
    assert answer.events()[-1] == "[DONE]" and answer.text() == "".join(words)
    assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_stall_after_a_pause_is_still_a_stall(gateway, fake, key):
    words = ["x" * 60_000 + " "] * 200

    def script(x):
        x.start_stream()
        for data in stream_frames(words, finish=None, usage=None, done=False):
            x.chunk(data)
        x.pause(60)
    fake.on("paused-stall", script)
    with gateway.connect(receive_buffer=16384) as wire:
        wire.send(chat_bytes(key, "paused-stall", stream=True))
        answer = wire.read_head()
        time.sleep(1)
        try:
            for _ in wire.each_piece(answer):
                pass
        except Closed:
            pass
    assert "halt" in answer.events()[-1]
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


def test_prompt_of_an_open_stream_is_given_back(gateway, fake, key):
    """Once the provider answers, its request is not needed any more: long streams do not fill max_bodies."""
    go_on = threading.Event()

    def script(x):
        frames = stream_frames()
        x.start_stream()
        x.chunk(frames[0])
        x.hold(go_on, 0.5)
        for data in frames[1:]:
            x.chunk(data)
        x.end_stream()
    fake.on("prompt", script)
    wait_for(lambda: is_at_rest(gateway), what="rest")
    with gateway.connect() as wire:
        wire.send(chat_bytes(key, "prompt", stream=True, content="x" * 2 * MEGABYTE))
        answer = wire.read_head()
        assert held_bytes(gateway) == 0
        go_on.set()
        for _ in wire.each_piece(answer):
            pass
    assert answer.text() == "Hello there"


# ---- what providers do

@pytest.mark.parametrize("status, expected, code", [(401, 502, "provider_credential"), (500, 502, "provider_error"),
                                                    (429, 429, "provider_rate_limit")])
def test_error_whose_body_never_comes_is_mapped_all_the_same(gateway, fake, key, status, expected, code):
    """Above all a provider's 401 never looks like the gateway's own."""
    fake.on(f"halt-{status}", raw(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
                                  '{"error"', then="hold"))
    answer = gateway.chat(key, model=f"halt-{status}")
    assert (answer.status, answer.json()["error"]["code"]) == (expected, code)
    assert answer.header("www-authenticate") is None


def test_switching_protocols_unasked_is_garbage(gateway, fake, key):
    for path in ("/v1/files", "/v1/chat/completions"):
        fake.on("switch", raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"))
        answer = gateway.ask("POST", path, bearer(key), {"model": "switch", "messages": []})
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_garbage"), path


def test_status_that_http_does_not_know_is_not_passed_on(gateway, fake, key):
    fake.on("odd", raw('HTTP/1.1 999 X\r\nContent-Length: 27\r\n\r\n{"error":{"message":"odd"}}'))
    for answer in (gateway.chat(key, model="odd"), gateway.ask("POST", "/v1/files", bearer(key), {"model": "odd"})):
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_garbage")


def test_body_after_a_late_head_has_its_own_time(gateway, fake, key):
    """The head ends the wait for the first byte, also where the answer is only passed on."""
    def script(x):
        x.pause(1.2)
        x.head(200, [("Content-Type", "text/plain"), ("Content-Length", "5")])
        x.pause(0.5)
        x.send("hello")
    fake.on("late-head", script)
    answer = gateway.ask("POST", "/v1/files", bearer(key), {"model": "late-head"})
    assert (answer.status, answer.body) == (200, b"hello")
    assert gateway.event(answer.request_id)["outcome"] == "complete"


@pytest.mark.parametrize("n_events", [0, 3])
def test_stream_of_an_operation_without_an_end_event(gateway, fake, key, n_events):
    """Of streamed embeddings nothing is known: the end of the body is the end."""
    fake.on(f"embed-{n_events}", stream([frame({"embedding": [0.5]})] * n_events))
    answer = gateway.ask("POST", "/v1/embeddings", bearer(key), {"model": f"embed-{n_events}", "input": "x"})
    assert answer.status == 200 and len(answer.events()) == n_events
    assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_close_right_after_done_is_complete(gateway, fake, key):
    fake.on("hasty", stream(stream_frames(), end=False))
    answer = gateway.chat(key, model="hasty", stream=True)
    assert answer.events()[-1] == "[DONE]"
    assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_data_after_done_is_dropped(gateway, fake, key):
    fake.on("talkative", stream(stream_frames() + [frame(chunk_json({"content": "more"}))] * 3))
    with gateway.connect() as wire:
        for _ in range(3):
            answer = gateway.chat(key, model="talkative", stream=True, wire=wire)
            assert answer.events()[-1] == "[DONE]" and answer.text() == "Hello there"


def test_comments_and_then_nothing_is_truncated(gateway, fake, key):
    fake.on("comments", stream([": here\n\n", ": still here\n\n"]))
    answer = gateway.chat(key, model="comments", stream=True, keep_broken=True)
    assert answer.status == 502 and answer.json()["error"]["code"] == "stream_truncated"  # nothing had gone out yet
    assert gateway.event(answer.request_id)["outcome"] == "failed"


def test_end_without_a_finish_reason_is_called_truncated(gateway, fake, key):
    fake.on("no-finish", stream(stream_frames(finish=None)))
    answer = gateway.chat(key, model="no-finish", stream=True, keep_broken=True)
    assert answer.chunks()[-1]["error"]["code"] == "stream_truncated"
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == "upstream_truncated"


def test_answer_before_the_request_is_sent(gateway, fake, key):
    """A provider that refuses a large body without reading it."""
    def serve(x):
        x.answer(error_json("too large"), 413)
        x.reset()
    fake.on("early", serve)
    for _ in range(3):
        answer = gateway.chat(key, model="early", content="x" * 8 * MEGABYTE)
        assert answer.status in (413, 502)
    wait_for(lambda: is_at_rest(gateway), what="rest")


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body_is_passed_on(gateway, fake, key, status):
    fake.on(f"empty-{status}", kept(f"HTTP/1.1 {status} X\r\nETag: a\r\n\r\n"))
    with gateway.connect() as wire:
        for _ in range(2):
            answer = wire.ask("POST", "/v1/files", bearer(key), {"model": f"empty-{status}"})
            assert (answer.status, answer.header("transfer-encoding")) == (status, None)
            assert answer.header("etag") == "a"


def test_trailers_of_a_provider_end_here(gateway, fake, key):
    fake.on("trailers", kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                            "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"))
    answer = gateway.ask("POST", "/v1/files", bearer(key), {"model": "trailers"})
    assert (answer.body, answer.trailers, answer.header("trailer")) == (b"hello", [], None)


def test_chunked_answer_for_a_client_of_http_1_0(gateway, fake, key):
    fake.on("old", kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"))
    answer = gateway.ask("POST", "/v1/files", bearer(key), {"model": "old"}, version="HTTP/1.0")
    assert (answer.body, answer.header("transfer-encoding"), answer.header("connection")) == (b"helloyou", None, "close")


def test_fields_named_by_connection_are_not_passed_on(gateway, fake, key):
    gateway.ask("POST", "/v1/files", {**bearer(key), "Connection": "keep-alive, X-Secret, TE", "X-Secret": "1", "TE": "trailers",
                                      "Trailer": "X", "Keep-Alive": "1", "X-Plain": "2"}, {"model": "hop"})
    names = {name for name, _ in fake.wait("hop").headers}
    assert "x-plain" in names
    assert not names & {"x-secret", "te", "trailer", "keep-alive", "connection", "transfer-encoding", "x-api-key"}
    assert fake.wait("hop").header("authorization") != f"Bearer {key}"


def test_head_is_passed_on_without_a_body(gateway, fake, key):
    """The answer to HEAD tells a length and has no body; the connection to the provider stays usable."""
    old, fake.default = fake.default, kept("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        with Gateway(fake.url, config='[model "default"]\ntarget = fake\n') as other:
            other_key = other.create_key("head")
            with other.connect() as wire:
                answer = wire.ask("HEAD", "/v1/files/1", bearer(other_key))
                assert (answer.status, answer.header("content-length")) == (200, "1000")
                assert wire.ask("GET", "/health").status == 200
    finally:
        fake.default = old


# ---- nothing is left behind

def test_after_a_storm_of_outcomes_nothing_is_held(gateway, fake, key):
    def half(x):
        x.start_stream()
        x.chunk(stream_frames()[0])
        x.reset()
    fake.on("s-half", half)
    fake.on("s-silent", lambda x: x.pause(60))
    fake.on("s-500", answering(error_json("no"), 500))
    fake.on("s-html", answering("<html>", content_type="text/html"))
    fake.on("s-cut", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + "x" * 5000))
    models = ["s-half", "s-silent", "s-500", "s-html", "s-cut", "plain", "echo"]

    def one(n):
        data = chat_bytes(key if n % 11 else "sk-wrong", models[n % 7], stream=n % 2 == 0, content="z" * 50_000)
        with gateway.connect() as wire:
            if n % 5 == 0:
                data = data[:len(data) // 2]  # breaks off inside the body
            try:
                wire.send(data)
                if n % 3 == 0:
                    wire.reset()
                elif n % 5:
                    wire.read(keep_broken=True)
            except (Closed, OSError):
                pass  # which of them are served is not the question here

    def some(start):
        for n in range(start, start + 35):
            one(n)
    threads = [threading.Thread(target=some, args=(at * 35,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: is_at_rest(gateway), 10, "rest")
    wait_for(lambda: sum(w["connections"] for w in gateway.control("GetStatus")["workers"]) == 0, 10, "no connection")
    assert all(ring["n_open"] == 0 for ring in gateway.control("GetStatus")["journal"])


# ---- the end, at every stage

def drain(gateway, times=1):
    for _ in range(times):
        since = gateway.notices.count()
        gateway.terminate()
        if times > 1:
            gateway.notices.wait(0, STOPPING="1")
    return since


def test_drain_waits_for_a_slow_reader(fake):
    """A stream that ends during the drain: its rest is not cut off by the short patience for idle connections."""
    go_on = threading.Event()
    words = ["x" * 60_000 + " "] * 100

    def script(x):
        frames = stream_frames(words)
        x.start_stream()
        x.chunk(frames[0])
        x.hold(go_on)
        for data in frames[1:]:
            x.chunk(data)
        x.end_stream()
    fake.on("drain-slow", script)
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("slow")
        with gateway.connect(receive_buffer=16384) as wire:
            wire.send(chat_bytes(key, "drain-slow", stream=True))
            answer = wire.read_head()
            gateway.terminate()
            gateway.notices.wait(0, STOPPING="1")
            go_on.set()
            for _ in wire.each_piece(answer):
                time.sleep(0.01)
            assert answer.events()[-1] == "[DONE]"
        assert gateway.wait_end() == 0


def test_cut_lets_what_is_answered_go_out(fake):
    fake.on("cut-large", answering(chat_json("y" * 4 * MEGABYTE)))
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("cut")
        with gateway.connect(receive_buffer=16384) as wire:
            wire.send(chat_bytes(key, "cut-large"))
            answer = wire.read_head()
            gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
            gateway.terminate()
            gateway.notices.wait(0, STOPPING="1")
            gateway.terminate()
            for _ in wire.each_piece(answer):
                pass
            assert answer.is_whole
        assert gateway.wait_end() == 0


def test_cut_inside_a_providers_error_is_our_own_503(fake):
    fake.on("cut-401", raw("HTTP/1.1 401 X\r\nContent-Length: 100\r\n\r\n{", then="hold"))
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("cut")
        with gateway.connect() as wire:
            wire.send(chat_bytes(key, "cut-401"))
            fake.wait("cut-401")
            time.sleep(0.2)  # the head of the error has come; nothing tells of it
            gateway.terminate()
            gateway.notices.wait(0, STOPPING="1")
            gateway.terminate()
            answer = wire.read()
            assert (answer.status, answer.json()["error"]["code"]) == (503, "shutting_down")
        assert gateway.wait_end() == 0


def test_drain_while_a_body_arrives(fake):
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("body")
        with gateway.connect() as wire:
            data = chat_bytes(key, "plain", content="x" * 10_000)
            wire.send(data[:5000])
            wait_for(lambda: gateway.control("GetStatus")["exchanges"]["n_open"] == 1, what="the exchange")
            gateway.terminate()
            gateway.notices.wait(0, STOPPING="1")
            wire.send(data[5000:])
            answer = wire.read()
            assert (answer.status, answer.header("connection")) == (200, "close")
        assert gateway.wait_end() == 0


def test_reload_by_verb_during_the_drain_is_refused(fake):
    """A READY=1 after STOPPING=1 would tell the service manager that all is well."""
    fake.on("drain-reload", lambda x: x.pause(60))
    with Gateway(fake.url) as gateway:
        key = gateway.create_key("late")
        with gateway.connect() as wire:
            wire.send(chat_bytes(key, "drain-reload"))
            fake.wait("drain-reload")
            gateway.terminate()
            at, _ = gateway.notices.wait(0, STOPPING="1")
            done = gateway.ctl_run("reload")
            assert done.returncode != 0 and "draining" in done.stderr
            assert gateway.notices.find(at, READY="1") is None
        assert gateway.wait_end() == 0


# ---- waiting for the disk

def stop_thread(tid):
    """Stops one thread of another process, the others go on. Returns a function that lets it go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(0x4206, tid, None, None) != 0:  # PTRACE_SEIZE
        pytest.skip(f"this machine does not let one process trace another: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(0x4207, tid, None, None) == 0  # PTRACE_INTERRUPT
    os.waitpid(tid, 0x40000000)  # __WALL
    return lambda: libc.ptrace(17, tid, None, None)  # PTRACE_DETACH


def stop_sync_thread(gateway):
    for task in Path(f"/proc/{gateway.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "sync":
            return stop_thread(int(task.name))
    raise AssertionError("there is no sync thread")


def ask_and_wait_for_the_record(gateway, fake, key, model, wire, is_stream):
    """The provider has answered; the close record is written, and not yet on disk."""
    before = gateway.control("GetStatus")["counters"]["recorded"]
    wire.send(chat_bytes(key, model, stream=is_stream))
    wait_for(lambda: gateway.control("GetStatus")["counters"]["recorded"] == before + 1, what="the record")


@pytest.mark.parametrize("is_stream", [False, True])
def test_client_gone_while_its_record_goes_to_disk(fake, is_stream):
    """The record is written and says complete; the log does not say otherwise."""
    with Gateway(fake.url, journal="sync = always\n") as gateway:
        key = gateway.create_key("disk")
        let_go = stop_sync_thread(gateway)
        try:
            with gateway.connect() as wire:
                ask_and_wait_for_the_record(gateway, fake, key, "plain", wire, is_stream)
        finally:
            time.sleep(0.2)  # the hang-up arrives; nothing tells of it
            let_go()
        event = wait_for(lambda: gateway.usage(model="plain"), what="the event")
        assert [row["outcome"] for row in event] == ["complete"]
        line = gateway.wait_log(SCRIBE_MODEL="plain")
        assert (line["SCRIBE_OUTCOME"], line.get("SCRIBE_REASON")) == ("complete", None)
        wait_for(lambda: is_at_rest(gateway), what="rest")


@pytest.mark.parametrize("is_stream", [False, True])
def test_cut_while_a_record_goes_to_disk(fake, is_stream):
    """The answer is complete and so recorded: once the disk has it, the client gets it, also during the cut."""
    with Gateway(fake.url, journal="sync = always\n") as gateway:
        key = gateway.create_key("disk")
        let_go = stop_sync_thread(gateway)
        try:
            with gateway.connect() as wire:
                ask_and_wait_for_the_record(gateway, fake, key, "plain", wire, is_stream)
                gateway.terminate()
                gateway.notices.wait(0, STOPPING="1")
                gateway.terminate()
                wait_for(lambda: any("cut off" in line["message"] for line in gateway.log()), what="the cut")
                time.sleep(0.2)  # it reaches the worker
                let_go()
                answer = wire.read()
                assert answer.status == 200 and answer.text() == "Hello there"
        finally:
            let_go()
        assert gateway.wait_end() == 0


def test_disk_that_never_answers_does_not_hold_up_the_end_of_others(fake):
    """Without a sync thread that turns nothing can be delivered; the process ends as soon as it does."""
    with Gateway(fake.url, journal="sync = always\n") as gateway:
        key = gateway.create_key("disk")
        let_go = stop_sync_thread(gateway)
        try:
            with gateway.connect() as wire:
                ask_and_wait_for_the_record(gateway, fake, key, "plain", wire, False)
                gateway.terminate()
                gateway.notices.wait(0, STOPPING="1")
                gateway.terminate()
                time.sleep(3.5)  # longer than the cut may take
                let_go()
        finally:
            let_go()
        assert gateway.wait_end() == 0
        gateway.start()
        assert [row["outcome"] for row in wait_for(lambda: gateway.usage(model="plain"), what="the event")] == ["complete"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_disk_that_does_not_answer_is_told_to_the_client(fake, is_stream):
    """With sync = always nobody gets a last byte whose record is not on disk; but an error, in time."""
    with Gateway(fake.url, journal="sync = always\n") as gateway:
        key = gateway.create_key("disk")
        let_go = stop_sync_thread(gateway)
        try:
            with gateway.connect() as wire:
                start = time.monotonic()
                wire.send(chat_bytes(key, "plain", stream=is_stream))
                answer = wire.read(keep_broken=True)
                assert 8 < time.monotonic() - start < 15 * SLOWNESS
        finally:
            let_go()
        if is_stream and answer.status == 200:
            assert not answer.is_whole and "[DONE]" not in answer.events() and '"journal_sync"' in answer.events()[-1]
        else:
            assert (answer.status, answer.json()["error"]["code"]) == (503, "journal_sync")
        assert gateway.wait_log(SCRIBE_REASON="journal_sync")["level"] == "err"
        assert gateway.chat(key).status == 200
        wait_for(lambda: is_at_rest(gateway), what="rest")


# ---- what the log says

@pytest.mark.parametrize("when_full, status", [("count", 200), ("refuse", 503)])
def test_full_journal_is_told_loudly_and_once(fake, when_full, status):
    with Gateway(fake.url, ledger="own", workers=1, start=False, journal=f"when_full = {when_full}\n") as gateway:
        gateway.write_config(gateway.main_text.replace("size = 1M", "size = 64K"))
        gateway.start()
        key = gateway.create_key("full")
        gateway.stop_ledger(signal.SIGKILL)
        with gateway.connect() as wire:
            answers = [gateway.chat(key, wire=wire) for _ in range(400)]
        assert answers[-1].status == status
        lines = wait_for(lambda: [line for line in gateway.log(level="err") if "is full" in line["message"]], what="the line")
        assert len(lines) == 1 and when_full in lines[0]["message"]
        if when_full == "count":
            assert "journal" in gateway.wait_log(SCRIBE_REQUEST=answers[-1].request_id)["SCRIBE_DETAIL"]
            counted = gateway.control("GetStatus")["counters"]
            assert counted["unrecorded"] > 0 and counted["unrecorded"] + counted["recorded"] == 400
        gateway.start_ledger()
        wait_for(lambda: gateway.chat(key).status == 200, what="room in the journal")


def test_operation_is_named_only_where_there_is_one(gateway):
    answer = gateway.ask("GET", "/nowhere")
    line = gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
    assert line.get("SCRIBE_OPERATION") != "chat"
