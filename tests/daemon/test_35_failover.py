"""Failover that clients never notice: which faults are tried elsewhere, which are not, and what is remembered of them."""

import time

import pytest

from fake import answering, chat_json, chunk_json, error_json, frame, plain, raw, stream, stream_frames
from gateway import SLOWNESS, Gateway, wait_for
from providers import Providers, anthropic_error, counting, message_frames, message_json, saying, text_of

MODELS = """
[model "first-a"]
strategy = ordered
target = a
target = b
[model "three"]
strategy = ordered
target = a
target = b
target = c
retries = 1
[model "fallen"]
target = a
fallback = b
[model "larger"]
target = a
larger = b/large
[model "single"]
target = a
[model "spoken"]
strategy = ordered
target = n
target = a
"""
PATIENCE = "api_key = env:FAKE_PROVIDER_KEY\nfirst_byte_timeout = 1s\nbetween_bytes_timeout = 1s\nconnect_timeout = 1s\n"


@pytest.fixture
def providers():
    with Providers("a", "b", "c", "n", dialects={"n": "anthropic"},
                   more={name: PATIENCE for name in ("a", "b", "c", "n")}) as found:
        yield found
        for fake in found.fakes.values():
            assert fake.failures() == []


@pytest.fixture
def gateway(providers):
    with Gateway(config=providers.config(MODELS), workers=1) as running:
        yield running


@pytest.fixture
def key(gateway):
    return gateway.create_key("tester")


QUOTA = error_json("You exceeded your current quota", "insufficient_quota", "insufficient_quota")
REFUSALS = [
    ("credential", answering(error_json("Incorrect API key"), 401)),
    ("no balance", answering(error_json("Insufficient Balance"), 402)),
    ("quota", answering(QUOTA, 429)),
    ("rate", answering(error_json("Rate limit reached", "rate_limit_error"), 429)),
    ("overload", answering(error_json("overloaded"), 503)),
    ("overload, Anthropic's number", answering(error_json("Overloaded", "overloaded_error"), 529)),
    ("server", answering(error_json("The server had an error", "server_error"), 500)),
    ("bad gateway without JSON", raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnope")),
    ("an error inside a 200", answering({"error": {"message": "try later", "code": 503}})),
    ("no JSON", answering("<html>sorry</html>", content_type="application/json")),
    ("broken off", raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{\"id\":")),
    ("reset", lambda x: x.reset()),
    ("closed", lambda x: x.close()),
    ("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    ("silent", lambda x: x.pause(30)),
    ("silent after the head", raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n", "hold")),
    ("a redirect", answering("", 302, [("Location", "http://example.invalid/")])),
]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name, script", REFUSALS)
def test_another_target_is_asked_unseen(gateway, providers, key, name, script, is_stream):
    broken = counting(script)
    providers.a.on("first-a", broken)
    providers.b.on("first-a", saying("from b"))
    answer = gateway.chat(key, model="first-a", stream=is_stream)
    assert (answer.status, text_of(answer), broken.n) == (200, "from b", 1), answer
    assert answer.header("x-scribe-model") == "b/first-a"
    assert answer.header("x-scribe-attempts") == "2"
    event = gateway.event(answer.request_id)
    assert (event["provider"], event["attempts"], event["outcome"], event["certainty"]) == ("b", 2, "complete", "measured")
    assert (event["input_tokens"], event["output_tokens"]) == (11, 7)
    assert gateway.wait_log(SCRIBE_REQUEST=answer.request_id, SCRIBE_ATTEMPTS="2", SCRIBE_PROVIDER="b")


@pytest.mark.parametrize("frames", [
    [": keep-alive\n\n", frame({"error": {"message": "no capacity", "code": 502}})],
    [frame({"error": {"message": "no capacity", "type": "server_error"}})],
    [": OPENROUTER PROCESSING\n\n"],
    [],
    [frame("[DONE]")],
    ["data: nonsense\n\n"],
])
def test_a_stream_that_fails_before_its_first_event_is_tried_elsewhere(gateway, providers, key, frames):
    providers.a.on("first-a", stream(frames))
    providers.b.on("first-a", saying("from b"))
    answer = gateway.chat(key, model="first-a", stream=True)
    assert (answer.status, text_of(answer), answer.events()[-1]) == (200, "from b", "[DONE]")
    assert b"error" not in answer.body and b"PROCESSING" not in answer.body


def test_after_the_first_event_nothing_is_tried_again(gateway, providers, key):
    providers.a.on("first-a", stream(stream_frames()[:2], end=False))
    second = counting(saying("from b"))
    providers.b.on("first-a", second)
    answer = gateway.chat(key, model="first-a", stream=True, keep_broken=True)
    assert "error" in answer.events()[-1] and "[DONE]" not in answer.events() and second.n == 0
    assert gateway.event(answer.request_id)["outcome"] == "truncated"


def test_comments_before_the_first_event_go_out_with_it(gateway, providers, key):
    frames = [": keep-alive\n\n", *stream_frames()]
    providers.a.on("first-a", stream(frames))
    answer = gateway.chat(key, model="first-a", stream=True, stream_options={"include_usage": True})
    assert answer.body == "".join(frames).encode()


@pytest.mark.parametrize("status, error", [
    (400, error_json("messages: too short")),
    (404, error_json("The model does not exist", code="model_not_found")),
    (413, error_json("Request too large")),
    (422, error_json("unprocessable")),
    (400, error_json("context", code="context_length_exceeded")),
])
def test_what_the_client_did_wrong_is_told_and_counts_against_nobody(gateway, providers, key, status, error):
    second = counting(saying("from b"))
    providers.a.on("first-a", answering(error, status))
    providers.b.on("first-a", second)
    for _ in range(8):
        answer = gateway.chat(key, model="first-a")
        assert (answer.status, answer.json()["error"]["message"]) == (status, error["error"]["message"])
    assert second.n == 0
    assert all(row["state"] == "up" for row in lanes(gateway))


def test_the_last_failure_is_told_when_no_target_is_left(gateway, providers, key):
    providers.a.on("first-a", answering(error_json("a is down"), 500))
    providers.b.on("first-a", answering(error_json("slow down", "rate_limit_error"), 429, [("Retry-After", "7")]))
    answer = gateway.chat(key, model="first-a")
    assert (answer.status, answer.json()["error"]["message"]) == (429, "slow down")
    assert (answer.header("retry-after"), answer.header("x-scribe-attempts")) == ("7", "2")


def test_retries_are_bounded(gateway, providers, key):
    third = counting(plain)
    for name in "ab":
        providers.fakes[name].on("three", answering(error_json("down"), 500))
    providers.c.on("three", third)
    assert gateway.chat(key, model="three").status == 500
    assert third.n == 0


def test_a_fallback_is_asked_when_no_target_serves(gateway, providers, key):
    providers.a.on("fallen", answering(error_json("overloaded"), 503))
    providers.b.on("fallen", saying("from the fallback"))
    assert text_of(gateway.chat(key, model="fallen")) == "from the fallback"


@pytest.mark.parametrize("error", [
    error_json("This model's maximum context length is 8192 tokens", code="context_length_exceeded"),
    error_json("Input is too long: maximum context length is 8192 tokens, your messages have 9000"),
])
def test_a_prompt_that_is_too_long_goes_to_the_larger_model(gateway, providers, key, error):
    providers.a.on("larger", answering(error, 400))
    providers.b.on("large", saying("from the larger"))
    answer = gateway.chat(key, model="larger")
    assert (text_of(answer), answer.header("x-scribe-model")) == ("from the larger", "b/large")


def test_failover_across_dialects(gateway, providers, key):
    providers.n.on("spoken", anthropic_error("overloaded_error", "Overloaded"))
    providers.a.on("spoken", saying("from a"))
    assert text_of(gateway.chat(key, model="spoken")) == "from a"
    assert text_of(gateway.chat(key, model="spoken", stream=True)) == "from a"


# ---- what is remembered

def lanes(gateway):
    listed = gateway.ctl("upstream", "list")
    return listed["lanes"]


def lane(gateway, name):
    return next(row for row in lanes(gateway) if row["name"] == name)


def test_a_rate_limit_makes_others_be_asked_first(gateway, providers, key):
    limited = counting(answering(error_json("slow down", "rate_limit_error"), 429, [("Retry-After", "30")]))
    providers.a.on("first-a", limited)
    providers.b.on("first-a", saying("from b"))
    for _ in range(3):
        assert text_of(gateway.chat(key, model="first-a")) == "from b"
    assert limited.n == 1


def test_the_only_target_is_asked_even_while_it_rests(gateway, providers, key):
    """What was refused was another request: a shorter one may well be served, and the provider's own word is the better one."""
    providers.a.on("single", answering(error_json("slow down", "rate_limit_error"), 429, [("Retry-After", "30")]))
    assert gateway.chat(key, model="single").status == 429
    providers.a.on("single", plain)
    assert gateway.chat(key, model="single").status == 200


def test_a_breaker_opens_after_failures_in_a_row_and_is_told(gateway, providers, key):
    down = counting(lambda x: x.reset())
    providers.a.on("first-a", down)
    providers.b.on("first-a", saying("from b"))
    for _ in range(12):
        assert text_of(gateway.chat(key, model="first-a")) == "from b"
    assert down.n == 5
    row = lane(gateway, "a/first-a")
    assert row["state"] == "tripped" and "Connection reset" in row["why"], row
    text = gateway.ctl_run("upstream", "list").stdout
    assert "a/first-a" in text and "tripped" in text and "Connection reset" in text
    assert gateway.wait_log(SCRIBE_LANE="a/first-a", level="warning")


def test_another_credential_takes_over(providers):
    seen = []

    def script(x):
        seen.append(x.header("authorization"))
        if x.header("authorization").endswith("secret-one"):
            x.answer(error_json("Incorrect API key"), 401)
        else:
            x.answer(chat_json())
    providers.a.on("m", script)
    credentials = "credential = one env:ONE\ncredential = two env:TWO priority=2\n"
    config = providers.config('[model "m"]\ntarget = a\n').replace(
        PATIENCE, credentials + PATIENCE.replace("api_key = env:FAKE_PROVIDER_KEY\n", ""), 1)
    with Gateway(config=config, workers=1, env={"ONE": "secret-one", "TWO": "secret-two"}) as gateway:
        gateway.secrets += ["secret-one", "secret-two"]
        key = gateway.create_key("tester")
        answers = [gateway.chat(key, model="m") for _ in range(3)]
        assert [a.status for a in answers] == [200, 200, 200]
        assert seen == ["Bearer secret-one"] + 3 * ["Bearer secret-two"]
        assert gateway.event(answers[0].request_id)["credential"] == "two"
        row = next(r for r in lanes(gateway) if r["kind"] == "credential" and r["name"] == "one")
        assert row["state"] == "rests" and "credential" in row["why"]


def test_a_daily_quota_is_kept_over_a_crash(providers):
    providers.a.on("m", plain)  # 18 tokens each, and some more are reserved
    credentials = "credential = one env:ONE daily_tokens=50\ncredential = two env:TWO priority=2\n"
    config = providers.config('[model "m"]\ntarget = a\n').replace(
        PATIENCE, credentials + PATIENCE.replace("api_key = env:FAKE_PROVIDER_KEY\n", ""), 1)
    gateway = Gateway(config=config, workers=1, env={"ONE": "secret-one", "TWO": "secret-two"})
    with gateway:
        key = gateway.create_key("tester")
        used = []
        for _ in range(4):
            answer = gateway.chat(key, model="m", content="x", max_tokens=1)
            used.append(gateway.event(answer.request_id)["credential"])
        assert used == ["one", "one", "two", "two"]
        gateway.kill()
        gateway.start()
        answer = gateway.chat(key, model="m", content="x", max_tokens=1)
        assert gateway.event(answer.request_id)["credential"] == "two"


# ---- under load

def test_clients_of_answers_not_begun_see_no_error_while_a_provider_dies(gateway, providers, key):
    """A refuses, resets and falls silent by turns while b is well."""
    import threading
    moods = [plain, lambda x: x.reset(), answering(error_json("down"), 503), lambda x: x.close(), plain]
    count = iter(range(1 << 30))

    def moody(x):
        moods[next(count) % len(moods)](x)
    providers.a.on("first-a", moody)
    providers.b.on("first-a", plain)
    problems = []

    def client(n):
        for i in range(60):
            answer = gateway.chat(key, model="first-a", stream=bool((n + i) % 2))
            if answer.status != 200 or b"error" in answer.body:
                problems.append(answer)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    wait_for(lambda: len(gateway.usage(model="first-a")) == 480, 20, "all events", pause=0.2)
    assert {e["outcome"] for e in gateway.usage(model="first-a")} == {"complete"}
