"""A PostgreSQL of a test's own: Debian's server on a port of the loopback, with fsync as it comes.

    with Postgres() as postgres:
        postgres.prepare()                      # roles.sql: the database scribe, scribe_owner, scribe_ledger, scribe_reader
        with Gateway(config=f"[ledger]\\ndatabase = {postgres.url('scribe_owner')}\\n") as gateway:
            postgres.pause()                    # nothing answers; connections are still accepted by the kernel
            postgres.resume()

Roles need no password (`authentication="trust"`) unless the test says otherwise. As a program it serves a database until its
standard input ends; see serve().
"""

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway import ROOT, SLOWNESS, free_port, wait_for
from peers import can_connect

ROLES = ROOT / "packaging/postgresql/roles.sql"


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    return Path(found[-1]).parent if found else None


class Postgres:
    """A cluster of a test's own, as the user postgres when the tests are root's: PostgreSQL refuses to run as root. Its
    directory is not pytest's, into which only root may look."""

    def __init__(self, authentication="trust", options="", signal_file=None, hba=None, tls=None, fsync=True, copy_of=None):
        """signal_file: "standby.signal" makes a server that starts and never serves. hba: the lines of pg_hba.conf. tls: files of
        certificate, key and the authority of clients. copy_of: the primary that this becomes a standby of."""
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="scribe-test-postgres-"))
        self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []
        self.bin = postgres_bin()
        self.process = None
        self.mounts = []
        self.log = self.directory / "postgres.log"
        self._give(self.directory)
        if copy_of:
            self._run("pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", copy_of.port, "-U", "postgres", "-R", "--checkpoint=fast",
                      "--no-sync")
        else:
            self._run("initdb", "-D", self.data, "-U", "postgres", "--auth-local=trust", f"--auth-host={authentication}", "--no-sync")
        self.write_settings(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.directory}'\n"
                            f"max_connections = 50\nfsync = {'on' if fsync else 'off'}\n" + self._tls_settings(tls) + options)
        if hba:
            self.write_hba(hba)
        if signal_file:
            (self.data / signal_file).touch()
            self._give(self.data / signal_file)
        self.start(wait=not signal_file)

    @property
    def data(self):
        return self.directory / "data"

    def _give(self, path):
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    def _tls_settings(self, tls):
        """The server reads its key only when nobody else can."""
        if not tls:
            return ""
        settings = "ssl = on\n"
        for setting, source in zip(("ssl_cert_file", "ssl_key_file", "ssl_ca_file"), tls):
            path = self.directory / setting
            shutil.copy(source, path)
            path.chmod(0o600)
            self._give(path)
            settings += f"{setting} = '{path}'\n"
        return settings

    def _run(self, program, *arguments, stdin=None):
        done = subprocess.run([*self.prefix, str(self.bin / program), *map(str, arguments)], cwd=self.directory, input=stdin or "",
                              capture_output=True, text=True, timeout=120 * SLOWNESS)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # ---- settings: taken by a start, or by reload()

    def write_settings(self, text):
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(text)

    def write_hba(self, text):
        (self.data / "pg_hba.conf").write_text(f"local all postgres trust\nhost all postgres 127.0.0.1/32 trust\n{text}\n")

    def reload(self):
        before = self.log.read_text().count("received SIGHUP")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count("received SIGHUP") > before, 10, "the server to read its settings")
        self.sql("SELECT 1")  # a process that was forked after it

    # ---- life

    def start(self, wait=True):
        assert not self.process
        with open(self.log, "ab") as log:
            self.began = log.tell()
            self.process = subprocess.Popen([*self.prefix, str(self.bin / "postgres"), "-D", str(self.data)], cwd=self.directory,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: can_connect(self.port) or self.process.poll() is not None, 30, "postgres")
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        if wait:
            self.wait_serving()

    def wait_serving(self):
        """A standby that takes questions serves, too."""
        wait_for(lambda: b"ready to accept" in self.log.read_bytes()[self.began:], 60, "a database that serves")

    def serves(self):
        done = subprocess.run([str(self.bin / "pg_isready"), "-q", "-h", str(self.directory), "-p", str(self.port),
                               "-U", "postgres", "-d", "postgres"], check=False)
        return done.returncode == 0

    def stop(self, how=signal.SIGINT):
        """SIGINT: sessions are ended in good order ("fast"); SIGTERM waits for them; SIGQUIT and kill() are crashes."""
        if not self.process:
            return
        self.resume()
        self.process.send_signal(how)
        try:
            self.process.wait(60 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None

    def kill(self):
        """SIGKILL for all of it at once: what a power cut of the database's machine is but for its disk. The server's processes
        would end by themselves without their parent, at some time."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30 * SLOWNESS)
        self.process = None
        wait_for(lambda: not any(Path(f"/proc/{pid}/fd").exists() and _state(pid) != "Z" for pid in pids), 30, "all of postgres to be gone")

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        self.start()

    def pids(self):
        """The server first, then the processes that it forked."""
        parent = self.process.pid
        return [parent, *(int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]

    def pause(self):
        """Nothing answers any more. The kernel still accepts connections, and takes what is sent."""
        os.kill(self.process.pid, signal.SIGSTOP)  # first, so that it forks nobody meanwhile
        wait_for(lambda: _state(self.process.pid) == "T", 10, "the server to stand still")
        for pid in self.pids()[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self):
        for pid in reversed(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # ---- standby

    def standby(self, **arguments):
        """A hot standby of this server; promote() makes it a primary."""
        return Postgres(copy_of=self, **arguments)

    def promote(self):
        self.sql("SELECT pg_promote()")
        wait_for(lambda: self.sql("SELECT pg_is_in_recovery()") == "f", 30, "the standby to be promoted")

    # ---- a disk of its own, which can be full

    def small_tablespace(self, size="64m", name="small"):
        """A tablespace on a tmpfs of that size; only root can make one. `CREATE DATABASE … TABLESPACE small`, or
        prepare(tablespace="small")."""
        path = self.directory / name
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "scribe-test", str(path)], check=True)
        self.mounts.append(path)
        self._give(path)
        self.sql(f"CREATE TABLESPACE {name} LOCATION '{path}'")

    def fill(self, name="small", leave=0):
        """Takes what room is left there, but for so many bytes."""
        path = self.directory / name
        room = os.statvfs(path)
        with open(path / "ballast", "ab") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(room.f_bavail * room.f_frsize - leave, 1))

    def free(self, name="small"):
        (self.directory / name / "ballast").unlink(missing_ok=True)

    # ---- SQL

    def sql(self, text, database="postgres", user="postgres"):
        """What psql prints: a line per row, columns with | between."""
        return self._run("psql", "-h", self.directory, "-p", self.port, "-U", user, "-d", database, "-X", "-q", "-A", "-t",
                         "-v", "ON_ERROR_STOP=1", "-c", text).rstrip("\n")

    def prepare(self, passwords=None, tablespace=None):
        """The roles and the database of packaging/postgresql/roles.sql; passwords by role."""
        self._run("psql", "-h", self.directory, "-p", self.port, "-U", "postgres", "-d", "postgres", "-X", "-q", "-f", "-",
                  stdin=ROLES.read_text())
        for role, password in (passwords or {}).items():
            self.sql(f"ALTER ROLE {role} PASSWORD '{password}'")
        if tablespace:
            self.sql(f"ALTER DATABASE scribe SET TABLESPACE {tablespace}")

    def url(self, user="scribe_ledger", database="scribe", options=""):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{options}"

    # ---- the end

    def remove(self):
        self.stop()
        for path in self.mounts:
            subprocess.run(["umount", "-l", str(path)], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def serve():
    """For tests in other languages: commands on standard input, one line of answer each; its end is the server's."""
    if not postgres_bin():
        sys.exit("there is no PostgreSQL: install the package postgresql")
    with Postgres() as postgres:
        postgres.prepare()
        commands = {
            "url": postgres.url, "pause": postgres.pause, "resume": postgres.resume, "kill": postgres.kill, "start": postgres.start,
            "stop": postgres.stop, "sql": postgres.sql, "port": lambda: postgres.port, "directory": lambda: postgres.directory,
        }
        for line in sys.stdin:
            word, _, rest = line.rstrip("\n").partition(" ")
            answer = commands[word](*rest.split("\t")) if rest else commands[word]()
            print("" if answer is None else str(answer).replace("\n", ";"), flush=True)


if __name__ == "__main__":
    serve()
