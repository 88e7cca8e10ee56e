"""A gateway of a test's own: directory, port, configuration, log, control socket; and its ledger.

    with Gateway(fake.url) as gateway:
        key = gateway.create_key("alice")
        answer = gateway.chat(key, model="gpt-1")
        event = gateway.event(answer.request_id)

stop() asserts that the process ended by itself with status 0 and that no sanitizer had anything to say.
"""

import ctypes
import grp
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from varlink import call
from wire import SENT_CREDENTIALS, Wire, ask

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("SCRIBE_BUILD", ROOT / "build"))
GATEWAY = BUILD / "src/daemon/scribe-gateway"
LEDGER = BUILD / "src/ledger/scribe-ledger"
SCRIBECTL = BUILD / "src/ctl/scribectl"
# Sanitizers make everything several times slower: limits of time are stretched by this, expectations of order are not.
SLOWNESS = float(os.environ.get("SCRIBE_SLOWNESS", "1"))
PROVIDER_SECRET = "provider-secret-7f3a91c2"
SANITIZER = re.compile(r"(ERROR|WARNING): (Address|Leak|Memory|Thread)Sanitizer|runtime error:|SG_ASSERT|assertion .* failed",
                       re.IGNORECASE)


def is_instrumented():
    """Sanitizers keep memory of their own: figures would say nothing."""
    program = GATEWAY.read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def wait_for(condition, timeout=10, what="it", pause=0.005):
    """The first true value of condition(). For what has no event to wait for: files of other processes, mostly."""
    end = time.monotonic() + timeout * SLOWNESS
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout * SLOWNESS:.0f} s in vain for {what}")
        time.sleep(pause)


def free_port():
    """A port below the range that the kernel gives to outgoing connections, so that none of those takes it meanwhile."""
    for _ in range(200):
        port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


class Notices:
    """The other end of NOTIFY_SOCKET: what the daemon tells its service manager, with the time of arrival and the sender."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        Path(path).chmod(0o666)  # as systemd's: the daemon may be of another user
        self.messages = []
        self.others = []  # of processes that the manager did not start
        self.pid = None
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(12))
            except OSError:
                return
            if data == b"\0end":
                return
            sender = struct.unpack("iii", ancillary[0][2])[0]
            found = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            if "BARRIER" in found:
                continue  # for the manager itself, whoever sends it; its descriptor was closed by not taking it
            with self.news:
                if self.pid in (None, sender):
                    self.messages.append((time.monotonic(), found))
                    self.pid = int(found.get("MAINPID", 0)) or self.pid  # as the service manager does
                else:
                    self.others.append((sender, found))
                self.news.notify_all()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            try:
                own.sendto(b"\0end", str(self.path))
            except OSError:
                pass
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def count(self):
        with self.news:
            return len(self.messages)

    def find(self, since, **wanted):
        """(index, message) of the first message from `since` that has these fields (True: any value)."""
        for at, (_, message) in enumerate(self.messages[since:], since):
            if all(k in message and v in (True, message[k]) for k, v in wanted.items()):
                return at, message
        return None

    def wait(self, since=0, timeout=20, alive=lambda: True, **wanted):
        end = time.monotonic() + timeout * SLOWNESS
        with self.news:
            while True:
                found = self.find(since, **wanted)
                if found:
                    return found
                if not alive():
                    return None
                if time.monotonic() > end:
                    raise AssertionError(f"no {wanted} among {[m for _, m in self.messages[since:]]}")
                self.news.wait(0.05)


def can_connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Adopted:
    """A process that another one has left behind, as far as it is needed of subprocess.Popen. It is ours to wait for when
    become_subreaper() was called before."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        wait_for(lambda: self.poll() is not None, (timeout or 3600) / SLOWNESS, f"the end of process {self.pid}")
        return self.returncode

    def send_signal(self, what):
        if self.poll() is None:
            os.kill(self.pid, what)


def become_subreaper():
    assert ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER


class CtlError(AssertionError):
    def __init__(self, arguments, done):
        super().__init__(f"scribectl {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        self.status = done.returncode
        self.output = done.stdout
        self.message = done.stderr


class Gateway:
    def __init__(self, provider_url=None, config="", gateway="", group=None, provider="", dropins=None, env=None, workers=2,
                 ledger="child", journal="", log_level="info", directory=None, start=True, api_key=True):
        """ledger: "child" (the gateway starts it), "own" (start_ledger() does) or "none"."""
        self.directory = Path(directory or tempfile.mkdtemp(prefix="scribe-test-"))
        self.directory.chmod(0o755)  # the control tests let other users in
        self.config = self.directory / "config"
        self.state = self.directory / "state"
        self.run = self.directory / "run"
        self.log_path = self.directory / "gateway.log"
        self.stderr_path = self.directory / "stderr"
        self.ledger_stderr_path = self.directory / "ledger-stderr"
        for path in (self.config / "gateway.conf.d", self.state, self.run):
            path.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.workers = workers
        self.group = group or grp.getgrgid(os.getegid()).gr_name
        self.ledger_mode = ledger
        self.wrapper = []  # put before the gateway's command line: a program that ends in exec
        self.wrapper_fds = ()
        self.ledger_wrapper = []
        self.env = dict(env or {})
        self.process = None
        self.ledger_process = None
        self.ledger_notices = None
        self.notices = None
        self.keys = {}
        self.secrets = [PROVIDER_SECRET]
        self.main_text = self._main_text(provider_url, config, gateway, provider, journal, log_level, api_key)
        self.write_config(self.main_text)
        for name, text in (dropins or {}).items():
            self.write_dropin(name, text)
        if start:
            self.start()

    def _main_text(self, provider_url, config, gateway, provider, journal, log_level, api_key):
        text = f"""
[gateway]
workers = {self.workers}
drain_timeout = 10s
state_directory = {self.state}
runtime_directory = {self.run}
group = {self.group}
{gateway}
[listener "http"]
address = 127.0.0.1:{self.port}

[log]
to = file:{self.log_path}
level = {log_level}

[ledger]
start = {"yes" if self.ledger_mode == "child" else "no"}

[journal]
size = 1M
{journal}
[provider "echo"]
dialect = echo
pace = 0s

[model "echo"]
target = echo
"""
        if provider_url:
            text += f"""
[provider "fake"]
dialect = openai
base_url = {provider_url}
{"api_key = env:FAKE_PROVIDER_KEY" if api_key else ""}
breaker_failures = 0
{provider}

[model "*"]
target = fake
"""
        return text + config

    # ---- configuration

    def write_config(self, text):
        (self.config / "gateway.conf").write_text(text)

    def write_dropin(self, name, text):
        path = self.config / "gateway.conf.d" / name
        path.write_text(text)
        return path

    # ---- processes

    def environment(self):
        base = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR") or k.endswith("SAN_OPTIONS")}
        return {**base, "FAKE_PROVIDER_KEY": PROVIDER_SECRET, **self.env}

    def start(self, wait=True):
        assert self.process is None, "already started"
        if self.ledger_mode == "own" and self.ledger_process is None:
            self.start_ledger()
        self.notices = Notices(self.directory / "notify")
        env = {**self.environment(), "NOTIFY_SOCKET": str(self.notices.path)}
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen([*self.wrapper, str(GATEWAY), "--config", str(self.config)], env=env,
                                            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd=self.directory,
                                            pass_fds=self.wrapper_fds)
        self.notices.pid = self.process.pid
        if wait and not self.notices.wait(READY="1", alive=self.is_running, timeout=20):
            raise AssertionError(f"the gateway did not start:\n{self.stderr()}")
        return self

    def start_ledger(self):
        self.ledger_notices = Notices(self.directory / "notify-ledger")
        env = {**self.environment(), "NOTIFY_SOCKET": str(self.ledger_notices.path)}
        with open(self.ledger_stderr_path, "ab") as stderr:
            self.ledger_process = subprocess.Popen([*self.ledger_wrapper, str(LEDGER), "--config", str(self.config)], env=env,
                                                   stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd=self.directory)

    def stop_ledger(self, how=signal.SIGTERM):
        process, self.ledger_process = self.ledger_process, None
        notices, self.ledger_notices = self.ledger_notices, None
        if notices is not None:
            if how == signal.SIGTERM:  # before it is ready it may not listen to signals yet
                notices.wait(READY="1", alive=lambda: process.poll() is None)
            notices.close()
        process.send_signal(how)
        status = process.wait(20 * SLOWNESS)
        if how == signal.SIGTERM:
            assert status == 0, f"the ledger ended with {status}:\n{self.ledger_stderr_path.read_text()}"

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def ledger_pid(self):
        """Of the child that the gateway started."""
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                if os.path.basename(os.readlink(f"/proc/{child}/exe")) == "scribe-ledger":
                    return int(child)
            except OSError:
                continue  # it ended meanwhile
        return None

    def kill(self):
        """SIGKILL: what no program can prepare for. A ledger child is left to notice by itself."""
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def _ended(self, timeout=30):
        status = self.process.wait(timeout * SLOWNESS)
        self.process = None
        self.notices.close()
        return status

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_end(self, timeout=30):
        """Exit status of a process that was told to end."""
        return self._ended(timeout)

    def stop(self):
        """SIGTERM; everything must have gone well up to the last line."""
        if self.process is not None:
            self.terminate()
            try:
                status = self._ended()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the gateway did not end within 30 s\n{self.stderr()[-4000:]}") from None
            assert status == 0, f"the gateway ended with {status}\n{self.stderr()[-4000:]}"
        if self.ledger_process is not None:
            self.stop_ledger()
        self.check_stderr()
        self.check_no_secret_was_written()

    def check_stderr(self):
        for path in (self.stderr_path, self.ledger_stderr_path):
            text = path.read_text(errors="replace") if path.exists() else ""
            assert not SANITIZER.search(text), f"{path.name}:\n{text[-6000:]}"

    def check_no_secret_was_written(self):
        """Neither keys nor credentials of providers stand in a log, whatever the test did: this is so for the whole suite."""
        secrets = {s for s in self.secrets if s} | SENT_CREDENTIALS
        for path in (self.log_path, self.stderr_path, self.ledger_stderr_path):
            text = path.read_text(errors="replace") if path.exists() else ""
            for secret in secrets:
                assert secret not in text, f"a secret of {len(secret)} characters ({secret[:8]}...) in {path.name}"

    def remove(self):
        if self.process is not None:
            self.kill()
        if self.ledger_process is not None:
            self.stop_ledger(signal.SIGKILL)
        if not os.environ.get("SCRIBE_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.remove()

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def told(self):
        """All that was said to people: on stderr, before there is a log, and in the log."""
        return self.stderr() + "\n".join(entry["message"] for entry in self.log())

    def memory(self):
        """(RSS, PSS) of the gateway alone, in KiB."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) for name in ("Rss", "Pss"))

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- log

    def log(self, **fields):
        """Lines of the log (JSON objects) that have these fields; True stands for any value. Fields are named as in the journal."""
        if not self.log_path.exists():
            return []
        found = []
        for line in self.log_path.read_text().splitlines():
            try:
                entry = {k.upper() if k.startswith("scribe_") else k: v for k, v in json.loads(line).items()}
            except ValueError:
                continue  # the last line may be half written
            if all(k in entry and v in (True, entry[k], str(entry[k])) for k, v in fields.items()):
                found.append(entry)
        return found

    def wait_log(self, timeout=5, **fields):
        return wait_for(lambda: self.log(**fields), timeout, f"a log line with {fields}")[0]

    # ---- control

    def ctl_run(self, *arguments, user=None, timeout=30):
        """scribectl as it is; the caller looks at the status."""
        prefix = ["setpriv", *user, "--"] if user else []
        return subprocess.run([*prefix, str(SCRIBECTL), *arguments], env={**self.environment(), **self.control_environment()},
                              capture_output=True, text=True, timeout=timeout * SLOWNESS, stdin=subprocess.DEVNULL)

    def control_environment(self):
        return {"SCRIBE_CONTROL": str(self.control_socket)}

    @property
    def control_socket(self):
        return self.run / "control.socket"

    @property
    def ledger_socket(self):
        return self.run / "ledger.socket"

    def ctl(self, *arguments, as_json=True):
        """A command that must succeed. Answers JSON as objects."""
        done = self.ctl_run(*arguments, *(["--json"] if as_json else []))
        if done.returncode:
            raise CtlError(arguments, done)
        return json.loads(done.stdout) if as_json and done.stdout.strip() else done.stdout

    def control(self, method, **parameters):
        """A verb of the gateway's own socket."""
        return call(self.control_socket, f"io.scribe.Gateway.{method}", **parameters)

    def ledger(self, method, **parameters):
        """A verb of the ledger's socket; waits for a ledger that is just starting."""
        wait_for(lambda: can_connect(self.ledger_socket), what="the ledger's socket")
        return call(self.ledger_socket, f"io.scribe.Ledger.{method}", **parameters)

    def create_key(self, name="test", wait=True, **more):
        """Its secret. The gateway knows it a moment later: wait for that."""
        secret = self.ledger("CreateKey", name=name, **more)["secret"]
        self.keys[name] = secret
        self.secrets.append(secret)
        if wait and self.is_running():
            wait_for(lambda: self.ask("GET", "/v1/models", bearer(secret)).status == 200, 1, "the new key")
        return secret

    def reload(self):
        """SIGHUP; the notice that ends it. Whether it was taken, the log tells."""
        since = self.notices.count()
        self.process.send_signal(signal.SIGHUP)
        at, _ = self.notices.wait(since, RELOADING="1")
        self.notices.wait(at, READY="1")

    def usage(self, key=None, model=None, **wanted):
        """Events in the ledger that have these fields, newest first. The ledger gives them out page by page."""
        found, options = {}, {name: value for name, value in (("key", key), ("model", model)) if value}
        while True:
            page = self.ledger("QueryUsage", requests=True, limit=1000, **options)
            found.update((event["id"], event) for event in page["events"])
            if not page["is_limited"]:
                break
            oldest = page["events"][-1]["start_wall_usec"]
            assert oldest + 1 < options.get("to_wall_usec", 1 << 62), "a thousand events in one microsecond"
            options["to_wall_usec"] = oldest + 1
        return [event for event in found.values() if all(event.get(k) == v for k, v in wanted.items())]

    def event(self, request_id, timeout=10):
        """The one event of an exchange, when it has reached the ledger."""
        assert request_id, "the answer had no x-request-id"
        found = wait_for(lambda: self.usage(request_id=request_id), timeout, f"the event of {request_id}", pause=0.05)
        assert len(found) == 1, found
        return found[0]

    # ---- requests

    def connect(self, **options):
        options.setdefault("timeout", 20 * SLOWNESS)
        return Wire(self.port, **options)

    def ask(self, method, target, headers=(), body=None, **options):
        options.setdefault("timeout", 20 * SLOWNESS)
        return ask(self.port, method, target, headers, body, **options)

    def chat(self, key, model="echo", content="Hello there", stream=False, path="/v1/chat/completions", wire=None,
             keep_broken=False, **fields):
        body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
        if stream:
            body["stream"] = True
        if model is None:
            del body["model"]
        how = wire.ask if wire else self.ask
        return how("POST", path, bearer(key), body, keep_broken=keep_broken)


def bearer(key):
    return {"Authorization": f"Bearer {key}"} if key else {}
