"""Limits under all kinds of ends at once: at the end nothing is held, and what is used is what the ledger has.

    SCRIBE_LIMITS_OUTCOMES   exchanges of the whole campaign (600)
    SCRIBE_LIMITS_SEED       its dice; told with every failure

Every key counts its requests, tokens and money of the month against limits that nothing reaches, beside limits that are reached and
changed all the time. For each key, when all is settled:

    tokens = input + output tokens of its events
    money  = what its events cost, each rounded up to a millionth
    requests = its events + what was admitted and ended before anybody was asked (a body that is no JSON, an unknown model, the list
               of models; of clients that left nobody can say on which side of that they were)

Limits refuse without a trace, so they are in none of these. Whoever is killed in between leaves at most what it held too much.
"""

import os
import random
import signal
import socket
import threading
import time

import h2.exceptions
import pytest

from fake import chat_json, error_json, stream, stream_frames
from gateway import SLOWNESS, Adopted, Gateway, become_subreaper, bearer, wait_for
from limits import settle_keys
from providers import Providers
from test_25_http2 import Client
from varlink import Varlink
from wire import Closed, request_bytes

OUTCOMES = int(os.environ.get("SCRIBE_LIMITS_OUTCOMES", "600"))
SEED = int(os.environ.get("SCRIBE_LIMITS_SEED", "0")) or int(time.time())
COUNTERS = ["10M requests/month", "10000M tokens/month", "100000 usd/month"]
LIMITS = ["5 concurrent", "3 concurrent", "6000 requests/minute", "40 requests/hour soft", "10M tokens/hour", "90M tokens/day warn=80%",
          "9 usd/day downgrade=10%", "0.002 usd/day", "200000 requests/day", "100K tokens/minute"]
GROUP_LIMITS = ["8 concurrent", "9000 requests/minute", "100000 requests/day soft", "1 usd/day soft", "2000M tokens/day"]
N_KEYS, N_CLIENTS = 8, 10
LEFT, EARLY, TOLD = "left", "early", "told"

MODELS = """
[model "plain"]
target = a
{plain}
[model "both"]
strategy = ordered
target = a/both
target = b/both
retries = 2
[model "dear"]
target = a/dear
target = b/dear
downgrade = cheap
[model "cheap"]
target = b/cheap
{cheap}
[model "read-on"]
target = a
on_disconnect = drain
[service "web"]
prefix = /web/
endpoint = {web}
"""
PRICES = """
[price "a/*"]
from = 2020-01-01
currency = USD
input = 10
cached_input = 1
output = 100
[price "b/*"]
from = 2020-01-01
currency = USD
input = 0.3
cached_input = 0.03
output = 1.7
"""
CHANGING = [{"plain": "", "cheap": ""}, {"plain": "limit = 6 concurrent\nlimit = 9000 requests/minute", "cheap": ""},
            {"plain": "limit = 100M tokens/hour", "cheap": "limit = 0.5 usd/day\nlimit = 500 requests/day"}]


def usage_of(dice):
    n_in, n_out = dice.randrange(1, 2000), dice.randrange(1, 300)
    cached = dice.randrange(n_in + 1) if dice.random() < 0.3 else 0
    return {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out,
            "prompt_tokens_details": {"cached_tokens": cached}} if cached else \
        {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}


def serve(x):
    """What a request's own words tell the provider to do with it."""
    words = (x.json.get("messages") or [{}])[0].get("content") if isinstance(x.json, dict) else None
    if not isinstance(words, str):
        x.answer(chat_json())
        return
    plan, _, seed = words.partition(" ")
    dice = random.Random(seed)
    usage = usage_of(dice)
    if plan == "slow":
        x.pause(dice.random() * 0.3)
    if plan == "refuse":
        x.answer(error_json("no"), dice.choice([400, 404, 422]))
    elif plan == "down":
        x.answer(error_json("down"), dice.choice([500, 503]))
    elif plan == "reset":
        x.reset()
    elif plan == "garbage":
        x.send(b"garbage\r\n\r\n")
        x.close()
    elif not x.is_stream:
        x.answer(chat_json(usage=usage if plan != "unmeasured" else None))
    elif plan == "cut":
        stream(stream_frames(usage=None, done=False), end=False)(x)
    else:
        stream(stream_frames(words=("a",) * dice.randrange(1, 9), usage=usage if plan != "unmeasured" else None),
               pace=0.02 if plan == "slow" else 0)(x)


class Campaign:
    def __init__(self, gateway, secrets, n, seed):
        self.gateway, self.secrets, self.seed, self.left = gateway, secrets, seed, n
        self.lock = threading.Lock()
        self.early, self.gone, self.statuses = dict.fromkeys(secrets, 0), dict.fromkeys(secrets, 0), {}
        self.wrong = []
        self.is_over = threading.Event()
        self.kills = False

    # ---- clients

    def body(self, dice, **more):
        plan = dice.choice(["whole"] * 4 + ["slow", "slow", "refuse", "down", "reset", "garbage", "cut", "unmeasured"])
        fields = {"model": dice.choice(["plain", "both", "dear", "read-on"]), "stream": dice.random() < 0.5,
                  "messages": [{"role": "user", "content": f"{plan} {dice.random()}"}]}
        most = dice.choice([None, 1, 50, 400, 4000, 2**53])
        return {**fields, **({"max_tokens": most} if most else {}), **more}

    def chat(self, dice, key):
        path = dice.choice(["/v1/chat/completions"] * 3 + ["/v1/messages"])
        body = self.body(dice)
        if path == "/v1/messages":
            body.setdefault("max_tokens", 100)
        return self.gateway.ask("POST", path, bearer(key), body, keep_broken=True).status, TOLD

    def leave(self, dice, key):
        """At any moment: with half of the head, half of the body, before or within the answer."""
        data = request_bytes("POST", "/v1/chat/completions", bearer(key), self.body(dice))
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20) as s:
            s.sendall(data[:dice.choice([len(data), len(data), len(data), dice.randrange(len(data))])])
            if dice.random() < 0.6:
                s.settimeout(dice.random() * 0.1 + 0.001)
                try:
                    s.recv(dice.randrange(1, 2000))
                except TimeoutError:
                    pass
        return 0, LEFT

    def fail_early(self, dice, key):
        headers = {**bearer(key), "content-type": "application/json"}
        method, path, body = dice.choice([("POST", "/v1/chat/completions", b"{"), ("GET", "/v1/models", None),
                                          ("POST", "/v1/chat/completions", b'{"model":"nothing","messages":[]}'),
                                          ("POST", "/v1/messages", b'{"model":"plain"}')])
        return self.gateway.ask(method, path, headers, body).status, EARLY

    def serve_web(self, dice, key):
        return self.gateway.ask("GET", "/web/v1/x", bearer(key), keep_broken=True).status, TOLD

    def reset_streams(self, dice, key):
        with Client(self.gateway.port, timeout=20) as client:
            found = [client.request("POST", "/v1/chat/completions", {"authorization": f"Bearer {key}"}, self.body(dice))
                     for _ in range(3)]
            client.h2.reset_stream(found[0])
            client.flush()
            client.wait(found[1])
        return 0, LEFT

    def one(self, dice, name):
        act, n = dice.choices([(self.chat, 1), (self.leave, 1), (self.fail_early, 1), (self.serve_web, 1), (self.reset_streams, 3)],
                              [12, 4, 2, 1, 1])[0]
        try:
            status, kind = act(dice, self.secrets[name])
        except ConnectionRefusedError:
            assert self.kills, "nobody listens"
            time.sleep(0.01)  # until it is there again: no outcome
            return
        except (Closed, ConnectionError, TimeoutError, h2.exceptions.ProtocolError) as error:
            status, kind = 0, LEFT
            if not self.kills and not isinstance(error, (Closed, ConnectionError)):
                self.wrong.append(f"{act.__name__}: {error!r}")
        with self.lock:
            self.left -= n
            self.statuses[status] = self.statuses.get(status, 0) + n
            if kind == LEFT:
                self.gone[name] += n
            elif kind == EARLY and status not in (402, 429):
                self.early[name] += 1

    def client(self, number):
        dice = random.Random(self.seed * 1000 + number)
        try:
            while self.left > 0:
                self.one(dice, dice.choice(list(self.secrets)))
        except Exception as error:  # told below, with the seed
            self.wrong.append(f"client {number}: {error!r}")

    # ---- what changes meanwhile

    def trouble(self, tasks):
        dice = random.Random(self.seed)
        while not self.is_over.wait(dice.random() * 0.3):
            task = dice.choice(tasks)
            try:
                task(dice)
            except Exception as error:
                self.wrong.append(f"{task.__name__}: {error!r}")
                return

    def run(self, tasks):
        clients = [threading.Thread(target=self.client, args=(i,)) for i in range(N_CLIENTS)]
        trouble = threading.Thread(target=self.trouble, args=(tasks,))
        for t in [*clients, trouble]:
            t.start()
        for t in clients:
            t.join()
        self.is_over.set()
        trouble.join()
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:5]}"


def wait_none(find, what):
    """Until find() finds nothing; else what it found last."""
    try:
        wait_for(lambda: not find(), 20, what, pause=0.1)
    except AssertionError:
        found = find()
        assert not found, f"{what}: {found}"


class House:
    """A gateway with keys in groups, and what can be done to it while it works."""

    def __init__(self, providers):
        self.providers = providers
        for fake in providers.fakes.values():
            fake.default = serve
        self.gateway = Gateway(config=self.models(0), start=False, ledger="own", log_level="warning")
        self.main_text = self.gateway.main_text
        (self.gateway.config / "prices.d").mkdir()
        (self.gateway.config / "prices.d/test.conf").write_text(PRICES)
        self.gateway.start()
        for name in ("root", "team-a", "team-b"):
            self.gateway.ledger("CreateGroup", name=name, limits=GROUP_LIMITS[1:3], **({} if name == "root" else {"parent": "root"}))
        self.secrets = {f"key-{i}": self.gateway.create_key(f"key-{i}", wait=False, limits=COUNTERS, group=("team-a", "team-b")[i % 2])
                        for i in range(N_KEYS)}
        settle_keys(self.gateway)

    def models(self, which):
        return self.providers.config(MODELS.format(web=self.providers.fakes["a"].url.removesuffix("/v1"), **CHANGING[which]))

    def change_key(self, dice):
        fitting = dice.sample(LIMITS, dice.randrange(3))
        fitting = [x for i, x in enumerate(fitting) if x.split()[1] not in [y.split()[1] for y in fitting[:i]]]
        self.gateway.ledger("ChangeKey", name=dice.choice(list(self.secrets)), limits=COUNTERS + fitting,
                            group=dice.choice(["team-a", "team-b", "root", ""]))

    def change_group(self, dice):
        self.gateway.ledger("ChangeGroup", name=dice.choice(["root", "team-a", "team-b"]),
                            limits=dice.sample(GROUP_LIMITS, dice.randrange(3)))

    def reload(self, dice):
        self.gateway.write_config(self.main_text.replace(self.models(0), self.models(dice.randrange(len(CHANGING)))))
        self.gateway.reload()

    def upgrade(self, dice):
        with Varlink(self.gateway.control_socket, timeout=60 * SLOWNESS) as control:
            reply = control.call("io.scribe.Gateway.Upgrade")
        old, self.gateway.process = self.gateway.process, Adopted(reply["new_pid"])
        assert old.wait(60) == 0

    def kill(self, dice):
        self.gateway.kill()
        self.gateway.start()

    # ---- what is counted

    def rows(self):
        return self.gateway.ctl("limits", "show")["limits"]

    def held(self):
        return [r for r in self.rows() if r["reserved"] or (r["limit"].endswith("concurrent") and r["used"])]

    def wait_settled(self):
        wait_none(self.held, "is held")

    def used(self):
        of = {(r["name"], r["limit"].split()[1]): r["used"] for r in self.rows() if r["subject"] == "key"}
        return {name: tuple(of[name, unit] for unit in ("requests/month", "tokens/month", "usd/month")) for name in self.secrets}

    def recorded(self):
        found = {r["group"]: r for r in self.gateway.ledger("QueryUsage", by="key", cost=True)["rows"]}
        return {name: (found[name]["requests"], found[name]["input_tokens"] + found[name]["output_tokens"],
                       round(sum(float(c["amount"]) for c in found[name]["costs"]) * 1000000)) if name in found else (0, 0, 0)
                for name in self.secrets}


@pytest.fixture(scope="module")
def house():
    become_subreaper()
    with Providers("a", "b", more=dict.fromkeys("ab", "api_key = env:FAKE_PROVIDER_KEY\nbreaker_failures = 0\n")) as providers:
        found = House(providers)
        with found.gateway:
            yield found


def test_whatever_ends_how_nothing_is_held_and_what_is_used_is_on_record(house, record_property):
    campaign = Campaign(house.gateway, house.secrets, OUTCOMES, SEED)
    campaign.run([house.change_key, house.change_key, house.change_group, house.reload, house.upgrade])
    house.wait_settled()

    def differs():
        used, recorded = house.used(), house.recorded()
        found = {}
        for name in house.secrets:
            (requests, tokens, money), (events, event_tokens, cost) = used[name], recorded[name]
            early, gone = campaign.early[name], campaign.gone[name]
            if tokens != event_tokens or not -1 <= money - cost <= events + 1 or not events + early <= requests <= events + early + gone:
                found[name] = {"used": used[name], "recorded": recorded[name], "early": early, "gone": gone}
        return found
    wait_none(differs, f"differs from what is on record, with seed {SEED}")
    record_property("statuses", campaign.statuses)
    print(f"seed {SEED}: {campaign.statuses}")


def test_kills_leave_nothing_held_and_too_little_nowhere(house):
    campaign = Campaign(house.gateway, house.secrets, OUTCOMES // 3, SEED + 1)
    campaign.kills = True
    campaign.run([house.change_key, house.kill, house.reload])
    house.wait_settled()

    def lacks():
        used, recorded = house.used(), house.recorded()
        return {name: (used[name], recorded[name]) for name in house.secrets if any(u + 1 < r for u, r in zip(used[name], recorded[name]))}
    wait_none(lacks, f"lacks what is on record, with seed {SEED + 1}")
