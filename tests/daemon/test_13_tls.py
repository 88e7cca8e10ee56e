"""TLS to providers: verified against a trust store, or refused."""

import ssl

import pytest

from authority import Authority
from fake import Fake, chat_json, stream, stream_frames
from gateway import Gateway, wait_for
from streams import check_comes_as_it_is_sent


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A gateway that trusts one authority, and providers with certificates of all kinds."""
    directory = tmp_path_factory.mktemp("tls")
    trusted, stranger = Authority(directory / "trusted"), Authority(directory / "stranger", "Stranger")
    old = ssl_context_1_1(trusted)
    providers = {
        "good": Fake(trusted.issue("localhost", "DNS:localhost,IP:127.0.0.1"), "localhost"),
        "by-address": Fake(trusted.issue("address", "IP:127.0.0.1"), "127.0.0.1"),
        "wrong-name": Fake(trusted.issue("elsewhere", "DNS:elsewhere.example"), "localhost"),
        "wrong-address": Fake(trusted.issue("named", "DNS:localhost"), "127.0.0.1"),
        "unknown-ca": Fake(stranger.issue("localhost", "DNS:localhost"), "localhost"),
        "expired": Fake(trusted.issue("expired", "DNS:localhost", "20200101000000Z", "20210101000000Z"), "localhost"),
        "not-yet": Fake(trusted.issue("future", "DNS:localhost", "20900101000000Z", "20910101000000Z"), "localhost"),
        "old-version": Fake(old, "localhost"),
        "plain": Fake(None, "localhost"),
    }
    config = ""
    for name, provider in providers.items():
        url = provider.url.replace("http://", "https://")
        config += f'[provider "{name}"]\ndialect = openai\nbase_url = {url}\nca_file = {trusted.certificate}\nconnect_timeout = 5s\n'
        config += f'[model "{name}*"]\ntarget = {name}\n'
    url = providers["good"].url
    config += f'[provider "system"]\ndialect = openai\nbase_url = {url}\n[model "system-store"]\ntarget = system\n'
    with Gateway(config=config) as running:
        running.providers = providers
        running.key = running.create_key("tls")
        wait_for(lambda: running.chat(running.key).status == 200, 1)
        yield running
    for provider in providers.values():
        provider.close()


def ssl_context_1_1(authority):
    context = authority.issue("old", "DNS:localhost")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("model", ["good", "by-address"])
def test_trusted_provider(tls, model):
    answer = tls.chat(tls.key, model=model)
    assert answer.status == 200 and answer.json() == chat_json(model=model)


@pytest.mark.parametrize("model", ["wrong-name", "wrong-address", "unknown-ca", "expired", "not-yet", "old-version", "plain",
                                   "system-store"])
def test_untrusted_provider_gets_no_byte_of_a_request(tls, model):
    answer = tls.chat(tls.key, model=model)
    assert answer.status == 502 and answer.json()["error"]["message"]
    provider = tls.providers.get(model, tls.providers["good"])
    assert not [x for x in provider.requests if x.model == model]
    event = tls.event(answer.request_id)
    assert (event["outcome"], event["reason"]) == ("failed", "upstream_tls")
    assert tls.wait_log(SCRIBE_REQUEST=answer.request_id)["level"] in ("warning", "err")


def test_stream_over_tls_comes_chunk_by_chunk(tls):
    check_comes_as_it_is_sent(tls, tls.providers["good"], tls.key, "good-stream")


def test_tls_connections_are_reused(tls):
    for _ in range(10):
        assert tls.chat(tls.key, model="good-reuse").status == 200
    assert len({x.number for x in tls.providers["good"].of("good-reuse")}) <= tls.workers


def test_large_bodies_over_tls(tls):
    text = "x" * 3_000_000
    tls.providers["good"].on("good-large", lambda x: x.answer(chat_json(x.json["messages"][0]["content"][::-1])))
    assert tls.chat(tls.key, model="good-large", content=text).text() == text


def test_cut_without_close_notify_is_no_end(tls):
    """TCP's end without TLS's is how an attacker cuts an answer short."""
    def script(x):
        x.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + "".join(stream_frames()[:3]))
        x.close()  # Python's ssl sends no close_notify
    tls.providers["good"].on("good-cut", script)
    answer = tls.chat(tls.key, model="good-cut", stream=True, keep_broken=True)
    assert "[DONE]" not in answer.events()
    assert tls.event(answer.request_id)["outcome"] == "truncated"


def test_large_stream_over_tls(tls):
    tls.providers["good"].on("good-big", stream(stream_frames(words=["y" * 100_000] * 20)))
    answer = tls.chat(tls.key, model="good-big", stream=True)
    assert answer.text() == "y" * 2_000_000
