"""A booted Debian for tests in Python: what box.sh does, held by a process of its own, and the package for that Debian.

    with Box(base("trixie", ["python3"])) as box:
        box.put("/root/x.deb", package("trixie"))
        box.run("apt-get", "-y", "install", "/root/x.deb")
        box.reboot()

The box ends with the process that made it, however that one ends.
"""

import functools
import os
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ.get("SCRIBE_SOURCE") or HERE.parent.parent)
BOX_SH = HERE / "box.sh"
WORK = Path(os.environ.get("SCRIBE_LAB") or SOURCE / "build/lab")  # bases, packages; kept from run to run


def missing():
    """What this machine lacks for boxes, as a sentence; empty when it lacks nothing."""
    return subprocess.run(["bash", BOX_SH, "missing"], capture_output=True, text=True, check=True).stdout.strip()


def own_suite():
    return re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)[1]


# ---- what a box is made of

class NoBase(Exception):
    """A plain Debian could not be put together: most often the archive is out of reach."""


def base(suite, packages, name=None):
    """The folder of a Debian with these packages; made once."""
    folder = WORK / (name or suite)
    made = subprocess.run(["bash", BOX_SH, "base", folder, *packages], env={**os.environ, "BOX_SUITE": suite},
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise NoBase(f"no {suite} could be built: {made.stderr.strip()[-400:]}")
    return folder


def relations(field):
    """Names of the packages in a Depends or Build-Depends field: the first of alternatives, without versions."""
    field = re.sub(r"^#.*\n", "", field, flags=re.M)
    names = [re.sub(r"\(.*?\)|<.*?>|\[.*?\]|\|.*", "", part, flags=re.S).strip() for part in field.split(",")]
    return sorted({name for name in names if name})


def depends(deb):
    """What the package needs; it goes into the base, so that installing needs no network."""
    fields = subprocess.run(["dpkg-deb", "-f", deb, "Pre-Depends", "Depends"], capture_output=True, text=True, check=True).stdout
    return relations(re.sub(r"^(Pre-)?Depends:", ",", fields, flags=re.M))


@functools.cache
def package(suite, version=None, change=None):
    """The .deb for that Debian, built from the sources as they are; with the same sources, what was built before."""
    build = _build_here if suite == own_suite() else _build_in_base
    command, place = build(suite)
    built = subprocess.run([*command, *filter(None, [version, change])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    assert built.returncode == 0, f"no package for {suite}: {built.stderr[-2000:]}"
    return place / Path(built.stdout.strip().splitlines()[-1]).relative_to(place if place == WORK else "/work")


def _build_here(_):
    return ["bash", HERE / "build_package.sh", SOURCE, WORK], WORK


def _build_in_base(suite):
    """build_package.sh in another Debian: a base with what building needs, the sources, and a place for what is built."""
    control = (SOURCE / "debian/control").read_text()
    needed = relations(re.search(r"^Build-Depends:(.*?)^[^\s#]", control, re.M | re.S)[1])
    needed = ["debhelper" if name == "debhelper-compat" else name for name in needed if not name.startswith("dh-sequence-")]
    root = base(suite, ["build-essential", *needed], f"{suite}-build") / "root"
    place = WORK / f"package-{suite}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "list").write_bytes(_sources())
    script = """
        root=$1 place=$2
        mkdir -p "$root/source" "$root/work" &&
            mount -t tmpfs source "$root/source" && mount --bind "$place" "$root/work" &&
            mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
            xargs -0 cp -p --parents -t "$root/source" <"$place/list" || exit 1
        shift 2
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \\
            bash /source/tests/lab/build_package.sh /source /work "$@"
    """
    return ["env", "-C", SOURCE, "unshare", "--mount", "--propagation", "slave", "bash", "-c", script, "bash", root, place], place


def _sources():
    """Names of the files that make the package, each ended by NUL."""
    listed = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True)
    if listed.returncode != 0:  # no checkout
        listed = subprocess.run(["find", ".", "-name", ".git", "-prune", "-o", "-name", "build*", "-type", "d", "-prune", "-o",
                                 "-type", "f", "-print0"], cwd=SOURCE, capture_output=True, check=True)
    names = [name for name in listed.stdout.split(b"\0") if name and (SOURCE / os.fsdecode(name)).exists()]
    return b"".join(name + b"\0" for name in names)


# ---- the box

class Box:
    def __init__(self, folder):
        self.console = tempfile.TemporaryFile("w+")
        self.holder = subprocess.Popen(["bash", BOX_SH, "hold", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=self.console, text=True)
        self.init = self._up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _up(self):
        line = self.holder.stdout.readline()
        if not line.startswith("up "):
            self.holder.wait()
            self.console.seek(0)
            raise NoBase(f"a plain Debian does not boot here: {self.console.read().strip()[-400:]}")
        return int(line.split()[1])

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(30)
        self.holder.stdout.close()
        self.console.close()

    def reboot(self):
        self.holder.stdin.write("reboot\n")
        self.holder.stdin.flush()
        self.init = self._up()

    # ---- inside

    def command(self, *command):
        return ["bash", str(BOX_SH), "enter", str(self.init), *map(str, command)]

    def run(self, *command, check=True, timeout=60, **more):
        """Runs a command as root and waits for it; what it printed is in .stdout (with stderr in it)."""
        more.setdefault("stdin", subprocess.DEVNULL if "input" not in more else None)
        if more["stdin"] is None:
            del more["stdin"]
        done = subprocess.run(self.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                              errors="replace", **more)
        if check:
            assert done.returncode == 0, f"{shlex.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}"
        return done

    def sh(self, script, *arguments, **more):
        return self.run("sh", "-ec", script, "sh", *arguments, **more)

    def out(self, *command, **more):
        return self.run(*command, **more).stdout.strip()

    def start(self, *command, **more):
        """Starts a command and does not wait."""
        more.setdefault("stdin", subprocess.PIPE)
        return subprocess.Popen(self.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)

    def put(self, path, content, mode="0644"):
        """A file of this machine (Path), or text, into the box."""
        data = content.read_bytes() if isinstance(content, Path) else content.encode()
        done = subprocess.run(self.command("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"', "sh", path, mode),
                              input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == 0, f"{path}: {done.stdout.decode(errors='replace')}"

    def get(self, path):
        return subprocess.run(self.command("cat", path), stdout=subprocess.PIPE, check=True, timeout=60).stdout

    def host_pid(self, pid):
        """The number that this machine knows the box's process by."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = re.search(r"^NSpid:\s+(.*)$", status.read_text(), re.M)[1].split()
            except (OSError, TypeError):
                continue
            if len(numbers) > 1 and numbers[-1] == str(pid) and self._is_inside(status.parent):
                return int(numbers[0])
        raise AssertionError(f"no process {pid} in the box")

    def _is_inside(self, process):
        try:
            return os.readlink(process / "ns/pid") == os.readlink(f"/proc/{self.init}/ns/pid")
        except OSError:
            return False


def wait_for(condition, what, timeout=15, pause=0.05):
    """The first true value of condition(), for what has no event that one could wait for from outside the box."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(pause)
