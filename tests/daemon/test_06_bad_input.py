"""Bodies that are no request: each gets the right status, a message that says where, and no provider sees them."""

import pytest

from gateway import Gateway, bearer


@pytest.fixture(scope="module")
def narrow(fake):
    """A gateway without patterns and without a default model."""
    config = f'[provider "fake"]\ndialect = openai\nbase_url = {fake.url}\n[model "gpt-4"]\ntarget = fake\n'
    with Gateway(config=config) as running:
        running.key = running.create_key("tester")
        yield running


def post(gateway, body, path="/v1/chat/completions"):
    return gateway.ask("POST", path, {**bearer(gateway.key), "Content-Type": "application/json"}, body)


@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b"}", b'{"model":"gpt-4"', b'{"model":"gpt-4",}', b"{'model':'gpt-4'}", b'{"model":"gpt-4"} x',
    b'{"model":"gpt-4"}{}', b'{"model":"gpt-4","a":01}', b'{"model":"gpt-4","a":+1}', b'{"model":"gpt-4","a":.5}',
    b'{"model":"gpt-4","a":1.}', b'{"model":"gpt-4","a":NaN}', b'{"model":"gpt-4","a":tru}', b'{"model":"gpt-4","a":"\x01"}',
    b'{"model":"gpt-4","a":"\\x"}', b'{"model":"gpt-4","a":"\\u12"}', b'{"model":"gpt-4","a":"\xff"}',
    b'{"model":"gpt-4","a":"\xc0\xaf"}', b'{"model":"gpt-4","a":"\xed\xa0\x80"}', b'{"model":"gpt-4","a":[1,]}',
    b'{"model":"gpt-4","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b"[]", b'"text"', b"null", b"7", b"\xef\xbb\xbf{}", b'{"model":"gpt-4"}\0',
    b'{"model":"gpt-4","model":"gpt-4"}', b'{"model":"gpt-4","\\u006dodel":"gpt-5"}', b'{"stream":true,"model":"gpt-4","stream":false}',
])
def test_what_is_not_one_json_object_is_refused(narrow, fake, body):
    n = len(fake.requests)
    answer = post(narrow, body)
    assert answer.status == 400, body[:60]
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and error["message"]
    assert len(fake.requests) == n
    assert narrow.wait_log(SCRIBE_REQUEST=answer.request_id)["SCRIBE_STATUS"] == "400"


def test_place_of_the_mistake_is_told(narrow):
    message = post(narrow, b'{"model":"gpt-4",\n "messages": [}').json()["error"]["message"]
    assert "byte 32" in message, message


@pytest.mark.parametrize("body, param", [
    (b'{"model":5,"messages":[]}', "model"), (b'{"model":null,"messages":[]}', "model"), (b'{"model":"","messages":[]}', "model"),
    (b'{"model":"gpt-4","stream":"yes"}', "stream"), (b'{"model":"gpt-4","stream":true,"stream_options":[]}', "stream_options"),
])
def test_fields_of_the_wrong_kind_are_named(narrow, body, param):
    answer = post(narrow, body)
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["param"].startswith(param) or param in error["message"], error


def test_fields_that_the_gateway_does_not_read_are_the_providers_business(narrow, fake):
    body = b'{"model":"gpt-4","messages":[],"temperature":"hot","messages2":[1,1],"a":1,"a":2}'
    assert post(narrow, body).status == 200
    assert fake.wait("gpt-4").body == body


def test_missing_model_without_a_default(narrow):
    answer = post(narrow, b'{"messages":[]}')
    assert answer.status == 400 and "model" in answer.json()["error"]["message"]
    simple = post(narrow, b'{"messages":[]}', "/v1/chat")
    assert simple.status == 400 and isinstance(simple.json()["error"], str) and "model" in simple.json()["error"]


def test_unknown_model_lists_those_that_the_key_may_use(narrow):
    answer = post(narrow, b'{"model":"gpt-5","messages":[]}')
    assert answer.status == 404
    message = answer.json()["error"]["message"]
    assert "gpt-4" in message and "echo" in message and "gpt-5" in message
    assert answer.json()["error"]["code"] == "model_not_found"


def test_unknown_model_on_v1_chat(narrow):
    answer = post(narrow, b'{"model":"gpt-5","messages":[]}', "/v1/chat")
    assert answer.status == 404 and set(answer.json()) == {"error"} and "gpt-4" in answer.json()["error"]


def test_unknown_model_of_get(narrow):
    answer = narrow.ask("GET", "/v1/models/gpt-5", bearer(narrow.key))
    assert answer.status == 404 and answer.json()["error"]["code"] == "model_not_found"


def test_model_names_with_strange_letters_do_not_reach_the_log_raw(narrow):
    answer = post(narrow, '{"model":"a\\nSCRIBE_KEY=root\\u001b[31m\\"","messages":[]}'.encode())
    assert answer.status in (400, 404)
    answer.json()
    gateway_log = narrow.wait_log(SCRIBE_REQUEST=answer.request_id)
    assert "SCRIBE_KEY" not in gateway_log or gateway_log["SCRIBE_KEY"] == "tester"
    for line in narrow.log_path.read_bytes().splitlines():
        assert b"\x1b" not in line


def test_echo_refuses_what_it_cannot_answer(narrow):
    for body in (b'{"model":"echo"}', b'{"model":"echo","messages":{}}', b'{"model":"echo","messages":[5]}'):
        assert post(narrow, body).status == 400, body
    assert post(narrow, b'{"model":"echo"}', "/v1/embeddings").status == 400


def test_refused_requests_are_no_events(narrow):
    """They are counters, not usage: nobody pays for them and nobody can fill the journal with them."""
    good = post(narrow, b'{"model":"echo","messages":[{"role":"user","content":"x"}]}')
    assert narrow.event(good.request_id)
    assert {row["model"] for row in narrow.usage()} <= {"echo", "gpt-4"}
