"""Three nodes, one Redis, one database: limits hold for all of them together, and what fails in between is bounded."""

import concurrent.futures
import os
import signal
import threading
import time

import pytest

from fleet import Fleet
from gateway import SLOWNESS, become_subreaper, bearer, wait_for
from limits import row
from peers import Redis
from postgres import Postgres
from test_19_upgrade import upgrade

REDIS = "\n[redis]\nurl = redis://{hub}:6379\n"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with Redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        running.prepare()
        yield running


def database(postgres, role="scribe_owner"):
    """As the nodes see it: through the relay."""
    return "\n[ledger]\ndatabase = " + postgres.url(role).replace(f"127.0.0.1:{postgres.port}", "{hub}:5432") + "\n"


@pytest.fixture
def fleet(redis, postgres):
    postgres.sql("DROP SCHEMA IF EXISTS scribe CASCADE", database="scribe")
    flush(redis)
    with Fleet(3, redis.port, postgres.port, REDIS + database(postgres), workers=1) as running:
        yield running


def flush(redis):
    redis.command("FLUSHALL")


def ask_all(fleet, key, n, threads=24, **fields):
    """The statuses of n chats, spread over the nodes."""
    def ask(i):
        return fleet.nodes[i % len(fleet.nodes)].chat(key, **fields).status

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(n)))


def used(fleet, name):
    return [row(node, name)["used"] for node in fleet.nodes]


def wait_reserved_nothing(fleet, name):
    for node in fleet.nodes:
        wait_for(lambda node=node: row(node, name)["reserved"] == 0, 20, f"nothing reserved for {name}")


# ---- exactness


def test_a_thousand_at_once_on_three_nodes_against_a_hundred(fleet):
    key = fleet.limited("shared", "100 requests/day")
    statuses = ask_all(fleet, key, 1000)
    assert statuses.count(200) == 100 and statuses.count(429) == 900, statuses.count(200)
    wait_reserved_nothing(fleet, "shared")


def test_a_budget_of_tokens_is_shared_and_settled(fleet):
    """A chat takes 4 tokens, and reserves more."""
    key = fleet.limited("tokens", "1200 tokens/month")
    statuses = ask_all(fleet, key, 400, max_tokens=20)
    events = wait_for(lambda: (e := fleet.nodes[0].usage(key="tokens")) and len(e) == statuses.count(200) and e, 20, "all events")
    spent = sum(e["input_tokens"] + e["output_tokens"] for e in events)
    assert 1000 <= spent <= 1200 and set(statuses) == {200, 429}, (spent, statuses.count(200))
    wait_reserved_nothing(fleet, "tokens")


def test_a_bucket_is_shared(fleet):
    key = fleet.limited("bucket", "600 requests/minute")
    begin = time.monotonic()
    statuses = ask_all(fleet, key, 1500)
    seconds = time.monotonic() - begin
    assert 500 <= statuses.count(200) <= 600 + 10 * seconds + 1, (statuses.count(200), seconds)


def test_concurrency_is_shared(fleet):
    for node in fleet.nodes:
        node.write_dropin("slow.conf", '[provider "slow"]\ndialect = echo\npace = 20ms\n[model "slow"]\ntarget = slow\n')
        node.reload()
    key = fleet.limited("few", "6 concurrent")
    most, now, lock = 0, 0, threading.Lock()

    def ask(i):
        nonlocal most, now
        answer = fleet.nodes[i % 3].chat(key, model="slow", content="one two three four five six", stream=True)
        return answer.status

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(ask, i) for i in range(120)]
        while not all(a.done() for a in asked):
            now = sum(row(node, "few")["used"] for node in fleet.nodes)
            with lock:
                most = max(most, now)
    statuses = [a.result() for a in asked]
    assert most <= 6 and statuses.count(200) >= 6, (most, statuses.count(200))


# ---- without Redis


def alone(node, name):
    r = row(node, name)
    return r if r["alone"] else None


@pytest.mark.parametrize("how", ["refuse", "hold", "cut"])
def test_without_redis_the_error_is_bounded_and_told(fleet, how):
    key = fleet.limited("bounded", "300 requests/day")
    assert ask_all(fleet, key, 60).count(200) == 60
    if how == "cut":
        for node in fleet.nodes:
            fleet.cut(node, "redis")
    else:
        getattr(fleet.redis_relay, how)()
    rows = [wait_for(lambda node=node: alone(node, "bounded"), 20, "the node to see that it is alone") for node in fleet.nodes]
    bound = max(r["bound"] for r in rows)
    served = 60 + ask_all(fleet, key, 900).count(200)
    assert 200 <= served <= 300 + bound, (served, bound)
    fleet.redis_relay.heal()
    for node in fleet.nodes:
        fleet.heal(node)
        wait_for(lambda node=node: not row(node, "bounded")["alone"], 20, "Redis to be back")
    assert ask_all(fleet, key, 30).count(200) <= max(0, 300 - served)


def test_a_flushed_redis_forgets_nothing_that_counts(fleet, redis):
    key = fleet.limited("flushed", "200 requests/day")
    served = ask_all(fleet, key, 100).count(200)
    flush(redis)
    served += ask_all(fleet, key, 100).count(200)
    flush(redis)
    served += ask_all(fleet, key, 200).count(200)
    assert served == 200


def test_what_a_dead_node_held_comes_back(fleet):
    key = fleet.limited("dead", "90 requests/day")
    assert ask_all(fleet, key, 30).count(200) == 30
    fleet.nodes[2].kill()
    living = fleet.nodes[:2]

    def served():
        statuses = [living[i % 2].chat(key).status for i in range(20)]
        served.n += statuses.count(200)
        return served.n == 60
    served.n = 0
    wait_for(served, 90, "all of the limit to be used by those who live")
    assert [node.chat(key).status for node in living] == [429, 429]
    fleet.nodes[2].start()


# ---- keys and the database


def test_a_key_revoked_on_one_node_is_revoked_on_all(fleet):
    key = fleet.limited("revoked")
    assert ask_all(fleet, key, 3) == [200] * 3
    begin = time.monotonic()
    fleet.nodes[0].ledger("RevokeKey", name="revoked")
    for node in fleet.nodes:
        wait_for(lambda node=node: node.chat(key).status == 401, 10, "the revocation")
    assert time.monotonic() - begin < 1 * SLOWNESS


def test_a_node_without_the_database_goes_on_and_says_what_it_does_not_know(fleet):
    key = fleet.limited("known")
    lonely = fleet.nodes[1]
    fleet.cut(lonely, "postgres")
    fresh = fleet.nodes[0].create_key("fresh", wait=False)
    lonely.secrets.append(fresh)
    wait_for(lambda: lonely.ask("GET", "/v1/models", bearer(fresh)).status == 503, 40, "503 for what cannot be known")
    assert lonely.chat(key).status == 200
    fleet.heal(lonely)
    wait_for(lambda: lonely.chat(fresh).status == 200, 60, "the new key")
    wait_for(lambda: len(lonely.usage(key="known")) == 1, 60, "its usage")


def test_nodes_learn_of_each_other_by_the_ledger_alone(redis, postgres):
    postgres.sql("DROP SCHEMA IF EXISTS scribe CASCADE", database="scribe")
    with Fleet(2, None, postgres.port, database(postgres), workers=1) as fleet:
        key = fleet.limited("told", "50 requests/day")
        assert [fleet.nodes[0].chat(key).status for _ in range(40)] == [200] * 40
        wait_for(lambda: row(fleet.nodes[1], "told")["used"] == 40, 20, "what the other node has used")
        assert [fleet.nodes[1].chat(key).status for _ in range(11)] == [200] * 10 + [429]


def test_sigkill_of_a_node_loses_and_doubles_nothing(fleet):
    key = fleet.limited("killed", "100000 requests/day")
    statuses = ask_all(fleet, key, 90)
    fleet.nodes[1].process.send_signal(signal.SIGKILL)
    fleet.nodes[1].kill()
    fleet.nodes[1].start()
    statuses += ask_all(fleet, key, 90)
    wait_for(lambda: len(fleet.nodes[0].usage(key="killed")) == statuses.count(200), 30, "one event for each")


def test_an_upgrade_passes_no_limit_and_loses_no_grant(fleet):
    become_subreaper()
    key = fleet.limited("upgraded", "150 requests/day")
    statuses, over = [], threading.Event()

    def ask():
        while not over.is_set():
            for node in fleet.nodes:
                statuses.append(node.chat(key).status)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    old, _ = upgrade(fleet.nodes[0])
    wait_for(lambda: statuses.count(429) > 50, 60, "the limit to be used up")
    over.set()
    for t in threads:
        t.join()
    assert statuses.count(200) == 150
    assert old.wait(30 * SLOWNESS) == 0
