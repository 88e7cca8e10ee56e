"""What providers have been seen to send, and worse. The client gets what it can use, the record says what happened,
and no answer that broke off is passed off as a finished one."""

import json

import pytest

from fake import USAGE, answering, chat_json, chunk_json, error_json, frame, raw, stream, stream_frames, usage_chunk
from gateway import wait_for

GATEWAY_OPTIONS = {"provider": "first_byte_timeout = 3s\nbetween_bytes_timeout = 1s\nconnect_timeout = 2s\n"}


def is_in_band_error(answer):
    """The last event of a broken stream is an error object that an SDK raises on, and [DONE] does not follow."""
    events = answer.events()
    return "[DONE]" not in events and "message" in json.loads(events[-1])["error"]


def tokens(event):
    return event["input_tokens"], event["output_tokens"]


# ---- usage in odd places

MOONSHOT = [frame(chunk_json({"content": "Hi"})),
            frame({**chunk_json(finish="stop"), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                                                             "usage": {**USAGE, "cached_tokens": 4}}]}),
            frame("[DONE]")]
DEEPSEEK_USAGE = {**USAGE, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 3}
DETAILED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2}}


@pytest.mark.parametrize("name, frames, cached", [
    ("plain", stream_frames(), 0),
    ("in the finish chunk's choice", MOONSHOT, 4),
    ("at the top and in the choice: counted once", MOONSHOT[:-1] + [frame(usage_chunk()), frame("[DONE]")], None),
    ("in the finish chunk itself", [frame(chunk_json({"content": "Hi"})), frame(chunk_json(finish="stop", usage=USAGE)),
                                    frame("[DONE]")], 0),
    ("null until the end", [frame({**chunk_json({"content": "Hi"}), "usage": None}),
                            frame({**chunk_json(finish="stop"), "usage": None}), frame(usage_chunk()), frame("[DONE]")], 0),
    ("growing in each chunk", [frame(chunk_json({"content": "Hi"}, usage={**USAGE, "completion_tokens": 1})),
                               frame(chunk_json(finish="stop", usage={**USAGE, "completion_tokens": 5})),
                               frame(usage_chunk()), frame("[DONE]")], 0),
    ("sent twice", stream_frames(done=False) + [frame(usage_chunk()), frame("[DONE]")], 0),
    ("deepseek's cache names", stream_frames(usage=DEEPSEEK_USAGE), 8),
    ("openai's details", stream_frames(usage=DETAILED), 5),
])
def test_stream_usage_is_found(gateway, fake, key, name, frames, cached):
    model = "u-" + name.replace(" ", "-").replace(":", "").replace("'", "")
    fake.on(model, stream(frames))
    answer = gateway.chat(key, model=model, stream=True, stream_options={"include_usage": True})
    assert answer.body == "".join(frames).encode()
    event = gateway.event(answer.request_id)
    assert (tokens(event), event["certainty"], event["outcome"]) == ((11, 7), "measured", "complete")
    if cached is not None:
        assert event["cached_tokens"] == cached


@pytest.mark.parametrize("usage, expected", [
    (DETAILED, {"cached_tokens": 5, "reasoning_tokens": 2}),
    (DEEPSEEK_USAGE, {"cached_tokens": 8}),
    ({**USAGE, "cached_tokens": 3}, {"cached_tokens": 3}),
])
def test_json_usage_details(gateway, fake, key, usage, expected):
    fake.on("details", answering(chat_json(usage=usage)))
    event = gateway.event(gateway.chat(key, model="details").request_id)
    assert tokens(event) == (11, 7)
    assert {k: event[k] for k in expected} == expected


def test_usage_zero_is_a_measured_zero(gateway, fake, key):
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    fake.on("zero", answering(chat_json(usage=zero)))
    event = gateway.event(gateway.chat(key, model="zero").request_id)
    assert (tokens(event), event["certainty"]) == ((0, 0), "measured")


def test_usage_absent_is_estimated(gateway, fake, key):
    fake.on("none", answering(chat_json("four words of text", usage=None)))
    event = gateway.event(gateway.chat(key, model="none", content="a question").request_id)
    assert event["certainty"] == "estimated" and event["output_tokens"] > 0 and event["input_tokens"] > 0


def test_stream_without_usage_is_complete_and_estimated(gateway, fake, key):
    fake.on("stream-none", stream(stream_frames(usage=None)))
    answer = gateway.chat(key, model="stream-none", stream=True)
    event = gateway.event(answer.request_id)
    assert (event["certainty"], event["outcome"]) == ("estimated", "complete")
    assert event["output_tokens"] > 0


@pytest.mark.parametrize("usage", [{"prompt_tokens": -4, "completion_tokens": "x"}, [], "lots", {"prompt_tokens": 1e300}, 7])
def test_nonsense_for_usage_harms_nobody(gateway, fake, key, usage):
    fake.on("nonsense", answering(chat_json(usage=usage)))
    answer = gateway.chat(key, model="nonsense")
    assert answer.status == 200
    assert gateway.event(answer.request_id)["outcome"] == "complete"


# ---- odd forms of good answers

def test_empty_lines_before_json(gateway, fake, key):
    body = json.dumps(chat_json()).encode()
    fake.on("blank", answering(b"\n\n \r\n\n" + body))
    answer = gateway.chat(key, model="blank")
    assert answer.status == 200 and answer.json() == chat_json()
    assert gateway.event(answer.request_id)["certainty"] == "measured"


def test_empty_lines_while_the_provider_queues(gateway, fake, key):
    """They keep the connection alive, slower than the answer may take to begin, and the JSON comes at last."""
    def script(x):
        body = json.dumps(chat_json())
        x.head(200, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
        for _ in range(6):
            x.chunk("\n")
            x.pause(0.3)
        x.chunk(body)
        x.end_stream()
    fake.on("queueing", script)
    assert gateway.chat(key, model="queueing").json() == chat_json()


@pytest.mark.parametrize("comment", [": keep-alive\n\n", ": OPENROUTER PROCESSING\n\n", ":\n", ":\n\n:\n\n"])
def test_comments_in_a_stream(gateway, fake, key, comment):
    frames = stream_frames()
    fake.on("comments", stream([comment, frames[0], comment, *frames[1:-1], comment, frames[-1]]))
    answer = gateway.chat(key, model="comments", stream=True)
    assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
    assert gateway.event(answer.request_id)["outcome"] == "complete"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_stream_split_at_every_byte(gateway, fake, key, size, line_end):
    def script(x):
        x.start_stream()
        data = "".join(stream_frames(line_end=line_end)).encode()
        wire = b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in
                        (data[at:at + size] for at in range(0, len(data), size)))
        x.send_split(wire, size if size > 1 else 1)
        x.end_stream()
    fake.on("split", script)
    answer = gateway.chat(key, model="split", stream=True, stream_options={"include_usage": True})
    assert answer.text() == "Hello there"
    assert answer.body == "".join(stream_frames(line_end=line_end)).encode()
    assert tokens(gateway.event(answer.request_id)) == (11, 7)


def test_no_space_after_data_and_fields_that_nobody_knows(gateway, fake, key):
    data = "".join(stream_frames()).replace("data: ", "data:")
    fake.on("tight", stream(["event: message\nid: 4\nretry: 10\n" + data]))
    answer = gateway.chat(key, model="tight", stream=True)
    assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"


def test_event_of_several_data_lines(gateway, fake, key):
    text = json.dumps(chunk_json({"content": "Hi"}), indent=1)
    event = "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
    fake.on("lines", stream([event, *stream_frames(words=())]))
    answer = gateway.chat(key, model="lines", stream=True)
    assert answer.text() == "Hi"
    assert gateway.event(answer.request_id)["outcome"] == "complete"


@pytest.mark.parametrize("size", [70_000, 1_000_000])
def test_large_frame(gateway, fake, key, size):
    fake.on("large", stream(stream_frames(words=("x" * size, "end"))))
    answer = gateway.chat(key, model="large", stream=True)
    assert answer.text() == "x" * size + "end"
    assert gateway.event(answer.request_id)["outcome"] == "complete"


def test_frame_beyond_all_measure_is_refused(gateway, fake, key):
    fake.on("huge", stream(stream_frames(words=("x" * (9 << 20),))))
    answer = gateway.chat(key, model="huge", stream=True, keep_broken=True)
    assert is_in_band_error(answer)
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


def test_several_choices_and_empty_choices(gateway, fake, key):
    first = frame({**chunk_json(), "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    fake.on("azure", stream([first, *stream_frames()]))
    answer = gateway.chat(key, model="azure", stream=True)
    assert answer.body.decode().startswith(first), "only a chunk with usage and nothing else may be hidden"
    assert answer.text() == "Hello there"


def test_interim_answers_are_swallowed(gateway, fake, key):
    body = json.dumps(chat_json())
    fake.on("interim", raw("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                           f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"))
    answer = gateway.chat(key, model="interim")
    assert (answer.status, answer.interim) == (200, [])
    assert answer.json() == chat_json()


def test_close_delimited_answer(gateway, fake, key):
    fake.on("http10", raw("HTTP/1.0 200\r\nContent-Type: application/json\r\n\r\n" + json.dumps(chat_json())))
    assert gateway.chat(key, model="http10").json() == chat_json()


def test_close_delimited_stream_that_is_whole(gateway, fake, key):
    fake.on("http10-stream", raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + "".join(stream_frames())))
    answer = gateway.chat(key, model="http10-stream", stream=True)
    assert answer.events()[-1] == "[DONE]"
    assert gateway.event(answer.request_id)["outcome"] == "complete"


# ---- answers that break off: the truth rule

def cut_after_words(how):
    def script(x):
        x.start_stream()
        for data in stream_frames(finish=None, usage=None, done=False):
            x.chunk(data)
        how(x)
    return script


def keep_silent(x):
    x.pause(3600)


@pytest.mark.parametrize("name, how", [
    ("reset", lambda x: x.reset()),
    ("close", lambda x: x.close()),
    ("orderly end without a finish reason", lambda x: x.end_stream()),
    ("finish reason but no [DONE]", lambda x: (x.chunk(frame(chunk_json(finish="stop"))), x.end_stream())),
    ("[DONE] but no finish reason", lambda x: (x.chunk(frame("[DONE]")), x.end_stream())),
    ("half a frame", lambda x: (x.chunk('data: {"id":"chatcmpl-f'), x.end_stream())),
    ("garbage after a chunk", lambda x: x.send("ZZ\r\nhello")),
    ("data that is no JSON", lambda x: (x.chunk(frame("not json")), x.chunk(frame("[DONE]")), x.end_stream())),
    ("stall", keep_silent),
])
def test_broken_stream_is_told_and_recorded(gateway, fake, key, name, how):
    model = "b-" + "".join(c if c.isalnum() else "-" for c in name)
    fake.on(model, cut_after_words(how))
    answer = gateway.chat(key, model=model, stream=True, keep_broken=True)
    assert answer.status == 200
    assert b'"Hello"' in answer.body and b'" there"' in answer.body, "what had come was not passed on"
    assert is_in_band_error(answer), answer.events()
    event = gateway.event(answer.request_id)
    assert event["outcome"] == "truncated"
    assert event["certainty"] in ("partial", "estimated") and event["output_tokens"] > 0
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_OUTCOME"] == "truncated"


def test_broken_after_usage_keeps_the_providers_figures(gateway, fake, key):
    fake.on("partial", stream(stream_frames(done=False), end=False))
    answer = gateway.chat(key, model="partial", stream=True, keep_broken=True)
    assert is_in_band_error(answer)
    event = gateway.event(answer.request_id)
    assert (tokens(event), event["certainty"], event["outcome"]) == ((11, 7), "partial", "truncated")


def test_connection_of_a_broken_stream_is_closed(gateway, fake, key):
    fake.on("cut", cut_after_words(lambda x: x.reset()))
    with gateway.connect() as wire:
        gateway.chat(key, model="cut", stream=True, wire=wire, keep_broken=True)
        assert wire.is_closed()


def test_error_inside_a_stream_of_status_200(gateway, fake, key):
    told = frame(error_json("model overloaded", "server_error", "overloaded"))
    fake.on("inside", stream([*stream_frames(finish=None, usage=None, done=False), told, frame("[DONE]")]))
    answer = gateway.chat(key, model="inside", stream=True, keep_broken=True)
    assert is_in_band_error(answer)
    assert "model overloaded" in json.loads(answer.events()[-1])["error"]["message"]
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


def test_error_as_the_first_event_of_a_stream(gateway, fake, key):
    """Nothing has been sent yet: the client can still be told by a status."""
    fake.on("first", stream([frame(error_json("no capacity", "server_error")), frame("[DONE]")]))
    answer = gateway.chat(key, model="first", stream=True, keep_broken=True)
    assert answer.status == 502 and "no capacity" in answer.json()["error"]["message"]
    assert gateway.event(answer.request_id)["outcome"] == "failed"


def test_error_object_inside_a_200(gateway, fake, key):
    fake.on("inband", answering(error_json("quota used up", "insufficient_quota")))
    answer = gateway.chat(key, model="inband")
    assert answer.status == 502
    assert "quota used up" in answer.json()["error"]["message"]
    event = gateway.event(answer.request_id)
    assert event["outcome"] == "failed" and event["status"] == 502


def test_json_for_a_stream(gateway, fake, key):
    """Some answer a stream request with plain JSON; that is whole as it is."""
    fake.on("unstreamed", answering(chat_json()))
    answer = gateway.chat(key, model="unstreamed", stream=True)
    assert answer.status == 200
    assert answer.json() == chat_json()
    assert tokens(gateway.event(answer.request_id)) == (11, 7)


# ---- providers that fail

@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("is_stream", [False, True])
def test_error_that_concerns_the_client_is_passed_on_as_it_is(gateway, fake, key, status, is_stream):
    body = json.dumps(error_json("because of that"), indent=1)
    fake.on(f"s{status}", answering(body, status, [("Retry-After", "7"), ("Set-Cookie", "a=b")]))
    answer = gateway.chat(key, model=f"s{status}", stream=is_stream)
    assert (answer.status, answer.body) == (status, body.encode())
    assert answer.header("retry-after") == "7" and answer.header("set-cookie") is None
    event = gateway.event(answer.request_id)
    assert (event["outcome"], event["status"], tokens(event)) == ("failed", status, (0, 0))
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id, SCRIBE_STATUS=str(status))


@pytest.mark.parametrize("status", [401, 402, 403])
def test_error_between_gateway_and_provider_is_a_bad_gateway(gateway, fake, key, status):
    """Passed on as 401 it would make the client throw away a good key."""
    fake.on(f"s{status}", answering(error_json("Incorrect API key provided: provid*****"), status))
    answer = gateway.chat(key, model=f"s{status}")
    assert answer.status == 502 and answer.json()["error"]["type"] == "upstream_error"
    assert b"Incorrect" not in answer.body
    event = gateway.event(answer.request_id)
    assert (event["outcome"], event["status"], tokens(event)) == ("failed", 502, (0, 0))
    entry = gateway.wait_log(SCRIBE_REQUEST=answer.request_id, SCRIBE_STATUS="502")
    assert entry["level"] == "err" and str(status) in entry["SCRIBE_DETAIL"]


def test_error_on_v1_chat_is_the_providers_sentence(gateway, fake, key):
    fake.on("simple", answering(error_json("because of that"), 400))
    answer = gateway.chat(key, model="simple", path="/v1/chat")
    assert answer.status == 400 and set(answer.json()) == {"error"} and "because of that" in answer.json()["error"]


def test_providers_own_words_are_told_when_they_concern_the_client(gateway, fake, key):
    fake.on("words", answering(error_json("'temperature' must be below 2"), 400))
    assert "'temperature' must be below 2" in gateway.chat(key, model="words").json()["error"]["message"]


def test_html_for_an_error_is_not_passed_on(gateway, fake, key):
    fake.on("html", answering("<html><b>502 Bad Gateway</b> nginx/1.2.3</html>", 502, content_type="text/html"))
    answer = gateway.chat(key, model="html")
    assert answer.status == 502 and b"nginx" not in answer.body and answer.json()["error"]


def test_html_with_status_200(gateway, fake, key):
    fake.on("html200", answering("<html>welcome to the hotel wifi</html>", content_type="text/html"))
    answer = gateway.chat(key, model="html200")
    assert answer.status == 502 and b"hotel" not in answer.body
    assert gateway.event(answer.request_id)["outcome"] == "failed"


@pytest.mark.parametrize("name, data", [
    ("not http", "SSH-2.0-OpenSSH_9.2\r\n"),
    ("status line only", "HTTP/1.1 200 OK\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    ("length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    ("head too large", "HTTP/1.1 200 OK\r\nX: " + "y" * 70_000 + "\r\n\r\n"),
    ("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    ("bad chunk size", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}"),
    ("control bytes", "HTTP/1.1 200 OK\r\nX-Y: a\0b\r\nContent-Length: 2\r\n\r\n{}"),
    ("endless interim", "HTTP/1.1 100 Continue\r\n\r\n" * 5000),
    ("upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("nothing at all", ""),
    ("length too long", 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"a":1}'),
    ("compressed", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    ("redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
])
def test_garbage_from_a_provider(gateway, fake, key, name, data):
    fake.on("garbage", raw(data))
    answer = gateway.chat(key, model="garbage")
    assert answer.status == 502, name
    assert answer.json()["error"]["message"]
    event = gateway.event(answer.request_id)
    assert (event["outcome"], event["status"]) == ("failed", 502)
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["level"] in ("warning", "err")


def test_length_too_short_does_not_reach_the_next_client(gateway, fake, key):
    """What comes after the announced length is not an answer to anybody; such a connection is not used again."""
    body = json.dumps(chat_json("first")).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "

    def script(x):
        x.send(head + b"%d\r\n\r\n" % len(body) + body + head + b"2\r\n\r\n{}")
        x.pause(10)
    fake.on("short", script)
    for at in range(6):
        assert gateway.chat(key, model="short").json() == chat_json("first")
        assert fake.wait("short", at + 1).gone.wait(5), "the connection is kept"


def test_answer_that_nobody_asked_for_ends_the_connection(gateway, fake, key):
    def script(x):
        x.answer(chat_json())
        x.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        x.pause(10)
    fake.on("unasked", script)
    for at in range(3):
        assert gateway.chat(key, model="unasked").json() == chat_json()
        assert fake.wait("unasked", at + 1).gone.wait(5)


def test_late_begin_is_a_timeout(gateway, fake, key):
    fake.on("late", lambda x: x.pause(30))
    answer = gateway.chat(key, model="late")
    assert answer.status == 504
    assert fake.wait("late").gone.wait(5), "the request at the provider goes on"
    assert gateway.event(answer.request_id)["outcome"] == "failed"


def test_slow_but_living_provider_is_waited_for(gateway, fake, key):
    fake.on("slow", stream(stream_frames(words=[f"{n} " for n in range(6)]), pace=0.3))
    answer = gateway.chat(key, model="slow", stream=True)
    assert answer.text() == "0 1 2 3 4 5 "


def test_provider_that_is_not_there(gateway, key):
    gateway.write_dropin("50-gone.conf", '[provider "gone"]\ndialect = openai\nbase_url = http://127.0.0.1:9/v1\n'
                                         '[provider "nameless"]\ndialect = openai\nbase_url = http://no-such-host.invalid/v1\n'
                                         '[model "gone"]\ntarget = gone\n[model "nameless"]\ntarget = nameless\n')
    gateway.reload()
    for model, reason in (("gone", "upstream_connect"), ("nameless", "upstream_resolve")):
        answer = gateway.chat(key, model=model)
        assert answer.status == 502, model
        assert gateway.event(answer.request_id)["reason"] == reason
        assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_REASON"] == reason


def test_closed_idle_connection_is_replaced_unseen(gateway, fake, key):
    """A provider may close a pooled connection at any time: a request that meets this goes once more on a fresh one."""
    def script(x):
        x.answer(chat_json())
        x.close()
    fake.on("closing", script)
    for _ in range(20):
        assert gateway.chat(key, model="closing").status == 200


def test_no_connection_is_left_behind(gateway, fake, key):
    """All the traps above have not leaked one descriptor per request."""
    gateway.chat(key, model="fine")
    before = gateway.n_descriptors()
    for model in ("b-reset", "b-half-a-frame", "garbage", "html", "inside"):
        for _ in range(5):
            gateway.chat(key, model=model, stream=True, keep_broken=True)
    wait_for(lambda: gateway.n_descriptors() <= before + 4, what="descriptors to be closed")
