"""Who is asked: strategies, affinity, chains, keys bound to models, roles from the environment, lanes out by an admin; and what the
client is told of it."""

import re
from collections import Counter

import pytest

from fake import answering, error_json, plain, stream, stream_frames
from gateway import Gateway, bearer
from providers import Providers, anthropic, anthropic_error, counting, saying, text_of

MODELS = """
[model "by-weight"]
target = a/weighed weight=3
target = b/weighed
[model "in-order"]
strategy = ordered
target = b/ordered
target = a/ordered
[model "quick"]
strategy = least_latency
target = a/timed
target = b/timed
[model "cheap"]
strategy = cheapest
target = c/priced
target = a/priced
target = b/priced
[model "talk"]
affinity = conversation
target = a/talk
target = b/talk
target = c/talk
[model "owner"]
affinity = key
target = a/owner
target = b/owner
target = c/owner
[model "chain"]
alias = chained
target = a/chain
fallback = b/chain
fallback = c/chain
[model "sized"]
target = a/sized context=100
larger = b/sized context=1000
larger = c/sized context=100000
[model "long"]
target = n/long
larger = a/longer
larger = b/longest
[model "wide-*"]
alias = widest
target = a
"""
NAMES = "abcn"


@pytest.fixture(scope="module")
def providers():
    with Providers(*NAMES, dialects={"n": "anthropic"}) as found:
        found.n.default = anthropic
        for name in "abc":
            found.fakes[name].default = saying(name)
        yield found
        for fake in found.fakes.values():
            assert fake.failures() == []


@pytest.fixture
def gateway(providers):
    """A new one for each test: what it knows of lanes is its own."""
    for fake in providers.fakes.values():
        fake.scripts.clear()
    with Gateway(config=providers.config(MODELS), workers=1) as running:
        yield running


@pytest.fixture
def key(gateway):
    return gateway.create_key("tester")


def ask_many(gateway, key, model, n):
    with gateway.connect() as wire:
        return Counter(gateway.chat(key, model=model, wire=wire).header("x-scribe-model") for _ in range(n))


# ---- strategies

def test_weights_are_shares(gateway, key):
    told = ask_many(gateway, key, "by-weight", 600)
    assert sum(told.values()) == 600 and 390 <= told["a/weighed"] <= 510, told  # 450 on average, 10.6 the deviation


def test_in_order(gateway, providers, key):
    assert ask_many(gateway, key, "in-order", 20) == {"b/ordered": 20}
    providers.b.on("ordered", answering(error_json("down"), 503))
    assert ask_many(gateway, key, "in-order", 5) == {"a/ordered": 5}


def test_least_latency_finds_who_is_quick_and_follows_a_change(gateway, providers, key):
    pauses = {"a": 0.25, "b": 0.0}

    def paced(name):
        def script(x):
            x.pause(pauses[name])
            saying(name)(x)
        return script
    for name in "ab":
        providers.fakes[name].on("timed", paced(name))
    told = ask_many(gateway, key, "quick", 20)
    assert told["b/timed"] >= 15 and told["a/timed"] >= 1, told
    pauses.update(a=0.0, b=1.2)
    told = ask_many(gateway, key, "quick", 4)  # 0.3 s is known of b after one of 1.2 s, and 0.25 s of a
    assert told["a/timed"] >= 2, told


def price(name, value, currency="USD"):
    return f'[price "{name}"]\nfrom = 2026-01-01\ncurrency = {currency}\ninput = {value}\noutput = 1\n'


def test_cheapest_follows_the_prices(gateway, providers, key):
    prices = gateway.config / "prices.d"
    prices.mkdir()
    assert set(ask_many(gateway, key, "cheap", 3)) == {"c/priced"}  # of none is anything known
    for text, first in ((price("a/priced", 2) + price("b/priced", 1), "b"), (price("a/*", "0.5") + price("b/priced", 1), "a"),
                        (price("a/priced", 2) + price("b/priced", 1, "EUR"), "a")):
        (prices / "test.conf").write_text(text)
        gateway.reload()
        assert ask_many(gateway, key, "cheap", 5) == {f"{first}/priced": 5}, text
    providers.a.on("priced", answering(error_json("down"), 503))
    answer = gateway.chat(key, model="cheap")
    assert answer.header("x-scribe-attempts") == "2" and answer.header("x-scribe-model") != "a/priced"


# ---- affinity

def turns(n, name):
    """What a client sends in its n-th turn."""
    said = [{"role": "system", "content": "You are kind."}, {"role": "user", "content": f"I am {name}"}]
    for i in range(n):
        said += [{"role": "assistant", "content": f"answer {i}"}, {"role": "user", "content": f"question {i}"}]
    return said


def where(gateway, key, n, name, model="talk", path="/v1/chat/completions", **more):
    said = turns(n, name)
    body = {"model": model, "input" if path == "/v1/responses" else "messages": said, **more}
    if path == "/v1/messages":
        body.update(messages=said[1:], system=said[0]["content"], max_tokens=10)
    answer = gateway.ask("POST", path, bearer(key), body)
    assert answer.status == 200, answer
    return answer.header("x-scribe-model")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_the_turns_of_a_conversation_stay_together(gateway, key, path):
    first = {name: where(gateway, key, 0, name, path=path) for name in range(30)}
    for n in (1, 2, 5):
        assert {name: where(gateway, key, n, name, path=path, temperature=0.5) for name in range(30)} == first
    spread = Counter(first.values())
    assert len(spread) == 3 and max(spread.values()) <= 22, spread


def test_conversations_of_a_target_that_is_out_move_and_come_back(gateway, providers, key):
    first = {name: where(gateway, key, 0, name) for name in range(30)}
    gateway.ctl("upstream", "drain", "a/talk")
    moved = {name: where(gateway, key, 1, name) for name in range(30)}
    assert "a/talk" not in moved.values()
    assert all(moved[name] == target for name, target in first.items() if target != "a/talk")
    gateway.ctl("upstream", "enable", "a/talk")
    assert {name: where(gateway, key, 2, name) for name in range(30)} == first


def test_affinity_of_a_key(gateway):
    keys = [gateway.create_key(f"owner-{i}") for i in range(16)]
    first = [where(gateway, key, 0, "x", model="owner") for key in keys]
    assert [where(gateway, key, 0, "y", model="owner") for key in keys] == first
    assert len(set(first)) > 1


# ---- chains

def test_fallbacks_are_asked_in_order(gateway, providers, key):
    def told(model="chain"):
        answer = gateway.chat(key, model=model)
        return answer.status, answer.header("x-scribe-model"), answer.header("x-scribe-attempts")
    assert told() == (200, "a/chain", "1")
    providers.a.on("chain", answering(error_json("down"), 500))
    assert told() == (200, "b/chain", "2")
    providers.b.on("chain", lambda x: x.reset())
    assert told() == told("chained") == (200, "c/chain", "3")
    providers.c.on("chain", answering(error_json("the last word"), 500))
    assert told() == (500, "c/chain", "3")


def test_small_targets_are_passed_over(gateway, providers, key):
    def told(content, **more):
        return gateway.chat(key, model="sized", content=content, **more).header("x-scribe-model")
    assert told("short") == "a/sized"
    assert told("short", max_tokens=400) == told("four" * 500) == "b/sized"
    assert told("four" * 5000) == "c/sized"
    assert told("four" * 500000) == "a/sized"  # nobody has room for it: the provider says so itself


@pytest.mark.parametrize("first", [
    anthropic_error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    anthropic_error("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease "
                                             "input length or `max_tokens` and try again"),
])
def test_larger_models_are_asked_in_order_across_dialects(gateway, providers, key, first):
    refused = counting(answering(error_json("This model's maximum context length is 8192 tokens", code="context_length_exceeded"), 400))
    providers.n.on("long", first)
    providers.a.on("longer", refused)
    for path, more in (("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 10})):
        answer = gateway.chat(key, model="long", path=path, **more)
        assert (answer.status, answer.header("x-scribe-model"), answer.header("x-scribe-attempts")) == (200, "b/longest", "3"), answer
    assert refused.n == 2
    assert all(row["state"] == "up" for row in gateway.ctl("upstream", "list")["lanes"])


# ---- keys

def test_a_key_may_be_bound_to_names_and_aliases(gateway, providers, key):
    by_name = gateway.create_key("by-name", models=["chain"])
    by_alias = gateway.create_key("by-alias", models=["chained", "wide-open"])
    for secret, may in ((by_name, {"chain", "chained"}), (by_alias, {"chained", "wide-open"})):
        for path, kind in (("/v1/chat/completions", None), ("/v1/messages", "permission_error"), ("/v1/responses", None)):
            for model in ("chain", "chained", "in-order", "wide-open", "widest"):
                body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
                if path == "/v1/responses":
                    body = {"model": model, "input": "x"}
                answer = gateway.ask("POST", path, bearer(secret), body)
                assert answer.status == (200 if model in may else 403), (path, model, answer)
                if answer.status == 403:
                    assert answer.json()["error"]["type"] == (kind or "permission_error")
        listed = {m["id"] for m in gateway.ask("GET", "/v1/models", bearer(secret)).json()["data"]}
        assert listed == may - {"wide-open"}


def test_a_key_cannot_leave_its_models_by_other_paths(gateway, providers, key):
    bound = gateway.create_key("bound", models=["chain"])
    n = sum(len(fake.requests) for fake in providers.fakes.values())
    for path in ("/v1/messages/batches", "/v1/files", "/v1/responses/resp_1/cancel"):
        assert gateway.ask("POST", path, bearer(bound), {"requests": []}).status == 403
    assert gateway.ask("GET", "/v1/responses/resp_1", bearer(bound)).status == 403
    assert gateway.ask("POST", "/v1/messages/count_tokens", bearer(bound), {"model": "long", "messages": []}).status == 403
    assert sum(len(fake.requests) for fake in providers.fakes.values()) == n


def test_roles_come_from_the_environment(providers):
    env = {"LLM_API_KEY": "secret-of-the-environment", "LLM_BASE_URL": providers.a.url, "LLM_DEFAULT_MODEL": "small-one",
           "LLM_HIGH_PRECISION_MODEL": "large-one"}
    providers.a.scripts.clear()
    with Gateway(env=env, workers=1) as gateway:
        gateway.secrets.append(env["LLM_API_KEY"])
        key = gateway.create_key("tester")
        for model, upstream in ((None, "small-one"), ("default", "small-one"), ("high_precision", "large-one"), ("any-other", "any-other")):
            answer = gateway.chat(key, model=model)
            assert (answer.status, answer.header("x-scribe-model")) == (200, f"llm/{upstream}")
            x = providers.a.requests[-1]
            assert (x.model, x.header("authorization")) == (upstream, f"Bearer {env['LLM_API_KEY']}")
            assert gateway.event(answer.request_id)["model"] == (model or "default")
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
        assert gateway.ask("POST", "/v1/messages", bearer(key), body).header("x-scribe-model") == "llm/small-one"
        assert gateway.ask("POST", "/v1/responses", bearer(key), {"input": "x"}).header("x-scribe-model") == "llm/small-one"


# ---- what the client is told

def test_server_timing_is_off_until_it_is_asked_for(gateway, providers, key):
    assert gateway.chat(key, model="in-order").header("server-timing") is None
    gateway.write_config(gateway.main_text.replace("[gateway]", "[gateway]\nserver_timing = yes"))
    gateway.reload()

    def slow(x):
        x.pause(0.05)
        plain(x)
    providers.b.on("ordered", slow)
    for is_stream in (False, True):
        told = gateway.chat(key, model="in-order", stream=is_stream).header("server-timing")
        found = re.fullmatch(r"gateway;dur=(\d+\.\d{3}), provider;dur=(\d+\.\d{3})", told)
        assert found and float(found[2]) >= 50 > float(found[1]), told
    providers.b.on("ordered", answering(error_json("wrong"), 400))
    assert gateway.chat(key, model="in-order").header("server-timing")


FORGED = [("X-Scribe-Model", "forged"), ("x-scribe-attempts", "99"), ("X-SCRIBE-DROPPED", "nothing"), ("X-Scribe-Other", "forged")]


@pytest.mark.parametrize("script", [
    lambda x: x.answer({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}, headers=FORGED),
    lambda x: x.answer(error_json("wrong"), 400, headers=FORGED),
    lambda x: (x.start_stream(FORGED), [x.chunk(data) for data in stream_frames()], x.end_stream()),
], ids=["answer", "error", "stream"])
def test_a_provider_cannot_forge_our_word(gateway, providers, key, script):
    providers.b.on("ordered", script)
    for path, more in (("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 9})):
        answer = gateway.chat(key, model="in-order", path=path, stream="chunk" in script.__code__.co_names, **more)
        told = {name: value for name, value in answer.headers if name.startswith("x-scribe-")}
        assert told == {"x-scribe-model": "b/ordered", "x-scribe-attempts": "1"}, answer


def test_a_client_cannot_forge_our_word(gateway, providers, key):
    body = {"model": "in-order", "messages": [{"role": "user", "content": "x"}]}
    assert gateway.ask("POST", "/v1/chat/completions", {**bearer(key), **dict(FORGED)}, body).status == 200
    assert not [name for name, _ in providers.b.requests[-1].headers if name.startswith("x-scribe-")]


def test_what_was_left_out_is_named_by_the_last_attempt(gateway, providers, key):
    """The first target is of the other dialect and fails; the second understands all of it."""
    providers.n.on("long", anthropic_error("overloaded_error"))
    gateway.write_config(gateway.main_text + '[model "mixed"]\nstrategy = ordered\ntarget = n/long\ntarget = a/mixed\n')
    gateway.reload()
    answer = gateway.chat(key, model="mixed", seed=5)
    assert (answer.status, answer.header("x-scribe-attempts"), answer.header("x-scribe-dropped")) == (200, "2", None)
    assert providers.a.requests[-1].json["seed"] == 5
    providers.n.scripts.clear()
    gateway.ctl("upstream", "enable", "n/long")
    answer = gateway.chat(key, model="mixed", seed=5)
    assert (answer.header("x-scribe-model"), answer.header("x-scribe-dropped")) == ("n/long", "seed")


# ---- by an admin

def test_a_lane_that_is_drained_gets_nothing_until_it_is_enabled(gateway, providers, key):
    gateway.ctl("upstream", "drain", "b/ordered")
    n = len(providers.b.requests)
    assert ask_many(gateway, key, "in-order", 10) == {"a/ordered": 10} and len(providers.b.requests) == n
    gateway.reload()
    assert ask_many(gateway, key, "in-order", 3) == {"a/ordered": 3}
    gateway.ctl("upstream", "drain", "a/ordered")
    answer = gateway.chat(key, model="in-order")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "no_target") and int(answer.header("retry-after")) > 0
    assert "admin" in gateway.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_DETAIL"]
    answer = gateway.chat(key, model="in-order", path="/v1/messages", max_tokens=5)
    assert (answer.status, answer.json()["type"]) == (503, "error")
    assert gateway.chat(key, model="by-weight").status == 200  # other lanes of the same providers
    gateway.ctl("upstream", "enable", "b/ordered")
    assert ask_many(gateway, key, "in-order", 5) == {"b/ordered": 5}


def test_enabling_ends_a_breakers_time(gateway, providers, key):
    providers.b.on("ordered", lambda x: x.reset())
    assert ask_many(gateway, key, "in-order", 8) == {"a/ordered": 8}
    providers.b.scripts.clear()
    assert ask_many(gateway, key, "in-order", 3) == {"a/ordered": 3}
    gateway.ctl("upstream", "enable", "b/ordered")
    assert ask_many(gateway, key, "in-order", 3) == {"b/ordered": 3}


def test_a_credential_that_is_drained_is_not_sent(providers):
    lines = "credential = one env:ONE\ncredential = two env:TWO priority=2\n"
    config = providers.config('[model "m"]\ntarget = a\n').replace("api_key = env:FAKE_PROVIDER_KEY\n", lines, 1)
    with Gateway(config=config, workers=1, env={"ONE": "secret-of-one", "TWO": "secret-of-two"}) as gateway:
        gateway.secrets += ["secret-of-one", "secret-of-two"]
        key = gateway.create_key("tester")

        def sent():
            assert text_of(gateway.chat(key, model="m")) == "a"
            return providers.a.requests[-1].header("authorization")
        assert sent() == "Bearer secret-of-one"
        gateway.ctl("upstream", "drain", "a", "credential", "one")
        assert sent() == "Bearer secret-of-two"
        gateway.ctl("upstream", "enable", "a", "credential", "one")
        assert sent() == "Bearer secret-of-one"
