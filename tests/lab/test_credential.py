"""scribectl credential on a real system: encrypted by systemd-creds, decrypted by PID 1 for the service, used by a provider."""

import json

from service import GATEWAY, PROVIDER_SECRET, Load

STORE = "/etc/credstore.encrypted/scribe-gateway"
DROPINS = f"/etc/systemd/system/{GATEWAY}.d"
PROVIDER = """[provider "private"]
dialect = openai
base_url = http://127.0.0.1:9000/v1
api_key = credential:private
[model "private"]
target = private
"""


def ctl(box, *words, **more):
    """scribectl credential as root: (exit status, what it said)."""
    done = box.run("scribectl", "credential", *words, check=False, **more)
    return done.returncode, done.stdout


def listed(box):
    return {one["name"]: one for one in json.loads(box.out("scribectl", "credential", "list", "--json"))["credentials"]}


def test_a_secret_is_encrypted_and_reaches_the_provider(own):
    own.start_provider()
    status, said = ctl(own, "set", "private", input=PROVIDER_SECRET + "\n")
    assert status == 0 and "api_key = credential:private" in said and "systemctl restart scribe-gateway" in said, said
    # On the disk nobody finds it: root neither.
    assert own.out("stat", "-c", "%a %U", STORE, f"{STORE}/private.cred", f"{DROPINS}/credential-private.conf").split("\n") == [
        "700 root", "600 root", "644 root"]
    assert own.run("grep", "-rlF", PROVIDER_SECRET, "/etc", "/var", check=False).stdout == ""
    assert own.out("systemd-creds", "decrypt", "--name=private", f"{STORE}/private.cred", "-") == PROVIDER_SECRET
    assert listed(own) == {"private": {"name": "private", "encrypted_with": "host", "has_dropin": True, "is_used": False}}
    # The service reads it at its next start, and only then may the configuration name it.
    own.configure("50-private", PROVIDER)
    with Load(own) as load:
        own.ctl("restart", GATEWAY)
        own.await_active()
        answer = own.chat("hello", model="private")
    assert answer.status == 200, answer
    assert load.failed() == [] and load.answered() > 0
    assert own.provider()["right"] == 1 and own.provider()["wrong"] == 0
    assert listed(own)["private"]["is_used"] is True
    # Neither environment nor arguments of the service hold it.
    pid = own.pid()
    assert PROVIDER_SECRET.encode() not in own.get(f"/proc/{pid}/environ") + own.get(f"/proc/{pid}/cmdline")


def test_another_secret_takes_its_place(own):
    own.start_provider()
    own.put("/root/wrong.key", "not-the-right-one\n", mode="0600")
    assert ctl(own, "set", "private", "--file", "/root/wrong.key")[0] == 0
    own.configure("50-private", PROVIDER)
    own.ctl("restart", GATEWAY)
    own.await_active()
    assert own.chat("hello", model="private").status == 502
    assert ctl(own, "set", "private", "--file", "/root/provider.secret")[0] == 0
    own.ctl("restart", GATEWAY)
    own.await_active()
    assert own.chat("hello", model="private").status == 200


def test_remove_refuses_what_is_used(own):
    assert ctl(own, "set", "private", input=PROVIDER_SECRET)[0] == 0
    assert ctl(own, "set", "spare", input="sk-spare")[0] == 0
    own.configure("50-private", PROVIDER)
    own.ctl("restart", GATEWAY)
    own.await_active()
    status, said = ctl(own, "remove", "private")
    assert status == 1 and "credential:private" in said and "--force" in said, said
    assert ctl(own, "remove", "nobody")[0] == 5
    assert ctl(own, "remove", "spare")[0] == 0
    assert list(listed(own)) == ["private"]
    own.unconfigure("50-private")
    own.ctl("reload", GATEWAY)
    assert ctl(own, "remove", "private")[0] == 0
    assert own.run("ls", "-d", STORE, f"{DROPINS}/credential-private.conf", check=False).returncode == 2
    assert "LoadCredentialEncrypted" not in own.run("systemctl", "cat", GATEWAY).stdout
    own.ctl("restart", GATEWAY)
    own.await_active()


def test_without_a_gateway_only_force_removes(own):
    assert ctl(own, "set", "private", input=PROVIDER_SECRET)[0] == 0
    own.ctl("stop", "scribe-gateway-control.socket", "scribe-gateway-http.socket", GATEWAY)
    assert listed(own)["private"]["is_used"] is None
    status, said = ctl(own, "remove", "private")
    assert status == 1 and "does not answer" in said, said
    assert ctl(own, "remove", "private", "--force")[0] == 0
    assert listed(own) == {}


def test_a_configuration_without_its_secret_says_how_to_give_it(own):
    own.configure("50-private", PROVIDER)
    own.ctl("restart", GATEWAY, check=False)
    assert own.show("ExecMainStatus") == "78"
    assert "credential" in own.show("StatusText") and "private" in own.show("StatusText")
    assert ctl(own, "set", "private", input=PROVIDER_SECRET)[0] == 0
    own.ctl("reset-failed", GATEWAY)
    own.ctl("restart", GATEWAY)
    own.await_active()


def test_others_than_root_are_told_to_use_sudo(shared):
    for words in (["set", "private"], ["list"], ["remove", "private"]):
        done = shared.run("runuser", "-u", "nobody", "--", "scribectl", "credential", *words, check=False, input="sk-1\n")
        assert done.returncode == 4 and "sudo" in done.stdout, done.stdout
    assert listed(shared) == {}


def test_what_is_no_secret_changes_nothing(shared):
    for secret in ("", "\n", "two words", "two\nlines"):
        status, said = ctl(shared, "set", "private", input=secret)
        assert status == 1 and "two" not in said, said
    for name in ("..", "a/b", "a b", ".hidden"):
        assert ctl(shared, "set", name, input="sk-1")[0] == 2
    assert listed(shared) == {}
    assert "credential-" not in shared.out("sh", "-c", f"ls {DROPINS} 2>/dev/null || true")


def test_a_private_key_keeps_its_lines(shared):
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----"
    status, said = ctl(shared, "set", "tls", input=pem + "\n")
    assert status == 0 and "credential:tls" in said, said
    assert shared.out("systemd-creds", "decrypt", "--name=tls", f"{STORE}/tls.cred", "-") == pem
    assert ctl(shared, "remove", "tls")[0] == 0


def test_without_systemd_creds_the_way_out_is_told(own):
    own.run("mv", "/usr/bin/systemd-creds", "/root/")
    status, said = ctl(own, "set", "private", input="sk-1")
    assert status == 1 and "systemd 250" in said and "api_key = file:" in said, said
    assert listed(own) == {}


def test_the_service_is_there_again_after_a_reboot(own):
    own.start_provider()
    assert ctl(own, "set", "private", input=PROVIDER_SECRET)[0] == 0
    own.configure("50-private", PROVIDER)
    own.reboot()
    own.await_active()
    own.start_provider()
    assert own.chat("hello", model="private").status == 200


def test_pages_and_completions_are_installed(shared):
    files = shared.out("dpkg", "-L", "scribe-gateway").split("\n")
    for page in ("man1/scribectl.1", "man5/scribe-gateway.conf.5", "man7/scribe-gateway.varlink.7", "man8/scribe-gateway.8",
                 "man8/scribe-ledger.8"):
        assert f"/usr/share/man/{page}.gz" in files
        assert "scribe-gateway" in shared.out("zcat", f"/usr/share/man/{page}.gz").replace("\\-", "-")
    assert "/usr/share/zsh/vendor-completions/_scribectl" in files
    # As bash-completion would: sourced when the first line of it is completed.
    assert shared.out("bash", "-c", "source /usr/share/bash-completion/completions/scribectl; COMP_WORDS=(scribectl cred) COMP_CWORD=1; "
                      "_scribectl; echo ${COMPREPLY[@]}") == "credential"
