"""A configuration is read whole or not at all: at the start, by --check, by SIGHUP and by scribectl reload."""

import subprocess
import threading

import pytest

from fake import held_stream
from gateway import GATEWAY, Gateway, bearer, wait_for
from varlink import VarlinkError

NEW_MODEL = '[model "fresh"]\ntarget = echo\n'


def models(gateway, key):
    return {model["id"] for model in gateway.ask("GET", "/v1/models", bearer(key)).json()["data"]}


def check(gateway, *more):
    return subprocess.run([GATEWAY, "--config", gateway.config, "--check", *more], env=gateway.environment(),
                          capture_output=True, text=True, timeout=60)


# ---- what is wrong is told with its place and the nearest word

@pytest.mark.parametrize("text, line, words", [
    ("[gateway]\ndrain_timeot = 5s\n", 2, ["drain_timeot", "drain_timeout"]),
    ("[gatway]\nworkers = 2\n", 1, ["gatway", "gateway"]),
    ('[service "s"]\nprefix = /s\nenpoint = http://127.0.0.1:1\n', 3, ["enpoint", "endpoint"]),
    ('[service "s"]\nprefix = /s\nendpoint = http://127.0.0.1:1\nbalance = robin\n', 4, ["robin", "round_robin"]),
    ('[service "s"]\nendpoint = http://127.0.0.1:1\n', 1, ["prefix"]),
    ("[gateway]\nworkers = many\n", 2, ["many"]),
    ("[gateway]\nworkers = 0\n", 2, ["workers"]),
    ("[gateway]\ndrain_timeout = 5 parsecs\n", 2, ["parsecs"]),
    ("[gateway]\nworkers\n", 2, ["="]),
    ("workers = 2\n", 1, ["section"]),
    ('[provider "p"]\ndialect = opanai\nbase_url = http://x/v1\n', 2, ["opanai", "openai"]),
    ('[provider "p"]\ndialect = openai\n', 1, ["base_url"]),
    ('[provider "p"]\ndialect = openai\nbase_url = ftp://x\n', 3, ["ftp"]),
    ('[model "m"]\ntarget = ecko\n', 2, ["ecko", "echo"]),
    ('[model "m"]\n', 1, ["target"]),
    ('[model "a*b"]\ntarget = echo\n', 1, ["*"]),
    ('[listener "l"]\naddress = 127.0.0.1:99999\n', 2, ["99999"]),
    ('[provider "echo"]\napi_key = sk-in-the-clear\ndialect = echo\n', 2, ["credential:", "file:", "env:"]),
    ('[provider "echo"]\napi_key = file:/no/such/file\ndialect = echo\n', 2, ["/no/such/file"]),
    ('[provider "echo"]\napi_key = env:NOT_SET_ANYWHERE\ndialect = echo\n', 2, ["NOT_SET_ANYWHERE"]),
    ("[log]\nlevel = loud\n", 2, ["loud"]),
    ('[model "unclosed]\ntarget = echo\n', 1, []),
])
def test_error_tells_place_and_suggestion(gateway, text, line, words):
    path = gateway.write_dropin("90-wrong.conf", text)
    try:
        done = check(gateway)
        assert done.returncode == 78
        assert f"90-wrong.conf:{line}" in done.stderr, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert "sk-in-the-clear" not in done.stderr + done.stdout, "a secret in an error"
    finally:
        path.unlink()


def test_check_says_that_all_is_well(gateway):
    done = check(gateway)
    assert done.returncode == 0, done.stderr


def test_check_works_beside_a_running_gateway_and_serves_nothing(gateway):
    before = gateway.control("GetStatus")["pid"]
    assert check(gateway).returncode == 0
    assert gateway.control("GetStatus")["pid"] == before
    assert gateway.ask("GET", "/health").status == 200


def test_broken_configuration_refuses_to_start(fake):
    with Gateway(fake.url, dropins={"90-wrong.conf": "[gateway]\nworkrs = 2\n"}, start=False) as gateway:
        gateway.start(wait=False)
        assert gateway.wait_end() == 78
        assert "90-wrong.conf:2" in gateway.stderr() and "workers" in gateway.stderr()


def test_missing_configuration_says_where_it_was_looked_for(tmp_path):
    done = subprocess.run([GATEWAY, "--config", tmp_path / "nowhere"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 78 and "nowhere" in done.stderr


# ---- reload

@pytest.mark.parametrize("how", ["SIGHUP", "control"])
def test_reload_takes_new_settings(gateway, key, how):
    name = f"fresh-{how.lower()}"
    gateway.write_dropin(f"50-{name}.conf", NEW_MODEL.replace("fresh", name))
    assert name not in models(gateway, key)
    gateway.reload() if how == "SIGHUP" else gateway.control("Reload")
    assert name in models(gateway, key)
    assert gateway.chat(key, model=name).status == 200


@pytest.mark.parametrize("how", ["SIGHUP", "control"])
def test_broken_reload_keeps_the_old_configuration(gateway, key, how):
    before = models(gateway, key)
    path = gateway.write_dropin("90-wrong.conf", NEW_MODEL.replace("fresh", "half-taken") + "[gateway]\nworkrs = 2\n")
    try:
        if how == "SIGHUP":
            gateway.reload()
            assert wait_for(lambda: [e for e in gateway.log(level="err") if "90-wrong.conf:4" in e["message"]], what="a log line")
        else:
            with pytest.raises(VarlinkError) as failed:
                gateway.control("Reload")
            assert failed.value.name == "io.scribe.Gateway.ConfigRejected"
            assert "90-wrong.conf:4" in failed.value.parameters["where"] and "workers" in failed.value.parameters["text"]
        assert models(gateway, key) == before
        assert gateway.chat(key).status == 200
    finally:
        path.unlink()
    gateway.reload()


def test_setting_that_needs_a_restart_is_named(gateway, key):
    path = gateway.write_dropin("90-restart.conf", f"[gateway]\nworkers = {gateway.workers + 1}\n" + NEW_MODEL)
    try:
        assert "workers" in gateway.control("Reload")["changes_need_restart"]
        told = gateway.ctl("reload", as_json=False)
        assert "workers" in told and "restart" in told
        assert len(gateway.control("GetStatus")["workers"]) == gateway.workers
        assert "fresh" in models(gateway, key), "the rest was not taken"
    finally:
        path.unlink()
        gateway.control("Reload")


def test_open_stream_keeps_the_configuration_it_began_with(gateway, fake, key):
    go_on = threading.Event()

    fake.on("open", held_stream(go_on))
    with gateway.connect() as wire:
        wire.request("POST", "/v1/chat/completions", bearer(key), {"model": "open", "stream": True, "messages": []})
        answer = wire.read_head()
        # The provider that serves it goes away.
        old = (gateway.config / "gateway.conf").read_text()
        gateway.write_config(old.replace(f"base_url = {fake.url}", "base_url = http://127.0.0.1:9/v1"))
        try:
            gateway.control("Reload")
            assert gateway.chat(key, model="any").status == 502
        finally:
            gateway.write_config(old)
        go_on.set()
        for _ in wire.each_piece(answer):
            pass
        assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
    gateway.control("Reload")
    assert gateway.chat(key, model="any").status == 200


def test_secret_in_a_file_is_read_again(gateway, fake, key):
    secret = gateway.directory / "provider.key"
    secret.write_text("first-secret\n")
    path = gateway.write_dropin("60-secret.conf", f'[provider "filed"]\ndialect = openai\nbase_url = {fake.url}\n'
                                                  f'api_key = file:{secret}\n[model "filed"]\ntarget = filed\n')
    gateway.control("Reload")
    gateway.chat(key, model="filed")
    assert fake.wait("filed").header("authorization") == "Bearer first-secret"
    secret.write_text("second-secret\n")
    gateway.control("Reload")
    gateway.chat(key, model="filed")
    assert fake.wait("filed", 2).header("authorization") == "Bearer second-secret"
    secret.unlink()
    with pytest.raises(VarlinkError):
        gateway.control("Reload")
    gateway.chat(key, model="filed")
    assert fake.wait("filed", 3).header("authorization") == "Bearer second-secret"
    path.unlink()
    gateway.control("Reload")


def test_reload_under_load_fails_no_request(gateway, fake, key):
    failed, done, over = [], [], threading.Event()

    def client(n):
        with gateway.connect() as wire:
            while not over.is_set():
                answer = gateway.chat(key, model=f"load-{n}", wire=wire, stream=n % 2 == 0)
                (done if answer.status == 200 else failed).append(answer.status)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        gateway.write_dropin("70-load.conf", f'[model "reloaded-{n}"]\ntarget = echo\n')
        gateway.control("Reload")
        assert f"reloaded-{n}" in models(gateway, key)
    over.set()
    for thread in threads:
        thread.join()
    assert failed == [] and len(done) > 40


def test_config_show_names_the_places_and_hides_secrets(gateway):
    text = gateway.ctl("config", "show", as_json=False)
    assert "gateway.conf:" in text and "workers = 2" in text and "env:FAKE_PROVIDER_KEY" in text
    assert not [secret for secret in gateway.secrets if secret in text]


def test_config_check_needs_no_running_gateway(fake):
    with Gateway(fake.url, start=False) as gateway:
        assert gateway.ctl_run("config", "check", str(gateway.config)).returncode == 0
        gateway.write_dropin("90-wrong.conf", "[gateway]\nworkrs = 2\n")
        done = gateway.ctl_run("config", "check", str(gateway.config))
        assert done.returncode == 78 and "90-wrong.conf:2" in done.stderr + done.stdout


def test_environment_overrides(fake):
    with Gateway(fake.url, env={"LOG_LEVEL": "debug", "SCRIBE_LISTEN": ""}) as gateway:
        assert "debug" in gateway.ctl("log-level", as_json=False)


def test_log_level_is_changed_while_running(gateway, key):
    gateway.ctl("log-level", "debug")
    gateway.chat(key)
    assert gateway.wait_log(level="debug")
    gateway.ctl("log-level", "info")
    assert "info" in gateway.ctl("log-level", as_json=False)
    counts = []
    for _ in range(2):  # what was queued before is written when the line of the first is
        gateway.wait_log(SCRIBE_REQUEST=gateway.chat(key).request_id)
        counts.append(len(gateway.log(level="debug")))
    assert counts[0] == counts[1]
