"""What goes wrong between clients and providers of models, all at once: every case ends, is told and counted once, and gives
back all it held."""

import json
import os
import random
import threading
import time
from email.utils import formatdate

import pytest

from fake import answering, chunk_json, error_json, frame, plain
from gateway import PROVIDER_SECRET, Gateway, bearer, free_port, wait_for
from llm_campaign import Campaign, Provider
from providers import Providers, anthropic, anthropic_error, saying, text_of

SECONDS = float(os.environ.get("SCRIBE_CAMPAIGN_SECONDS", "20"))
WORKERS = int(os.environ.get("SCRIBE_CAMPAIGN_WORKERS", "2"))

MODELS = """
[model "ordered"]
strategy = ordered
target = o
target = n
target = p
retries = 4
[model "spread"]
target = o weight=3
target = n
affinity = conversation
fallback = p
[model "fast"]
strategy = least_latency
target = n
target = p
[model "fallen"]
target = dead
fallback = p
on_disconnect = drain
drain_time = 1s
[model "longer"]
target = o context=20000
larger = n
on_disconnect = drain
[model "translated"]
target = n
on_disconnect = drain
drain_tokens = 20
[model "single"]
target = p
retries = 0
[model "default"]
target = p
"""


def open_now(gateway):
    """What the gateway still holds, but for idle connections."""
    status = gateway.ctl("status")
    return {"exchanges": status["exchanges"]["n_open"], "bodies_bytes": status["memory"]["bodies_bytes"],
            "connections": sum(w["connections"] for w in status["workers"]),
            "busy_upstreams": sum(w["busy_upstreams"] for w in status["workers"]),
            "outstanding": sum(row["n_open"] for row in gateway.ctl("upstream", "list")["lanes"])}


def wait_settled(gateway, timeout=20):
    """All that was open is over and was given back."""
    wait_for(lambda: not any(open_now(gateway).values()), timeout, "all to be given back", pause=0.1)


def config_of(providers):
    text = ""
    patience = "first_byte_timeout = 2s\nbetween_bytes_timeout = 1s\nconnect_timeout = 2s\nidle_timeout = 2s\nbreaker_time = 100ms\n"
    for p in providers:
        text += f'\n[provider "{p.name}"]\ndialect = {p.dialect}\nbase_url = {p.url}\n{patience}'
        text += "responses = yes\n" if p.name == "p" else ""
        text += "".join(f"credential = c{i} env:{p.name.upper()}{i}\n" for i in range(len(p.secrets)))
    text += f'\n[provider "dead"]\ndialect = openai\nbase_url = http://127.0.0.1:{free_port()}/v1\n{patience}'
    return text + MODELS


def check_events(gateway, campaign):
    """Each exchange that a provider was asked for has one event, which says what its client saw."""
    asked = {request_id for request_id, (*_, mark) in campaign.answered.items() if campaign.attempts.get(mark)}
    wait_for(lambda: asked <= {e["request_id"] for e in gateway.usage()}, 10, "an event for each answer", pause=0.5)
    by_id = {}
    for e in gateway.usage():
        by_id.setdefault(e["request_id"], []).append(e)
    assert all(len(events) == 1 for events in by_id.values())
    for request_id, (status, seen, op, body, mark) in campaign.answered.items():
        e = by_id[request_id][0] if request_id in by_id else {"outcome": "failed", "certainty": "none"}
        assert e["outcome"] == "complete" if seen == "whole" else e["outcome"] != "complete", (seen, e, body[-300:])
        if seen == "whole" and op in ("chat", "messages", "responses") and not campaign.is_flipped(mark) and e["certainty"] == "measured":
            assert e["output_tokens"] == campaign.n_of_text[request_id], e


def test_a_campaign():
    seed = os.environ.get("SCRIBE_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"SCRIBE_SEED={seed}")
    secrets = {name: [f"sk-{name}-{i}-0123456789abcdefghijklmnopqrstuv" for i in range(n)] for name, n in (("o", 3), ("n", 2), ("p", 1))}
    env = {f"{name.upper()}{i}": secret for name, found in secrets.items() for i, secret in enumerate(found)}
    with Provider("o", "openai", secrets["o"]) as o, Provider("n", "anthropic", secrets["n"]) as n, Provider("p", "openai", secrets["p"]) as p:
        gateway = Gateway(config=config_of([o, n, p]), env=env, workers=WORKERS, journal=f"sync = {random.Random(seed).choice(['always', 'interval'])}\n",
                          gateway="write_timeout = 5s\nmax_body = 2M\nmax_bodies = 8M\n")
        with gateway:
            gateway.secrets += env.values()
            before = gateway.n_descriptors()
            models = ["ordered", "spread", "fast", "fallen", "longer", "translated", "single", "default"]
            campaign = Campaign(gateway, [o, n, p], models, seed, SECONDS)
            campaign.key = bearer(gateway.create_key("campaign"))
            campaign.play(http1=8, http2=3, disturb=1)
            assert sum(k for what, k in campaign.counts.items() if what[-1] == "whole") > 50
            wait_settled(gateway)
            check_events(gateway, campaign)
            wait_for(lambda: gateway.n_descriptors() <= before + 2, 15, "descriptors to be closed", pause=0.2)


# ---- case by case

CASES = """
[model "pair"]
strategy = ordered
target = a
target = b
[model "mixed"]
strategy = ordered
target = n
target = a
[model "native-first"]
strategy = ordered
target = a
target = n
[model "alone"]
target = n
[model "drained"]
target = a
on_disconnect = drain
drain_time = 5s
"""


@pytest.fixture(scope="module")
def providers():
    key = "api_key = env:FAKE_PROVIDER_KEY\nbreaker_failures = 0\n"
    with Providers("a", "b", "n", dialects={"n": "anthropic"}, more={"a": key, "b": key.replace("= 0", "= 1"), "n": key}) as found:
        yield found


@pytest.fixture
def gateway(providers):
    with Gateway(config=providers.config(CASES), workers=1) as running:
        yield running
        wait_settled(running)


@pytest.fixture
def key(gateway):
    return gateway.create_key("tester")


def lane(gateway, name):
    return next(row for row in gateway.ctl("upstream", "list")["lanes"] if row["name"] == name)


@pytest.mark.parametrize("name, value, seconds", [
    ("Retry-After", "40", 40), ("retry-after-ms", "40000", 40), ("Retry-After", None, 40),
    ("Retry-After", "99999999999999999999", 1), ("Retry-After", "-5", 1), ("Retry-After", "Mon, 01 Jan 2001 00:00:00 GMT", 1)])
def test_a_provider_is_left_alone_for_as_long_as_it_says(gateway, providers, key, name, value, seconds):
    value = value or formatdate(time.time() + 40, usegmt=True)
    providers.a.on("pair", answering(error_json("overloaded"), 503, [(name, value)]))
    providers.b.on("pair", saying("from b"))
    assert text_of(gateway.chat(key, model="pair")) == "from b"
    rests = lane(gateway, "a/pair")["rests_usec"] / 1e6
    assert seconds - 8 < rests <= seconds + 1, rests


@pytest.mark.parametrize("method, times", [("POST", 1), ("PATCH", 1), ("GET", 2), ("DELETE", 2)])
def test_what_is_passed_on_is_not_sent_again_on_a_connection_that_breaks(providers, method, times):
    config = Providers.config(providers, CASES + '[model "default"]\ntarget = a\n')
    seen = []

    def script(x):
        if x.target.endswith("/first"):
            x.answer("{}")
            return
        seen.append(x.method)
        x.close()

    providers.a.default = script
    with Gateway(config=config, workers=1) as g:
        headers = bearer(g.create_key("tester"))
        assert g.ask("GET", "/v1/files/first", headers).status == 200  # its connection is used again
        answer = g.ask(method, "/v1/files/x", headers, None if method == "GET" else b"body")
        assert answer.status == 502 and len(seen) == times, seen


def test_the_callers_key_in_azures_field_goes_to_nobody(gateway, providers, key):
    providers.a.on("pair", plain)
    body = {"model": "pair", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.ask("POST", "/v1/chat/completions", {**bearer(key), "Api-Key": "the-callers-own"}, body).status == 200
    assert providers.a.of("pair")[-1].header("api-key") is None


def test_what_was_dropped_is_told_of_the_attempt_that_answered(gateway, providers, key):
    providers.n.on("mixed", anthropic_error("overloaded_error"))
    providers.a.on("mixed", plain)
    providers.n.on("alone", anthropic)
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x", "reasoning_content": "hm"},
                                                          {"role": "user", "content": "hi"}]}
    def told(model):
        answer = gateway.ask("POST", "/v1/chat/completions", bearer(key), {**body, "model": model})
        return answer.status, answer.header("x-scribe-attempts"), answer.header("x-scribe-dropped")

    assert told("alone") == (200, "1", "reasoning_content")
    assert told("mixed") == (200, "2", None)


def test_a_target_that_could_not_serve_anyway_is_not_what_went_wrong(gateway, providers, key):
    """logprobs: messages have no words for them, so a is the only one, and it failed."""
    providers.a.on("native-first", answering(error_json("down", "server_error"), 500))
    answer = gateway.chat(key, model="native-first", logprobs=True)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "provider_error"), answer
    assert (answer.header("x-scribe-model"), answer.header("x-scribe-attempts")) == ("a/native-first", "1")
    assert gateway.event(answer.request_id)["provider"] == "a"


def test_an_answer_that_cannot_be_translated_is_counted(gateway, providers, key):
    """The figures outlive the answer, in whose place the client gets an error."""
    usage = {"input_tokens": 5, "output_tokens": 3}
    providers.n.on("alone", answering({"type": "message", "content": 7, "usage": usage}))
    answer = gateway.chat(key, model="alone")
    assert answer.status == 502
    event = gateway.event(answer.request_id)
    assert (event["outcome"], event["input_tokens"], event["output_tokens"]) == ("failed", 5, 3)
    assert json.loads(event["raw_usage"]) == usage


def test_a_lane_is_not_blamed_in_the_words_of_another(gateway, providers, key):
    providers.a.on("pair", answering(error_json("the words of a", "server_error"), 500))
    providers.b.on("pair", lambda x: (x.start_stream(), x.chunk(frame(chunk_json({"content": "x"}))), x.close()))
    answer = gateway.chat(key, model="pair", stream=True, keep_broken=True)
    assert b"error" in answer.body
    detail = gateway.wait_log(SCRIBE_REQUEST=answer.request_id, SCRIBE_OUTCOME=True)["SCRIBE_DETAIL"]
    assert "a/pair: status 500: the words of a; then b/pair" in detail
    blamed = lane(gateway, "b/pair")
    assert blamed["state"] == "tripped" and "the words of a" not in blamed["why"], blamed


@pytest.mark.parametrize("n", range(0, 40, 3))
def test_a_credential_at_the_end_of_a_long_message_is_not_told_by_half(gateway, providers, key, n):
    for is_stream in (False, True):
        error = error_json("x" * (480 + n if not is_stream else 230 + n) + PROVIDER_SECRET, "invalid_request_error")
        providers.a.on("pair", (lambda x: (x.start_stream(), x.chunk(frame(error)), x.end_stream())) if is_stream else answering(error, 400))
        providers.b.on("pair", providers.a.scripts["pair"])
        answer = gateway.chat(key, model="pair", stream=is_stream)
        assert answer.status >= 400 and PROVIDER_SECRET[:10].encode() not in answer.body, answer
    assert PROVIDER_SECRET[:10] not in gateway.log_path.read_text()


def test_a_refusal_before_a_failure_costs_nothing(gateway, providers, key):
    """What was refused is on nobody's bill, whatever comes after it."""
    providers.a.on("pair", answering(error_json("down", "server_error"), 500))
    providers.b.on("pair", answering(error_json("down", "server_error"), 500))
    answer = gateway.chat(key, model="pair")
    event = gateway.event(answer.request_id)
    assert (answer.header("x-scribe-attempts"), event["certainty"], event["input_tokens"]) == ("2", "none", 0)


def test_a_drain_that_breaks_is_still_of_a_client_that_left(gateway, providers, key):
    left = threading.Event()
    providers.a.on("drained", lambda x: (x.start_stream(), x.chunk(frame(chunk_json({"content": "Hello"}))), x.hold(left), x.close()))
    wire = gateway.connect()
    wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "drained", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    request_id = wire.read_head().request_id
    wire.until(b"Hello")
    wire.close()
    wait_for(lambda: sum(w["connections"] for w in gateway.control("GetStatus")["workers"]) == 0)
    left.set()
    event = gateway.event(request_id)
    assert (event["outcome"], event["reason"]) == ("client_gone", "upstream_truncated"), event
