"""scribectl upstream: what is known of the endpoints of services, and how an admin takes one out and in again."""

import re
import threading

import pytest

from backend import Backend
from gateway import PROVIDER_SECRET, ROOT, Gateway, free_port, wait_for

DRAINED, ENABLED = "ddc3339e1673427ba1876223d6b1b914", "f629b1c5142749e08315af5b51735149"

IDS = dict(re.findall(r'#define SG_MESSAGE_(\w+)\s+"(\w+)"', (ROOT / "src/base/message_id.h").read_text()))


def service(name, *endpoints, **settings):
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return f'[service "{name}"]\nprefix = /{name}\nauth = none\n{lines}' + "".join(f"endpoint = {e}\n" for e in endpoints)


def place(backend):
    return f"127.0.0.1:{backend.port}"


def seen(gateway, endpoint, name="query"):
    return next(e for e in gateway.ctl("upstream", "list", name)["endpoints"] if e["endpoint"] == endpoint)


@pytest.fixture
def pair():
    with Backend() as first, Backend() as second:
        yield first, second


class Load:
    """Clients that ask one request after another, until the end of the block; none may fail."""

    def __init__(self, gateway, n=4):
        self.gateway = gateway
        self.n_done = [0] * n
        self.wrong = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(n)]

    def _ask(self, i):
        try:
            with self.gateway.connect() as wire:
                while not self.is_over.is_set():
                    status = wire.ask("GET", "/query").status
                    if status != 200:
                        self.wrong.append(status)
                    self.n_done[i] += 1
        except Exception as error:  # noqa: BLE001 - told at the end
            self.wrong.append(error)

    def wait_more(self, n=20):
        """Until each client has had n more answers."""
        goals = [done + n for done in self.n_done]
        wait_for(lambda: self.wrong or all(done >= goal for done, goal in zip(self.n_done, goals)), 30, "answers")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong[:3]


# ---- the list

def test_the_list_shows_each_endpoint_and_what_it_was_asked(pair):
    first, second = pair
    config = service("query", f"{first.url} weight=3", second.url) + service("other", second.url)
    with Gateway(config=config, workers=1) as gateway:
        for _ in range(8):
            assert gateway.ask("GET", "/query").status == 200
        found = gateway.ctl("upstream", "list")["endpoints"]
        assert [(e["service"], e["endpoint"], e["weight"], e["state"], e["n_asked"], e["n_open"], e["n_failed"], e["why"])
                for e in found] == [("query", first.url, 3, "up", 6, 0, 0, ""), ("query", second.url, 1, "up", 2, 0, 0, ""),
                                    ("other", second.url, 1, "up", 0, 0, 0, "")]
        assert all(e["state_for_usec"] > 0 for e in found)
        assert len(gateway.ctl("upstream", "list", "other")["endpoints"]) == 1
        assert gateway.ctl_run("upstream", "list", "--quiet").stdout == "query\nother\n"
        assert gateway.ctl_run("upstream", "list", "query", "--quiet").stdout == f"{first.url}\n{second.url}\n"
        head, row = gateway.ctl_run("upstream", "list", "other").stdout.splitlines()
        assert head.split() == ["service", "endpoint", "weight", "state", "for", "open", "asked", "failed", "why"]
        assert row.split()[:4] == ["other", second.url, "1", "up"]


def test_without_services_there_is_nothing_to_list(gateway):
    assert gateway.ctl("upstream", "list")["endpoints"] == []
    assert "no [service] section" in gateway.ctl_run("upstream", "list").stdout
    done = gateway.ctl_run("upstream", "list", "query")
    assert done.returncode == 5 and "no [service] section" in done.stderr


# ---- drain and enable

def test_drain_under_load(pair):
    first, second = pair
    go_on = threading.Event()

    def hold(x):
        x.read()
        x.start_chunks()
        x.chunk("one")
        assert go_on.wait(60)
        x.chunk("two")
        x.end_chunks()

    for backend in pair:
        backend.on("/query/long", hold)
    with Gateway(config=service("query", first.url, second.url)) as gateway, gateway.connect() as wire:
        wire.request("GET", "/query/long")
        head = wire.read_head()
        held = wait_for(lambda: next((b for b in pair if any(x.path == "/query/long" for x in b.requests)), None))
        rest = second if held is first else first
        with Load(gateway) as load:
            load.wait_more()
            said = gateway.ctl_run("upstream", "drain", "query", place(held))
            assert said.returncode == 0 and f"endpoint {held.url} of service query is drained" in said.stdout, said
            wait_for(lambda: seen(gateway, held.url)["n_open"] == 1, what="the short ones to end")
            n_held, n_rest = len(held.requests), len(rest.requests)
            load.wait_more()
            assert len(held.requests) == n_held and len(rest.requests) >= n_rest + 80
            assert (seen(gateway, held.url)["state"], seen(gateway, held.url)["why"]) == ("drained", "by an admin")
            go_on.set()
            pieces = b"".join(data for _, data in wire.each_piece(head))
            assert (head.status, pieces) == (200, b"onetwo")
            wait_for(lambda: seen(gateway, held.url)["n_open"] == 0, what="the long one to be over")
            said = gateway.ctl_run("upstream", "enable", "query", place(held))
            assert said.stdout == f"endpoint {held.url} of service query is enabled\n", said
            load.wait_more()
            assert len(held.requests) > n_held
        for event, done in ((DRAINED, "drained"), (ENABLED, "enabled")):
            line = gateway.wait_log(message_id=event)
            assert (line["SCRIBE_SERVICE"], line["SCRIBE_ENDPOINT"]) == ("query", held.url)
            assert f"{line['SCRIBE_USER']} has {done} it" in line["message"]


def test_what_is_done_twice_is_said_and_not_logged_twice(pair):
    first, second = pair
    with Gateway(config=service("query", first.url, second.url)) as gateway:
        assert gateway.ctl("upstream", "drain", "query", place(first))["changed"] is True
        assert gateway.ctl("upstream", "drain", "query", place(first))["changed"] is False
        assert "was drained already" in gateway.ctl_run("upstream", "drain", "query", place(first)).stdout
        said = gateway.ctl_run("upstream", "drain", "query", second.url).stdout
        assert "clients get 503" in said
        assert gateway.ask("GET", "/query").status == 503
        assert gateway.ctl("upstream", "enable", "query", second.url) == {
            "endpoint": seen(gateway, second.url) | {"state_for_usec": pytest.approx(0, abs=20e6)}, "changed": True, "usable": True}
        assert "was enabled already" in gateway.ctl_run("upstream", "enable", "query", second.url).stdout
        assert gateway.ask("GET", "/query").status == 200
        gateway.stop()  # the log is written behind what happens
        assert len(gateway.log(message_id=DRAINED)) == 2 and len(gateway.log(message_id=ENABLED)) == 1


def test_drained_over_reloads_but_not_over_a_restart(pair):
    first, second = pair
    with Gateway(config=service("query", first.url, second.url)) as gateway:
        gateway.ctl("upstream", "drain", "query", place(first))
        gateway.write_config(gateway.main_text.replace(f"endpoint = {second.url}", f"endpoint = {second.url} weight=7"))
        gateway.reload()
        assert seen(gateway, second.url)["weight"] == 7
        assert seen(gateway, first.url)["state"] == "drained"
        assert all(gateway.ask("GET", "/query").json()["port"] == second.port for _ in range(10))
        gateway.stop()
        gateway.start()
        assert seen(gateway, first.url)["state"] == "up"


# ---- a breaker

def test_a_tripped_breaker_says_why_and_enable_closes_it(pair):
    first, _ = pair
    port = free_port()
    gone = f"http://127.0.0.1:{port}"
    with Gateway(config=service("query", gone, first.url, breaker_failures=3, breaker_time="1h"), workers=1) as gateway:
        for _ in range(12):
            assert gateway.ask("GET", "/query").status == 200  # the other one serves
        found = seen(gateway, gone)
        assert (found["state"], found["n_failed"], found["n_asked"]) == ("tripped", 3, 3)
        assert found["why"].startswith("3 failures in a row, last: ") and "refused" in found["why"], found["why"]
        assert str(port) in found["why"]
        assert "tripped" in gateway.ctl_run("upstream", "list", "query").stdout
        with Backend(port=port) as back:
            assert gateway.ctl("upstream", "enable", "query", place(back))["endpoint"]["state"] == "up"
            assert {gateway.ask("GET", "/query").json()["port"] for _ in range(4)} == {first.port, port}


def test_a_trial_is_over_with_the_head_and_its_exchange_stays_open(pair):
    first, _ = pair
    go_on = threading.Event()

    def hold(x):
        x.read()
        x.start_chunks()
        x.chunk("one")
        assert go_on.wait(60)
        x.end_chunks()

    first.on("/query/bad", lambda x: x.answer(status=503))
    first.on("/query/long", hold)
    with Gateway(config=service("query", first.url, breaker_failures=1, breaker_time="100ms", retries=0)) as gateway:
        assert gateway.ask("GET", "/query/bad").status == 503
        assert seen(gateway, first.url)["why"] == "1 failure in a row, last: status 503"

        def begin():
            wire = gateway.connect()
            wire.request("GET", "/query/long")
            head = wire.read_head()
            if head.status == 200:
                return wire, head
            wire.close()  # its breaker is open
            return None
        wire, head = wait_for(begin, what="the trial")
        found = seen(gateway, first.url)
        assert (found["state"], found["n_open"], found["n_failed"], found["why"]) == ("up", 1, 1, "")
        assert gateway.ask("GET", "/query").status == 200
        go_on.set()
        assert b"".join(data for _, data in wire.each_piece(head)) == b"one"
        wire.close()
        wait_for(lambda: seen(gateway, first.url)["n_open"] == 0, what="the end")


# ---- names

def test_an_endpoint_may_be_named_by_less(pair, tmp_path):
    first, second = pair
    with Backend(path=tmp_path / "s") as at_socket:
        names = {f"{first.url}/a": [f"{first.url}/a"], f"{first.url}/b": [f"{first.url}/b"],
                 second.url: [second.url, place(second)], at_socket.url: [at_socket.url, str(tmp_path / "s")]}
        with Gateway(config=service("query", *names)) as gateway:
            for url, given in names.items():
                for name in given:
                    assert gateway.ctl("upstream", "drain", "query", name)["endpoint"]["endpoint"] == url
                    assert gateway.ctl("upstream", "enable", "query", name)["changed"]
            done = gateway.ctl_run("upstream", "drain", "query", place(first))
            assert done.returncode == 1
            assert f'"{place(first)}" may be {first.url}/a or {first.url}/b of service "query"' in done.stderr


def test_unknown_names_are_met_with_the_nearest(pair):
    first, second = pair
    with Gateway(config=service("query", first.url, second.url) + service("other", second.url)) as gateway:
        near = place(first)[:-1] + ("x" if place(second)[:-1] != place(first)[:-1] else "xx")
        cases = [(("drain", "quary", place(first)), 'there is no service "quary"; did you mean \'query\'?'),
                 (("list", "nothing-like-it"), 'there is no service "nothing-like-it"\n'),
                 (("enable", "query", near), f'service "query" has no endpoint "{near}"; did you mean'),
                 (("drain", "other", "elsewhere.example:80"), 'has no endpoint "elsewhere.example:80"\n')]
        for arguments, told in cases:
            done = gateway.ctl_run("upstream", *arguments)
            assert done.returncode == 5 and told in done.stderr, (arguments, done)
        gateway.stop()
        assert not gateway.log(message_id=DRAINED) and not gateway.log(message_id=ENABLED)


# ---- lanes and credentials of models

LANES = """
[provider "openai"]
dialect = openai
base_url = http://127.0.0.1:9
credential = a env:FAKE_PROVIDER_KEY daily_tokens=1000
credential = b env:FAKE_PROVIDER_KEY
[model "gpt-4o"]
target = openai
"""


def row(gateway, kind, provider, name):
    rows = gateway.ctl("upstream", "list")["lanes"]
    return next(r for r in rows if (r["kind"], r["provider"], r["name"]) == (kind, provider, name))


def test_lanes_and_credentials_are_listed_drained_and_enabled():
    with Gateway(config=LANES, env={"FAKE_PROVIDER_KEY": PROVIDER_SECRET}) as gateway:
        assert row(gateway, "lane", "openai", "openai/gpt-4o")["state"] == "up"
        assert row(gateway, "lane", "echo", "echo")["state"] == "up"  # of requests that name no model
        assert row(gateway, "credential", "openai", "a")["daily_tokens"] == 1000
        shown = gateway.ctl_run("upstream", "list").stdout
        assert "openai/gpt-4o" in shown and "openai credential a" in shown and "0 of 1000" in shown

        assert gateway.ctl("status")["lanes"] == {"n_lanes": 7, "n_up": 7}
        assert "not up" not in gateway.ctl_run("status").stdout
        drained = gateway.ctl("upstream", "drain", "openai/gpt-4o")
        assert drained["changed"] and drained["lane"]["state"] == "drained", drained
        assert not gateway.ctl("upstream", "drain", "openai/gpt-4o")["changed"]
        assert gateway.ctl("upstream", "drain", "openai", "credential", "b")["lane"]["why"] == "is drained by an admin"
        assert "2 of 7 lanes and credentials are not up: see 'scribectl upstream list'" in gateway.ctl_run("status").stdout
        gateway.reload()
        assert row(gateway, "lane", "openai", "openai/gpt-4o")["state"] == "drained"
        assert row(gateway, "credential", "openai", "b")["state"] == "drained"
        assert gateway.ctl("upstream", "enable", "openai/gpt-4o")["lane"]["state"] == "up"
        assert gateway.ctl("upstream", "enable", "openai", "credential", "b")["changed"]

        for words, said in ((("openai/gpt-40",), "did you mean 'openai/gpt-4o'?"),
                            (("openai", "credential", "c"), 'no provider "openai" with a credential "c"'),
                            (("opanai", "credential", "b"), 'no provider "opanai"')):
            wrong = gateway.ctl_run("upstream", "drain", *words)
            assert wrong.returncode == 5 and said in wrong.stderr, wrong.stderr
        gateway.stop()
        lines = gateway.log(message_id=IDS["LANE_DRAINED"])
        assert [line.get("SCRIBE_LANE", line.get("SCRIBE_CREDENTIAL")) for line in lines] == ["openai/gpt-4o", "b"]
        assert len(gateway.log(message_id=IDS["LANE_ENABLED"])) == 2


def test_quotas_are_kept_in_a_file_and_a_damaged_one_is_told():
    with Gateway(config=LANES, env={"FAKE_PROVIDER_KEY": PROVIDER_SECRET}) as gateway:
        quotas = gateway.state / "quotas"
        assert quotas.stat().st_mode & 0o777 == 0o600
        gateway.reload()
        gateway.stop()
        assert not gateway.log(message_id=IDS["QUOTAS_ANEW"])
        quotas.write_bytes(b"garbage")
        gateway.start()
        told = gateway.wait_log(message_id=IDS["QUOTAS_ANEW"])
        assert str(quotas) in told["SCRIBE_DETAIL"] and "begin anew" in told["message"]
        assert quotas.stat().st_size > 4096
