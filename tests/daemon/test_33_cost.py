"""What it cost: prices, costs derived when they are asked for, and a provider's bill beside our records."""

import sqlite3

import pytest

from fake import answering, chat_json
from gateway import HERE, CtlError, Gateway, wait_for

DIFFERS = 6  # scribectl's exit status
PRICES = """
[price "fake/{name}"]
from = {day}
currency = {currency}
input = {input}
cached_input = 0.50
output = 10
"""


def price(name, value="2.00", currency="USD", day="2026-01-01"):
    return PRICES.format(name=name, input=value, currency=currency, day=day)


def usage(prompt, completion, cached=0):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached}}


class World:
    """A gateway with prices, and three chats: two of a model with a price, one without."""

    def __init__(self, gateway, fake):
        self.gateway = gateway
        self.prices = gateway.config / "prices.d"
        self.prices.mkdir(exist_ok=True)
        fake.on("dear", answering(chat_json(usage=usage(1000, 200, 400), model="dear")))
        fake.on("mystery", answering(chat_json(usage=usage(10, 5), model="mystery")))
        self.alice, self.bob = gateway.create_key("alice"), gateway.create_key("bob")
        for key, model in ((self.alice, "dear"), (self.bob, "dear"), (self.bob, "mystery")):
            assert gateway.chat(key, model=model).status == 200
        self.day = wait_for(lambda: gateway.usage() if len(gateway.usage()) == 3 else None, what="three events")[0]["day"]

    def set_prices(self, text):
        """And waits until the ledger has them: it is told by a signal."""
        (self.prices / "test.conf").write_text(text)
        told = len(self.gateway.log_path.read_text().split("prices are read again"))
        self.gateway.reload()
        wait_for(lambda: len(self.gateway.log_path.read_text().split("prices are read again")) > told,
                 what="the ledger's reload")

    def sums(self, *arguments):
        reply = self.gateway.ctl("usage", "--cost", *arguments)
        return {row["group"]: row for row in reply["rows"]}, reply["unpriced"]

    def table(self, *arguments):
        return self.gateway.ctl("usage", "--cost", *arguments, as_json=False)

    def csv(self, text):
        path = self.gateway.directory / "export.csv"
        path.write_text(text)
        return str(path)

    def reconcile(self, text, *arguments):
        return self.gateway.ctl_run("usage", "reconcile", self.csv(text), *arguments)


@pytest.fixture(scope="module")
def world(gateway, fake):
    return World(gateway, fake)


def amounts(row):
    return {c["currency"]: c["amount"] for c in row["costs"]}


# ---- cost


def test_without_a_price_the_cost_is_unknown_and_not_zero(world):
    rows, unpriced = world.sums("--by", "model")
    assert rows["dear"]["costs"] == [] and rows["dear"]["unpriced_requests"] == 2
    assert {(u["model"], u["requests"], u["why"]) for u in unpriced} == {("dear", 2, "no price"), ("mystery", 1, "no price")}
    table = world.table("--by", "model")
    assert table.count("unknown") >= 3 and "0.00" not in table
    assert "fake/mystery" in table and "prices.d" in table


def test_each_class_is_billed_at_its_price(world):
    world.set_prices(price("dear"))
    rows, unpriced = world.sums("--by", "model")
    # Each of the two: 600 x 2.00 + 400 x 0.50 + 200 x 10, by the million.
    assert amounts(rows["dear"]) == {"USD": "0.0068"} and rows["dear"]["unpriced_requests"] == 0
    assert rows["mystery"]["costs"] == [] and [u["model"] for u in unpriced] == ["mystery"]
    rows, _ = world.sums("--by", "key")
    assert amounts(rows["alice"]) == {"USD": "0.0034"}
    assert amounts(rows["bob"]) == {"USD": "0.0034"} and rows["bob"]["unpriced_requests"] == 1
    table = world.table("--by", "key")
    assert "0.0034 USD + 1 unpriced" in table and "0.0068 USD + 1 unpriced" in table  # bob, total
    rows, _ = world.sums("--by", "day")
    assert amounts(rows[world.day]) == {"USD": "0.0068"}
    rows, _ = world.sums("--by", "provider")
    assert amounts(rows["fake"]) == {"USD": "0.0068"}


def test_single_requests_have_their_cost(world):
    events = world.gateway.ctl("usage", "--requests", "--cost")["events"]
    assert [amounts(e) for e in events if e["model"] == "dear"] == [{"USD": "0.0034"}] * 2
    assert [(e["costs"], e["unpriced_requests"]) for e in events if e["model"] == "mystery"] == [([], 1)]
    table = world.table("--requests")
    assert table.count("0.0034 USD") == 2 and table.count("unknown") == 1
    assert "costs" not in world.gateway.ctl("usage", "--requests")["events"][0]


def test_another_price_changes_what_the_past_cost(world):
    world.set_prices(price("dear", "4.00") + price("mystery", currency="EUR"))
    rows, unpriced = world.sums("--by", "provider")
    assert amounts(rows["fake"]) == {"USD": "0.0092", "EUR": "0.00007"} and unpriced == []
    assert "0.00007 EUR + 0.0092 USD" in world.table("--by", "provider")
    world.set_prices(price("*", "1", day="2999-01-01"))
    rows, unpriced = world.sums("--by", "provider")
    assert rows["fake"]["costs"] == [] and {u["why"] for u in unpriced} == {"no price of that day"}


def test_a_mistake_in_a_price_changes_nothing(world):
    world.set_prices(price("dear"))
    (world.prices / "zz.conf").write_text('[price "fake/dear"]\nfrom = 2026-01-01\ninptu = 1\n')
    try:
        checked = world.gateway.ctl_run("config", "check", str(world.gateway.config))
        assert checked.returncode == 78 and "zz.conf:3" in checked.stderr and "did you mean 'input'" in checked.stderr
        with pytest.raises(CtlError) as caught:
            world.gateway.ctl("reload")
        assert "zz.conf:3" in caught.value.message
        assert amounts(world.sums("--by", "key")[0]["alice"]) == {"USD": "0.0034"}
    finally:
        (world.prices / "zz.conf").unlink()


# ---- a provider's bill


def bill(world, requests=2, output=400, more=""):
    return ("date,model,requests,input_tokens,cached_tokens,output_tokens,cost\n"
            f"{world.day},dear-2026-01-01,{requests},2000,800,{output},0.0068\n"
            f"{world.day},mystery,1,10,0,5,0.00007\n{more}")


def test_a_bill_that_says_the_same(world):
    world.set_prices(price("*"))
    done = world.reconcile(bill(world), "--provider", "fake")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 entries" in done.stdout and "no column for it: cache_write_tokens" in done.stdout
    reply = world.gateway.ctl("usage", "reconcile", world.csv(bill(world)))
    assert reply["equal"] == reply["compared"] == 2 and reply["differences"] == []


def test_a_bill_that_differs_is_told_number_by_number(world):
    done = world.reconcile(bill(world, requests=4, output=300, more=f"{world.day},ghost,1,1,0,1,0\n"), "--json")
    assert done.returncode == DIFFERS
    done = world.reconcile(bill(world, requests=4, output=300, more=f"{world.day},ghost,1,1,0,1,0\n"))
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == DIFFERS
    assert [world.day, "dear", "requests", "4", "2", "-2", "-50.00%"] in lines
    assert [world.day, "dear", "output_tokens", "300", "400", "100", "+33.33%"] in lines
    assert [world.day, "ghost", "requests", "1", "0", "-1", "-100.00%"] in lines
    assert not any("input_tokens" in line and "dear" in line for line in lines)
    assert "1 of 3 entries" in done.stdout


def test_usage_that_the_bill_lacks_is_told(world):
    done = world.reconcile(f"date,model,input_tokens\n{world.day},mystery,10\n")
    assert done.returncode == DIFFERS
    assert [world.day, "dear", "input_tokens", "0", "2000", "2000", "-"] in [x.split() for x in done.stdout.splitlines()]


def test_only_the_days_asked_for_are_compared(world):
    text = bill(world, more="2025-01-01,dear,9,9,9,9,9\n")
    assert world.reconcile(text).returncode == DIFFERS
    done = world.reconcile(text, "--since", world.day)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 3 entries of the file are on other days" in done.stdout
    done = world.reconcile(text, "--since", "yesterday")
    assert done.returncode == 2 and "a day of UTC" in done.stderr


def test_costs_are_compared_only_where_all_is_priced(world):
    world.set_prices(price("dear"))
    done = world.reconcile(bill(world).replace("0.0068", "7"))
    assert done.returncode == 0 and "cost is not compared: 1 of our requests have no price" in done.stdout
    world.set_prices(price("*"))
    done = world.reconcile(bill(world).replace("0.0068", "7"))
    assert done.returncode == DIFFERS and "0.0068" in done.stdout


def test_what_is_no_export_is_refused_with_its_line(world):
    done = world.reconcile("date,model,input_tokens\n2026-01-01,a,many\n")
    assert done.returncode == 1 and "export.csv:2" in done.stderr and "no count" in done.stderr
    done = world.gateway.ctl_run("usage", "reconcile", "/nonexistent.csv")
    assert done.returncode == 1 and "cannot be read" in done.stderr


def test_two_providers_are_two_bills(world):
    assert world.gateway.chat(world.alice, model="echo").status == 200
    wait_for(lambda: len(world.gateway.usage()) == 4, what="the fourth event")
    done = world.reconcile(bill(world))
    assert done.returncode == 1 and "--provider" in done.stderr
    assert world.reconcile(bill(world), "--provider", "fake").returncode == 0


# ---- an upgrade


def test_a_database_of_the_first_schema_is_taken_over(fake):
    with Gateway(fake.url, start=False) as gateway:
        db = sqlite3.connect(gateway.state / "ledger.db")
        db.executescript((HERE / "schema_1.sql").read_text())
        db.close()
        prices = gateway.config / "prices.d"
        prices.mkdir()
        (prices / "a.conf").write_text(price("old-model"))
        gateway.start()
        fake.on("old-model", answering(chat_json(usage=usage(1000, 200), model="old-model")))
        assert gateway.chat(gateway.create_key("bob"), model="old-model").status == 200
        events = wait_for(lambda: gateway.usage() if len(gateway.usage()) == 2 else None, what="both events")
        assert {e["key"]: e["attempts"] > 0 for e in events}["alice"] is False
        rows = {row["group"]: row for row in gateway.ctl("usage", "--cost")["rows"]}
        assert amounts(rows["alice"]) == {"USD": "7"} and amounts(rows["bob"]) == {"USD": "0.004"}
        assert gateway.ledger("GetStatus")["schema_version"] == 3
        backup = sqlite3.connect(gateway.state / "ledger.db.before-2")
        assert backup.execute("SELECT count(*) FROM usage").fetchone() == (1,)
        backup.close()
