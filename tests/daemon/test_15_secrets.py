"""No secret stands in a log, an answer, an argument list, an error or a file; and no prompt does."""

import subprocess
from pathlib import Path

import pytest

from fake import answering, chat_json, error_json, stream, stream_frames
from gateway import GATEWAY, LEDGER, PROVIDER_SECRET, SCRIBECTL, Gateway, bearer, wait_for

PROMPT = "the-prompt-that-nobody-may-log-5b1d"
ANSWER = "the-answer-that-nobody-may-log-77aa"


def test_nothing_leaks_anywhere(fake):
    with Gateway(fake.url, log_level="debug") as gateway:
        key = gateway.create_key("alice")
        wait_for(lambda: gateway.chat(key).status == 200, 1)
        fake.on("said", answering(chat_json(ANSWER)))
        fake.on("streamed", stream(stream_frames([ANSWER])))
        # A provider that throws the credential back at us.
        fake.on("mirror", lambda x: x.answer(error_json(f"bad key {x.header('authorization')}"), 401))
        answers = [gateway.chat(key, model="said", content=PROMPT), gateway.chat(key, model="streamed", content=PROMPT, stream=True),
                   gateway.chat(key, model="mirror", content=PROMPT),
                   gateway.chat(key + "x", content=PROMPT), gateway.chat(None, content=PROMPT),
                   gateway.ask("POST", "/v1/chat/completions", bearer(key), '{"model":"said","messages":["' + PROMPT + '",]}')]
        for answer in answers:
            text = answer.body.decode() + answer.raw_head.decode("latin-1")
            assert key not in text and PROVIDER_SECRET not in text, text
        rotated = gateway.ctl("key", "rotate", "alice")["secret"]
        gateway.secrets.append(rotated)
        gateway.reload()
        gateway.event(answers[0].request_id)
        views = "".join(str(gateway.ctl(*view, as_json=as_json)) for as_json in (False, True)
                        for view in (("status",), ("key", "list"), ("usage", "--requests"), ("config", "show")))
        command_lines = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in (gateway.pid, gateway.ledger_pid()))
        gateway.stop()
        for secret in [*gateway.secrets, PROMPT + '"', ANSWER]:
            assert secret not in views and secret not in command_lines
        for path in gateway.directory.rglob("*"):
            if not path.is_file():
                continue
            data = path.read_bytes()
            for secret in [*gateway.secrets, ANSWER]:
                assert secret.encode() not in data, f"{secret} in {path.name}"
            if path.suffix != ".conf":
                assert PROMPT.encode() not in data, path.name


def test_every_log_of_the_suite_is_searched():
    """What stop() does for each gateway of each test: it must find what is there."""
    with Gateway() as gateway:
        secret = gateway.create_key("alice")
        wrong = "sk-wrong-" + "w" * 20
        assert gateway.chat(wrong, model="echo").status == 401
        gateway.stop()
        for path in (gateway.log_path, gateway.stderr_path):
            for found in (secret, wrong, PROVIDER_SECRET):
                before = path.read_text()
                path.write_text(f"{before}oops {found}\n")
                with pytest.raises(AssertionError, match=path.name):
                    gateway.check_no_secret_was_written()
                path.write_text(before)
        gateway.check_no_secret_was_written()


def test_core_dumps_and_debuggers_of_others_see_nothing(gateway):
    """Files of the state directory belong to the service alone."""
    for path in gateway.state.rglob("*"):
        assert path.stat().st_mode & 0o007 == 0, path


def test_provider_error_with_terminal_codes_is_cleaned(gateway, fake, key):
    fake.on("escape", answering(error_json("red \x1b[31m alert\r\nSet-Cookie: a=b"), 400))
    answer = gateway.chat(key, model="escape")
    assert answer.status == 400
    assert answer.header("set-cookie") is None
    gateway.wait_log(SCRIBE_REQUEST=answer.request_id)
    assert b"\x1b" not in gateway.log_path.read_bytes()


def test_programs_are_hardened():
    for path in (GATEWAY, LEDGER, SCRIBECTL):
        text = subprocess.run(["readelf", "-Wld", path], capture_output=True, text=True, check=True).stdout
        assert "GNU_RELRO" in text and "BIND_NOW" in text and "DYN" in text, path
