"""Callers with limits, and what is told of them."""

import json

from gateway import wait_for


def settle_keys(gateway):
    """Until the gateway has what the ledger has: asking with a key would count."""
    version = gateway.ledger("GetStatus")["key_version"]
    wait_for(lambda: gateway.control("GetStatus")["keys"]["version"] >= version, what="the keys")


def limited(gateway, name, *limits, **more):
    secret = gateway.create_key(name, wait=False, limits=list(limits), **more)
    settle_keys(gateway)
    return secret


def change(gateway, name, *limits, **more):
    gateway.ledger("ChangeKey", name=name, limits=list(limits), **more)
    settle_keys(gateway)


def group(gateway, name, *limits, **more):
    gateway.ledger("CreateGroup", name=name, limits=list(limits), **more)
    settle_keys(gateway)


def row(gateway, name, kind="key"):
    rows = [r for r in gateway.ctl("limits", "show", name)["limits"] if r["subject"] == kind]
    assert len(rows) == 1, rows
    return rows[0]


def wait_settled(gateway, name, kind="key"):
    """The row, once no exchange holds anything of it."""
    return wait_for(lambda: (r := row(gateway, name, kind)) and (r if r["reserved"] == 0 else None), what=f"{name} settled")


def error(answer):
    return json.loads(answer.body)["error"]

