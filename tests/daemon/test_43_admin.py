"""Groups, limits of keys, import and export, the audit log: scribectl, the ledger and the gateway together."""

import concurrent.futures
import hashlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from gateway import SCRIBECTL, Gateway, bearer, wait_for
from postgres import postgres_bin
from test_08_control import ADMIN, GROUP, run_as, shared, users  # noqa: F401  (fixtures)
from test_41_postgres import ledger_on, server  # noqa: F401
from varlink import VarlinkError

needs_postgres = pytest.mark.skipif(not postgres_bin(), reason="there is no PostgreSQL (Debian: postgresql)")


def said(gateway, *arguments, status=1):
    """What a command says that must fail so."""
    done = gateway.ctl_run(*arguments)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    assert done.stdout == ""
    return done.stderr


def pictured(gateway, kind, name):
    """What the gateway's picture on disk says of a key or group: the last line of it counts."""
    found = None
    for line in (gateway.state / "keys.picture").read_text().splitlines():
        row = json.loads(line.partition(" ")[2])
        row = row.get("group") if kind == "group" else row
        if isinstance(row, dict) and row.get("name") == name:
            found = row
    return found


def test_a_key_with_a_group_and_limits_from_its_birth_to_its_end(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        gateway.ctl("group", "create", "acme", "--budget", "500usd/month")
        gateway.ctl("group", "create", "team", "--parent", "acme", "--concurrency", "50")
        made = gateway.ctl("key", "create", "alice", "--group", "team", "--limit", "2 requests/day", "--tpm", "200K")
        gateway.secrets.append(made["secret"])
        secret = made["secret"]
        wait_for(lambda: gateway.chat(secret).status == 200, 1, "the new key")
        assert gateway.chat(secret).status == 200
        refused = gateway.chat(secret)
        assert refused.status == 429 and "requests/day" in refused.body.decode()

        alice = wait_for(lambda: pictured(gateway, "key", "alice"), what="the picture")
        team = pictured(gateway, "group", "team")
        assert alice["limits"] == ["2 requests/day", "200000 tokens/minute"] and alice["group"] == team["id"]
        assert team["parent"] == pictured(gateway, "group", "acme")["id"]
        assert pictured(gateway, "group", "acme")["limits"] == ["500 usd/month"]

        rows = gateway.ctl("limits", "show", "key:alice")["limits"]
        day = next(row for row in rows if row["limit"] == "2 requests/day")
        assert (day["subject"], day["name"], day["used"], day["remaining"]) == ("key", "alice", 2, 0)
        assert "100%" in gateway.ctl("limits", "show", "key:alice", as_json=False)

        # Changed, it counts on: two are used.
        changed = gateway.ctl("key", "change", "alice", "--limit", "3 requests/day")["key"]
        assert changed["limits"] == ["3 requests/day"] and changed["group"] == "team"
        wait_for(lambda: gateway.chat(secret).status == 200, 1, "the third one")
        assert gateway.chat(secret).status == 429

        # Everything is there after a restart, with the ledger down.
        gateway.stop_ledger(signal.SIGKILL)
        gateway.ledger_mode = "none"
        gateway.terminate()
        assert gateway.wait_end() == 0
        gateway.start()
        assert gateway.chat(secret).status == 429

        gateway.start_ledger()
        wait_for(lambda: gateway.ctl_run("key", "change", "alice", "--no-limits", "--no-group").returncode == 0,
                 what="the ledger")
        wait_for(lambda: gateway.chat(secret).status == 200, 5, "no limit")
        gateway.ctl("group", "remove", "team")
        gateway.ctl("group", "remove", "acme")
        wait_for(lambda: not pictured(gateway, "key", "alice").get("limits"), what="the picture")
        assert gateway.ctl("group", "list")["groups"] == []


def test_a_group_holds_its_keys_together(fake):
    with Gateway(fake.url) as gateway:
        gateway.ctl("group", "create", "top")
        gateway.ctl("group", "create", "below", "--parent", "top", "--limit", "3 requests/day")
        secrets = [gateway.create_key(name, group="below", wait=False) for name in ("a", "b")]
        wait_for(lambda: all(gateway.ask("GET", "/v1/models", [("Authorization", f"Bearer {s}")]).status in (200, 429)
                             for s in secrets), 2, "the keys")
        answers = [gateway.chat(secrets[i % 2]).status for i in range(4)]
        assert 429 in answers[1:] and answers[3] == 429, answers
        # Moved out, a key is free of it.
        gateway.ctl("key", "change", "b", "--group", "top")
        wait_for(lambda: gateway.chat(secrets[1]).status == 200, 1, "the move")
        assert gateway.chat(secrets[0]).status == 429
        # Widened, the group serves again.
        gateway.ctl("group", "change", "below", "--limit", "1000 requests/day")
        wait_for(lambda: gateway.chat(secrets[0]).status == 200, 1, "the change")


# ---- what is refused

@pytest.fixture(scope="module")
def peopled(gateway):
    gateway.ctl("group", "create", "g1")
    for n in range(2, 9):
        gateway.ctl("group", "create", f"g{n}", "--parent", f"g{n - 1}")
    gateway.ctl("key", "create", "bob", "--group", "g8")
    return gateway


@pytest.mark.parametrize("arguments, told", [
    (("key", "create", "x", "--rpm", "-5"), "no amount above zero"),
    (("key", "create", "x", "--rpm", "0"), "the amount is zero"),
    (("key", "create", "x", "--tpm", "99999999999999999999"), "too large"),
    (("key", "create", "x", "--rpm", "600.5"), "whole number"),
    (("key", "create", "x", "--budget", "20usd"), "lacks a window"),
    (("key", "create", "x", "--budget", "20usd/minute"), "a day or a month"),
    (("key", "create", "x", "--limit", "600 request/minute"), "did you mean 'requests'"),
    (("key", "create", "x", "--rpm", "600", "--limit", "100 requests/day"), "never reached"),
    (("key", "create", "x", "--rpm", "600", "--limit", "300 requests/minute"), "keep one of them"),
    (("key", "create", "x", "--limit", "5 requests/day\033[1m"), "letters and digits"),
    (("key", "create", "x", "--limit", "a" * 10000), "letters and digits"),
    (("key", "create", "\033[1mx"), "letters, digits"),
    (("key", "create", "x" * 10000), "letters, digits"),
    (("group", "create", "g9", "--parent", "g8"), "at most 8 levels"),
    (("group", "create", "g1"), "already"),
    (("group", "create", "a/b"), "letters, digits"),
    (("group", "change", "g1", "--parent", "g4"), "below it already"),
    (("group", "change", "g1", "--parent", "g1"), "itself"),
    (("group", "remove", "g8"), "has 1 key"),
    (("group", "remove", "g7"), "has 1 group below it"),
    (("key", "list", "--name", "a*b"), "letters, digits"),
])
def test_bad_input_is_refused_with_what_to_change(peopled, arguments, told):
    text = said(peopled, *arguments)
    assert told in text, text
    assert "\033" not in text and len(text) < 2000
    assert peopled.ctl_run("key", "show", "x").returncode == 5


@pytest.mark.parametrize("arguments, told", [
    (("key", "create", "x", "--group", "g"), "did you mean"),
    (("key", "change", "bob", "--group", "nowhere"), 'no group "nowhere"'),
    (("key", "change", "bib", "--rpm", "5"), 'no key "bib"'),
    (("group", "create", "x", "--parent", "nowhere"), 'no group "nowhere"'),
    (("group", "show", "g11"), "did you mean"),
    (("group", "remove", "nowhere"), "no group"),
    (("key", "list", "--group", "nowhere"), "no group"),
])
def test_unknown_names_are_not_found(peopled, arguments, told):
    assert told in said(peopled, *arguments, status=5)


def test_what_a_group_makes_pointless_is_told(peopled):
    peopled.ctl("group", "change", "g3", "--rpm", "100")
    done = peopled.ctl_run("key", "create", "loud", "--group", "g8", "--rpm", "200", "--quiet")
    assert done.returncode == 0 and re.fullmatch(r"sk-\w{32}\n", done.stdout)
    assert "never reached" in done.stderr and '"g3"' in done.stderr
    peopled.secrets.append(done.stdout.strip())


# ---- import and export

def record(name, **more):
    return {"name": name, "digest": hashlib.sha256(name.encode()).hexdigest(), "prefix": "sk-Abcd", **more}


def write_lines(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def test_keys_move_to_another_database_and_work_there(fake, tmp_path):
    path = tmp_path / "keys.jsonl"
    with Gateway(fake.url) as old:
        old.ctl("group", "create", "team")
        secret = old.create_key("alice", group="team", limits=["600 requests/minute"], models=["echo"])
        old.create_key("gone")
        old.ctl("key", "revoke", "gone")
        old.ctl("key", "export", path, as_json=False)
        assert secret not in path.read_text() and "gone" not in path.read_text()
        assert os.stat(path).st_mode & 0o777 == 0o600
    with Gateway(fake.url) as new:
        new.secrets.append(secret)
        assert "keys.jsonl:1: there is no group" in said(new, "key", "import", path)
        assert new.ctl("key", "import", path, "--create-groups") == {"added": 1, "replaced": 0, "same": 0, "groups": 1}
        wait_for(lambda: new.chat(secret).status == 200, 1, "the key")
        shown = new.ctl("key", "show", "alice")["key"]
        assert (shown["group"], shown["limits"], shown["models"]) == ("team", ["600 requests/minute"], ["echo"])
        assert new.ctl("key", "import", path) == {"added": 0, "replaced": 0, "same": 1, "groups": 0}


def test_a_wrong_line_changes_nothing_and_is_named(gateway, tmp_path):
    path = tmp_path / "keys.jsonl"
    good = [record(f"line-{n}") for n in range(1500)]
    write_lines(path, good + [record("late", limits=["5 apples/day"])])
    text = said(gateway, "key", "import", path)
    assert "keys.jsonl:1501: key \"late\": limit '5 apples/day'" in text and "nothing was imported" in text
    assert gateway.ctl("key", "list", "--name", "line-*")["keys"] == []
    write_lines(path, good + [record("line-7")])
    assert 'keys.jsonl:1501: the name "line-7" stands in line 8, too' in said(gateway, "key", "import", path)
    write_lines(path, good)
    assert gateway.ctl("key", "import", path)["added"] == 1500
    assert len(gateway.ctl("key", "list", "--name", "line-1*")["keys"]) == 611
    first = gateway.ctl("key", "list", "--name", "line-*", "--limit", "1000")
    rest = gateway.ctl("key", "list", "--name", "line-*", "--from", str(first["next_id"]))
    assert len(first["keys"]) == 1000 and len(rest["keys"]) == 500 and "next_id" not in rest

    write_lines(path, [dict(record("line-7"), digest="0" * 64)])
    assert "with another secret" in said(gateway, "key", "import", path)
    assert gateway.ctl("key", "import", path, "--replace")["replaced"] == 1


# ---- on PostgreSQL, which several ledgers share

@needs_postgres
def test_the_same_on_postgresql(server, tmp_path):  # noqa: F811
    path = tmp_path / "keys.jsonl"
    with Gateway(dropins=ledger_on(server.url())) as one, Gateway(dropins=ledger_on(server.url())) as other:
        one.ctl("group", "create", "pg-acme", "--budget", "500usd/month")
        other.ctl("group", "create", "pg-team", "--parent", "pg-acme")
        secret = one.create_key("pg-alice", group="pg-team", limits=["600 requests/minute"])
        wait_for(lambda: other.ask("GET", "/v1/models", bearer(secret)).status == 200, 2, "the key at the other node")
        for gateway in (one, other):
            wait_for(lambda: pictured(gateway, "group", "pg-team"), 2, "the group")
            shown = gateway.ctl("key", "show", "pg-alice")
            assert [group["name"] for group in shown["groups"]] == ["pg-team", "pg-acme"]
        assert "has 1 key" in said(other, "group", "remove", "pg-team")
        assert "at most 8" not in said(other, "group", "create", "pg-team")

        write_lines(path, [record(f"pg-{n}", group="pg-team", limits=["8 concurrent"]) for n in range(700)])
        assert other.ctl("key", "import", path)["added"] == 700
        assert other.ctl("key", "import", path)["same"] == 700
        write_lines(path, [record("pg-new"), dict(record("pg-5"), digest="0" * 64)])
        assert "keys.jsonl:2: there is a key" in said(one, "key", "import", path)
        write_lines(path, [record("pg-new"), dict(record("pg-other"), digest=record("pg-5")["digest"])])
        assert "keys.jsonl:2: the digest of key \"pg-other\"" in said(one, "key", "import", path)
        assert one.ctl_run("key", "show", "pg-new").returncode == 5
        assert len(one.ctl("key", "list", "--group", "pg-team", "--name", "pg-1*")["keys"]) == 111
        assert one.ctl("audit", "--subject", "key:pg-alice")["entries"][0]["verb"] == "CreateKey"


@needs_postgres
def test_two_ledgers_cannot_close_a_circle_together(server):  # noqa: F811
    with Gateway(dropins=ledger_on(server.url())) as one, Gateway(dropins=ledger_on(server.url())) as other:
        for name in ("left", "right"):
            one.ledger("CreateGroup", name=name)

        def hang(gateway, name, parent):
            try:
                gateway.ledger("ChangeGroup", name=name, parent=parent)
                return True
            except VarlinkError as failed:
                assert failed.name.endswith(".BadGroup"), failed
                return False
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(40):
                both = [pool.submit(hang, one, "left", "right"), pool.submit(hang, other, "right", "left")]
                assert sorted(done.result() for done in both) == [False, True]
                for name in ("left", "right"):
                    one.ledger("ChangeGroup", name=name, parent="")


# ---- the audit log

def test_the_audit_says_who_changed_what(fake):
    with Gateway(fake.url, ledger="own") as gateway:
        secret = gateway.create_key("alice")
        gateway.ctl("group", "create", "team")
        gateway.ctl("key", "change", "alice", "--group", "team", "--rpm", "600")
        gateway.ctl("key", "revoke", "alice")
        entries = gateway.ctl("audit", "--subject", "key:*", "--since", "1h")["entries"]
        assert [one["verb"] for one in entries] == ["RevokeKey", "ChangeKey", "CreateKey"]
        change = entries[1]
        assert change["uid"] == os.geteuid() and change["pid"] > 1 and change["subject"] == "key:alice"
        assert change["before"]["limits"] is None and change["after"]["limits"] == ["600 requests/minute"]
        digest = hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in str(entries) and digest not in str(entries) and secret[:7] not in str(entries)
        text = gateway.ctl("audit", as_json=False)
        assert "limits: none -> 600 requests/minute" in text and "group: none -> team" in text
        assert len(gateway.ctl("audit", "-n", "2")["entries"]) == 2
        gateway.stop_ledger()
        assert gateway.ctl_run("audit").returncode == 3
        gateway.start_ledger()
        wait_for(lambda: gateway.ctl_run("audit").returncode == 0, what="the ledger")
        assert len(gateway.ctl("audit")["entries"]) == 4


def test_members_of_the_group_may_look_and_admins_may_change(shared):  # noqa: F811
    shared.ctl("group", "create", "looked-at")
    for command in (("group", "list"), ("group", "show", "looked-at"), ("audit",), ("key", "list", "--name", "a*"),
                    ("limits", "show")):
        done = run_as(shared, "sgt-member", *command)
        assert done.returncode == 0, (command, done.stderr)
        assert run_as(shared, "sgt-stranger", *command).returncode == 4
    for command in (("group", "create", "x"), ("group", "change", "looked-at", "--no-limits"), ("group", "remove", "looked-at"),
                    ("key", "change", "alice", "--no-limits"), ("key", "export"), ("key", "import", "/etc/hostname")):
        done = run_as(shared, "sgt-member", *command)
        if command[1] == "import":  # its lines are none, which is found first
            assert done.returncode == 1
            continue
        assert done.returncode == 4 and "admins" in done.stderr, (command, done.stdout, done.stderr)
    assert run_as(shared, ADMIN, "group", "change", "looked-at", "--concurrency", "5").returncode == 0
    assert shared.ctl("audit", "-n", "1")["entries"][0]["user"] == ADMIN


# ---- the examples of help and documents

def run_lines(gateway, lines):
    environment = {**gateway.environment(), **gateway.control_environment(), "PATH": f"{SCRIBECTL.parent}:{os.environ['PATH']}"}
    for line in lines:
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)


def test_the_examples_of_the_runbook_run(fake):
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    section = text.partition("## Limits and groups\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\$ (scribectl .*)$", section, re.MULTILINE)
    assert len(lines) >= 8
    with Gateway(fake.url) as gateway:
        run_lines(gateway, lines)


def test_the_examples_of_limits_and_groups_run(fake):
    """Each line of an example that begins with scribectl, of the verbs of this file, as it stands in the help."""
    verbs = ["group create", "group change", "group list", "group show", "key create", "key change", "key list", "key show",
             "audit", "limits show"]
    lines = []
    for verb in verbs:
        text = subprocess.run([SCRIBECTL, "help", *verb.split()], capture_output=True, text=True, check=True).stdout
        lines += re.findall(r"^  (scribectl (?:key|group|audit|limits) .*)$", text, re.MULTILINE)
    assert len(lines) > 15
    with Gateway(fake.url) as gateway:
        for name in ("team", "labs"):
            gateway.ctl("group", "create", name)
        run_lines(gateway, lines)
