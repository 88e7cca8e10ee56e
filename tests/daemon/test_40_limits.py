"""Limits that hold: reserved before the call, settled after it, given back on every way out."""

import concurrent.futures
import json
import signal
import threading

import pytest

from fake import answering, chat_json, error_json, held_stream, raw, stream, stream_frames
from gateway import Gateway, bearer, wait_for
from limits import change, error, group, limited, row, settle_keys, wait_settled
from providers import Providers
from wire import request_bytes

PRICES = """
[price "a/*"]
from = 2020-01-01
currency = USD
input = 10
output = 100
[price "b/*"]
from = 2020-01-01
currency = USD
input = 0.1
output = 1
[price "euro/*"]
from = 2020-01-01
currency = EUR
input = 1
output = 1
"""
MODELS = """
[model "a"]
target = a
[model "dear"]
target = a/dear
downgrade = cheap
[model "cheap"]
target = b/cheap
[model "both"]
strategy = ordered
target = a/both
target = b/both
[model "unpriced"]
target = c
[model "euro"]
target = euro
[model "few"]
target = c
limit = 2 requests/day
[model "spread"]
strategy = ordered
target = tight
target = c/spread
[model "tight"]
target = tight
[model "bare"]
target = b
limit = 5 requests/day
[model "rich"]
target = a/dear
limit = 5 requests/day
downgrade = bare
[model "once"]
target = b/once
limit = 1 requests/day
[model "risky"]
strategy = ordered
target = b/risky
target = a/risky
retries = 2
downgrade = once
[service "web"]
prefix = /web/
endpoint = {web}
"""
TOKENS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture(scope="module")
def providers():
    with Providers("a", "b", "c", "euro", "tight", more={"tight": "api_key = env:FAKE_PROVIDER_KEY\nlimit = 2 requests/day\n"}
                   ) as found:
        yield found
        for fake in found.fakes.values():
            assert fake.failures() == []


@pytest.fixture(scope="module")
def gateway(providers):
    running = Gateway(config=providers.config(MODELS.format(web=providers.fakes["c"].url.removesuffix("/v1"))), start=False)
    (running.config / "prices.d").mkdir()
    (running.config / "prices.d/test.conf").write_text(PRICES)
    running.start()
    with running:
        yield running


def open_stream(key):
    return request_bytes("POST", "/v1/chat/completions", bearer(key),
                         {"model": "unpriced", "stream": True, "messages": [{"role": "user", "content": "x"}]})


def saying(usage=TOKENS):
    return answering(chat_json(usage=usage))


# ---- requests


def test_requests_are_counted_and_the_one_too_many_is_told_when(gateway):
    key = limited(gateway, "three", "3 requests/minute")
    answers = [gateway.chat(key, model="unpriced") for _ in range(3)]
    assert [a.status for a in answers] == [200] * 3
    assert [a.header("x-ratelimit-remaining-requests") for a in answers] == ["2", "1", "0"]
    assert answers[0].header("x-ratelimit-limit-requests") == "3"
    refused = gateway.chat(key, model="unpriced")
    assert refused.status == 429
    assert error(refused)["code"] == "rate_limit_exceeded" and "3 requests/minute" in error(refused)["message"]
    assert 15 <= int(refused.header("retry-after")) <= 20, "a bucket of 3 a minute gives one back in 20 s"
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    assert wait_settled(gateway, "three")["used"] == 3
    wait_for(lambda: len(gateway.usage(key="three")) == 3, what="three events: what was refused is none")


def test_an_anthropic_client_is_told_in_its_own_words(gateway):
    key = limited(gateway, "claude", "1 requests/hour", "100k tokens/hour")
    body = {"model": "unpriced", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    first = gateway.ask("POST", "/v1/messages", {"x-api-key": key}, body)
    assert first.status == 200, first.body
    assert first.header("anthropic-ratelimit-requests-limit") == "1"
    assert first.header("anthropic-ratelimit-requests-remaining") == "0"
    assert first.header("anthropic-ratelimit-tokens-limit") == "100000"
    assert first.header("anthropic-ratelimit-requests-reset").endswith("Z")
    assert not first.header("x-ratelimit-limit-requests")
    second = gateway.ask("POST", "/v1/messages", {"x-api-key": key}, body)
    assert second.status == 429 and json.loads(second.body)["error"]["type"] == "rate_limit_error"


def test_a_provider_s_own_rate_fields_are_not_the_caller_s(gateway, providers):
    providers.fakes["c"].on("c", answering(chat_json(usage=TOKENS), headers=(("x-ratelimit-remaining-requests", "9999"),)))
    providers.fakes["c"].on("unpriced", answering(chat_json(usage=TOKENS),
                                                  headers=(("x-ratelimit-remaining-requests", "9999"),)))
    key = limited(gateway, "own-words", "5 requests/minute")
    assert gateway.chat(key, model="unpriced").header("x-ratelimit-remaining-requests") == "4"
    free = gateway.create_key("free")
    assert gateway.chat(free, model="unpriced").header("x-ratelimit-remaining-requests") == "9999"


def test_a_thousand_at_once_against_a_hundred(gateway):
    key = limited(gateway, "thousand", "100 requests/day")

    def ask(_):
        return gateway.chat(key, model="unpriced").status

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(ask, range(1000)))
    assert statuses.count(200) == 100 and statuses.count(429) == 900
    assert wait_settled(gateway, "thousand")["used"] == 100


def test_services_are_limited_by_the_same_keys(gateway):
    key = limited(gateway, "web", "2 requests/hour")
    statuses = [gateway.ask("GET", "/web/v1/x", bearer(key)).status for _ in range(3)]
    assert statuses[2] == 429 and 429 not in statuses[:2]


# ---- tokens


def test_tokens_are_reserved_by_what_may_come_and_settled_by_what_came(gateway, providers):
    go_on = threading.Event()
    providers.fakes["c"].on("unpriced", held_stream(go_on))
    key = limited(gateway, "tokens", "10000 tokens/day")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(gateway.chat, key, model="unpriced", stream=True, max_tokens=9000)
        wait_for(lambda: row(gateway, "tokens")["reserved"] > 9000, what="the reservation")
        refused = gateway.chat(key, model="unpriced", max_tokens=9000)
        assert refused.status == 429 and error(refused)["type"] == "tokens"
        go_on.set()
        assert held.result().status == 200
    providers.fakes["c"].on("unpriced", saying())
    assert wait_settled(gateway, "tokens")["used"] < 100
    assert gateway.chat(key, model="unpriced", max_tokens=9000).status == 200


def test_several_answers_are_reserved_as_several(gateway):
    key = limited(gateway, "several", "1000 tokens/minute")
    assert gateway.chat(key, model="unpriced", max_tokens=100).status == 200
    refused = gateway.chat(key, model="unpriced", max_tokens=100, n=128)
    assert refused.status == 429 and "never fit" in error(refused)["message"]
    assert gateway.chat(key, model="unpriced", max_tokens=2**53, n=2**53).status == 429
    assert gateway.chat(key, model="unpriced", max_tokens=100, n=128.5).status == 400


def test_a_request_that_can_never_fit_is_told_so(gateway):
    key = limited(gateway, "small", "1000 tokens/minute")
    refused = gateway.chat(key, model="unpriced", max_tokens=5000)
    assert refused.status == 429 and "never fit" in error(refused)["message"] and not refused.header("retry-after")
    assert wait_settled(gateway, "small")["used"] == 0


# ---- at once


def test_concurrency_is_given_back_on_every_way_out(gateway, providers):
    fake, go_on = providers.fakes["c"], threading.Event()
    fake.on("unpriced", held_stream(go_on))
    key = limited(gateway, "two", "2 concurrent")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        held = [pool.submit(gateway.chat, key, model="unpriced", stream=True) for _ in range(2)]
        wait_for(lambda: row(gateway, "two")["used"] == 2, what="two at once")
        assert gateway.chat(key, model="unpriced").status == 429
        go_on.set()
        assert [h.result().status for h in held] == [200, 200]
    ways_out = [saying(), answering(error_json("no"), 400), answering(error_json("down"), 500), raw(b"HTTP/1.1 200", "reset"),
                raw(b"garbage\r\n\r\n"), stream(stream_frames(done=False))]
    for script in ways_out:
        fake.on("unpriced", script)
        gateway.chat(key, model="unpriced", stream=True, keep_broken=True)
    for body in (b"{", b'{"model":"nothing"}', b'{"model":"unpriced"}'):
        gateway.ask("POST", "/v1/chat/completions", {**bearer(key), "content-type": "application/json"}, body)
    go_on = threading.Event()
    fake.on("unpriced", held_stream(go_on))
    wire = gateway.connect()
    wire.send(open_stream(key))
    wait_for(lambda: row(gateway, "two")["used"] == 1, what="one open")
    wire.close()
    wait_for(lambda: row(gateway, "two")["used"] == 0, what="it was given back when the client left")
    go_on.set()
    fake.on("unpriced", saying())


# ---- budgets


def dollars(n):
    return round(n * 1000000)


def test_a_budget_is_reserved_settled_and_spent(gateway, providers):
    providers.fakes["a"].on("a", saying({"prompt_tokens": 1000, "completion_tokens": 400, "total_tokens": 1400}))
    key = limited(gateway, "spender", "0.10 usd/month")
    answer = gateway.chat(key, model="a", max_tokens=500)
    assert answer.status == 200
    assert wait_settled(gateway, "spender")["used"] == dollars(0.01 + 0.04)
    assert gateway.chat(key, model="a", max_tokens=400).status == 200
    refused = gateway.chat(key, model="a", max_tokens=400)
    assert refused.status == 402 and error(refused)["code"] == "budget_exhausted"
    assert "0.1 usd/month" in error(refused)["message"]
    assert wait_settled(gateway, "spender")["used"] == dollars(0.10)


def test_where_the_dear_lane_does_not_fit_the_cheaper_one_is_asked(gateway, providers):
    providers.fakes["b"].on("both", saying())
    key = limited(gateway, "thrifty", "0.01 usd/day")
    answer = gateway.chat(key, model="both", max_tokens=400)
    assert answer.status == 200 and answer.header("x-scribe-model") == "b/both"
    assert answer.header("x-scribe-attempts") == "1"


def test_a_short_budget_downgrades(gateway, providers):
    providers.fakes["a"].on("dear", saying({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}))
    providers.fakes["b"].on("cheap", saying())
    key = limited(gateway, "marked", "0.04 usd/month downgrade=50%")
    assert gateway.chat(key, model="dear", max_tokens=100).header("x-scribe-model") == "a/dear"
    wait_settled(gateway, "marked")
    second = gateway.chat(key, model="dear", max_tokens=100)
    assert second.status == 200 and second.header("x-scribe-model") == "b/cheap", "0.02 of 0.04 is the mark"
    key = limited(gateway, "unfit", "0.01 usd/month")
    assert gateway.chat(key, model="dear", max_tokens=200).header("x-scribe-model") == "b/cheap", "0.02 do not fit"
    bound = limited(gateway, "bound", "0.01 usd/month", models=["dear"])
    assert gateway.chat(bound, model="dear", max_tokens=200).status == 402, "its key may not use the cheaper one"


def test_what_takes_a_model_s_place_is_asked_recorded_and_limited_by_its_own_name(gateway, providers):
    providers.fakes["b"].on("bare", saying())
    key = limited(gateway, "richer", "0.01 usd/month")
    answer = gateway.chat(key, model="rich", max_tokens=200)
    assert answer.status == 200 and answer.header("x-scribe-model") == "b/bare", "its provider knows no model 'rich'"
    assert gateway.event(answer.request_id)["model"] == "bare"
    assert wait_settled(gateway, "bare", "model")["used"] == 1
    assert row(gateway, "rich", "model")["used"] == 0, "nobody was asked for it"


def test_a_cheaper_model_that_is_limited_after_a_failed_attempt(gateway, providers):
    providers.fakes["b"].on("once", saying())
    providers.fakes["b"].on("risky", answering(error_json("down"), 500))
    key = limited(gateway, "gambler", "0.01 usd/month")
    assert gateway.chat(key, model="once", max_tokens=10).status == 200
    failed = gateway.chat(key, model="risky", max_tokens=200)
    assert failed.status >= 500, "who was asked failed, and that is told"
    event = gateway.event(failed.request_id)
    assert event["provider"] == "b" and event["outcome"] == "failed"
    assert gateway.chat(key, model="bare", max_tokens=10).status == 200, "the worker lives"
    wait_settled(gateway, "gambler")


def test_tokens_without_a_price_of_their_own_cost_what_plain_ones_do(gateway, providers):
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "prompt_tokens_details": {"cached_tokens": 900}}
    providers.fakes["a"].on("a", saying(usage))
    key = limited(gateway, "cacher", "1 usd/month")
    assert gateway.chat(key, model="a", max_tokens=100).status == 200
    assert wait_settled(gateway, "cacher")["used"] == dollars(0.02)


def test_what_is_passed_on_unread_needs_a_price_for_each_request(fake):
    for prices, used in (("input = 1\noutput = 1\n", None), ("input = 1\noutput = 1\nrequest = 0.01\n", dollars(0.01))):
        running = Gateway(fake.url, config='[model "default"]\ntarget = fake\n', start=False)
        (running.config / "prices.d").mkdir()
        (running.config / "prices.d/test.conf").write_text('[price "fake/*"]\nfrom = 2020-01-01\ncurrency = USD\n' + prices)
        running.start()
        with running:
            key = limited(running, "orderer", "1 usd/month")
            asked = running.ask("POST", "/v1/batches", bearer(key), {"input_file_id": "x"})
            assert (asked.status == 403) == (used is None), asked.body
            assert wait_settled(running, "orderer")["used"] == (used or 0)


def test_each_attempt_is_a_request_of_its_provider(providers):
    text = providers.config(MODELS.format(web="http://127.0.0.1:1")).replace(
        '[provider "b"]\n', '[provider "b"]\nlimit = 10 requests/day\nbreaker_failures = 0\n')
    with Gateway(config=text + '[model "twice"]\nstrategy = ordered\ntarget = b/first\ntarget = b/second\n') as running:
        key = running.create_key("anyone")
        providers.fakes["b"].on("first", answering(error_json("down"), 500))
        providers.fakes["b"].on("second", saying())
        answer = running.chat(key, model="twice")
        assert answer.status == 200 and answer.header("x-scribe-attempts") == "2"
        assert wait_settled(running, "b", "provider")["used"] == 2


def test_what_has_no_price_cannot_keep_a_budget(gateway):
    key = limited(gateway, "careful", "1 usd/month")
    for model, why in (("unpriced", "no price"), ("euro", "in its currency")):
        refused = gateway.chat(key, model=model)
        assert refused.status == 403 and error(refused)["code"] == "no_price" and why in error(refused)["message"]
    assert wait_settled(gateway, "careful")["used"] == 0
    soft = limited(gateway, "careless", "1 usd/month soft")
    assert gateway.chat(soft, model="unpriced").status == 200


def test_a_provider_has_a_budget_too(providers):
    text = providers.config(MODELS.format(web="http://127.0.0.1:1")).replace(
        '[provider "b"]\n', '[provider "b"]\nlimit = 0.001 usd/day\n')
    running = Gateway(config=text, start=False)
    (running.config / "prices.d").mkdir()
    (running.config / "prices.d/test.conf").write_text(PRICES)
    running.start()
    with running:
        providers.fakes["b"].on("cheap", saying({"prompt_tokens": 5000, "completion_tokens": 500, "total_tokens": 5500}))
        key = running.create_key("anyone")
        assert running.chat(key, model="cheap", max_tokens=100).status == 200
        assert wait_settled(running, "b", "provider")["used"] == 1000
        refused = running.chat(key, model="cheap", max_tokens=100)
        assert refused.status == 402 and "provider 'b'" in error(refused)["message"]


def test_what_costs_nothing_needs_no_price(gateway):
    key = limited(gateway, "looker", "1 usd/month")
    assert gateway.ask("GET", "/v1/files", bearer(key)).status != 403
    refused = gateway.ask("POST", "/v1/batches", bearer(key), {"input_file_id": "x"})
    assert refused.status in (403, 404)


# ---- who


def test_groups_hold_for_all_below_them(gateway):
    group(gateway, "organisation", "4 requests/day")
    group(gateway, "team-a", "3 requests/day", parent="organisation")
    group(gateway, "team-b", parent="organisation")
    alice, bob = limited(gateway, "alice", group="team-a"), limited(gateway, "bob", group="team-b")
    assert [gateway.chat(alice, model="unpriced").status for _ in range(4)] == [200, 200, 200, 429]
    refused = gateway.chat(alice, model="unpriced")
    assert "group 'team-a'" in error(refused)["message"]
    assert [gateway.chat(bob, model="unpriced").status for _ in range(2)] == [200, 429], "one was left of four"
    assert row(gateway, "organisation", "group")["used"] == 4
    gateway.ledger("ChangeGroup", name="organisation", limits=["10 requests/day"])
    settle_keys(gateway)
    assert gateway.chat(bob, model="unpriced").status == 200
    assert row(gateway, "organisation", "group")["used"] == 5, "a changed limit goes on with its count"


def test_a_model_s_limit_holds_for_all(gateway):
    keys = [gateway.create_key(f"few-{i}") for i in range(3)]
    assert [gateway.chat(key, model="few").status for key in keys] == [200, 200, 429]
    assert gateway.chat(keys[0], model="unpriced").status == 200


def test_a_provider_s_limit_leads_to_the_next_target(gateway):
    key = gateway.create_key("spread")
    asked = [gateway.chat(key, model="spread").header("x-scribe-model") for _ in range(3)]
    assert asked == ["tight/spread", "tight/spread", "c/spread"]
    refused = gateway.chat(key, model="tight")
    assert refused.status == 429 and "provider 'tight'" in error(refused)["message"]
    assert row(gateway, "tight", "provider")["used"] == 2


# ---- changes


def test_a_changed_limit_is_in_force_at_once(gateway):
    key = limited(gateway, "changing", "1 requests/day")
    assert [gateway.chat(key, model="unpriced").status for _ in range(2)] == [200, 429]
    change(gateway, "changing", "2 requests/day")
    assert [gateway.chat(key, model="unpriced").status for _ in range(2)] == [200, 429]
    change(gateway, "changing")
    assert gateway.chat(key, model="unpriced").status == 200


def test_soft_limits_warn_and_refuse_nothing(gateway):
    key = limited(gateway, "soft", "2 requests/day soft warn=50%")
    assert [gateway.chat(key, model="unpriced").status for _ in range(4)] == [200] * 4
    near = gateway.wait_log(message_id="7aec0ce93e8b44d18e3d4f202436e6fe", SCRIBE_LIMITED="soft")
    over = gateway.wait_log(message_id="72619be7e6504de7a800f64d52e3d791", SCRIBE_LIMITED="soft")
    assert near and over
    assert len(gateway.log(message_id="72619be7e6504de7a800f64d52e3d791", SCRIBE_LIMITED="soft")) == 1, "once a day"


# ---- addresses


def test_addresses_are_limited_before_their_keys_are_looked_at(providers):
    settings = "address_limit = 5 requests/hour\ntrusted_proxies = 127.0.0.1\n"
    with Gateway(config=providers.config(MODELS.format(web="http://127.0.0.1:1")), gateway=settings) as running:
        key = running.create_key("tester", wait=False)
        settle_keys(running)

        def ask(address, key=key):
            return running.ask("GET", "/v1/models", {**bearer(key), "x-forwarded-for": address})

        assert [ask("192.0.2.1", "sk-nothing").status for _ in range(6)] == [401] * 5 + [429]
        assert ask("192.0.2.1").status == 429 and ask("192.0.2.2").status == 200
        assert [ask(f"2001:db8::{i}").status for i in range(6)] == [200] * 5 + [429], "of IPv6 a /64 is one"
        running.reload()
        assert ask("192.0.2.1").status == 429, "a reload that leaves the limit goes on with its counts"
        assert running.ask("GET", "/health").status == 200


# ---- over the process's end


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_counts_outlive_the_process_and_reservations_do_not(providers, how):
    go_on = threading.Event()
    with Gateway(config=providers.config(MODELS.format(web="http://127.0.0.1:1"))) as running:
        key = limited(running, "lasting", "5 requests/day", "3 concurrent", "100000 tokens/day")
        providers.fakes["c"].on("unpriced", saying())
        assert [running.chat(key, model="unpriced").status for _ in range(2)] == [200, 200]
        providers.fakes["c"].on("unpriced", held_stream(go_on))
        wires = [running.connect() for _ in range(2)]
        for wire in wires:
            wire.send(open_stream(key))
        rows = lambda: {r["limit"]: r for r in running.ctl("limits", "show", "lasting")["limits"]}
        wait_for(lambda: rows()["3 concurrent"]["used"] == 2, what="two open")
        if how == signal.SIGKILL:
            running.kill()
        else:
            go_on.set()
            running.stop()
        for wire in wires:
            wire.close()
        go_on.set()
        providers.fakes["c"].on("unpriced", saying())
        running.start()
        found = rows()
        assert found["3 concurrent"]["used"] == 0 and found["100000 tokens/day"]["reserved"] == 0
        # What was open at SIGKILL is taken back at once; what the ledger finds of it in the journal counts again, a moment later.
        assert found["5 requests/day"]["used"] in ([2, 3, 4] if how == signal.SIGKILL else [4]), found
        wait_for(lambda: rows()["5 requests/day"]["used"] == 4, what="what the ledger has counted")
        assert [running.chat(key, model="unpriced").status for _ in range(2)] == [200, 429]


def test_the_ledger_brings_back_what_everything_else_forgot(providers):
    providers.fakes["a"].on("a", saying({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}))
    running = Gateway(config=providers.config(MODELS.format(web="http://127.0.0.1:1")), start=False)
    (running.config / "prices.d").mkdir()
    (running.config / "prices.d/test.conf").write_text(PRICES)
    running.start()
    with running:
        group(running, "house", "0.10 usd/month", "2000 tokens/day")
        key = limited(running, "resident", "0.05 usd/day", "9 requests/month", group="house")
        assert [running.chat(key, model="a", max_tokens=100).status for _ in range(1)] == [200]
        wait_for(lambda: len(running.usage(key="resident")) == 1, what="the event")
        running.stop()
        (running.run / "limits").unlink()
        (running.state / "limits.saved").unlink()
        running.start()

        def used():
            return {r["limit"]: r["used"] for kind in ("resident", "house") for r in running.ctl("limits", "show", kind)["limits"]}
        wait_for(lambda: used() == {"0.05 usd/day": 20000, "9 requests/month": 1, "0.1 usd/month": 20000, "2000 tokens/day": 1100},
                 what="the ledger's figures")
        refused = running.chat(key, model="a", max_tokens=900)
        assert refused.status == 402 or "2000 tokens/day" in error(refused)["message"]
