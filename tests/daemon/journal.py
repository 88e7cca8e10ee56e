"""The journal's socket of a test's own, in a mount namespace: what a program that systemd started would have written there.

    with Journal(gateway) as journal:      # before gateway.start()
        ...
        journal.entries                    # dicts of fields, as journald would store them
"""

import socket
import subprocess
import threading

# unshare, sh and what follows are one process after another by exec: the pid is the one that was started.
ENTER = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]
MOUNT_JOURNAL = 'mount -t tmpfs none /run; mkdir -p /run/systemd/journal; mount --bind "$0" /run/systemd/journal; exec "$@"'


def why_no_namespaces():
    """A reason to skip, or None."""
    done = subprocess.run([*ENTER, "mount -t tmpfs none /mnt"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def read_entry(data):
    """The native protocol: NAME=value lines, or NAME, a line end, a length of 8 bytes, the value, a line end."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, is_text, value = line.partition(b"=")
        if is_text:
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            value, data = rest[8:8 + size], rest[9 + size:]
        if name:
            fields[name.decode()] = value.decode(errors="replace")
    return fields


class Journal:
    def __init__(self, gateway):
        self.entries = []
        self.directory = gateway.directory / "journal-socket"
        self.directory.mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.directory / "socket"))
        (self.directory / "socket").chmod(0o666)
        gateway.stderr_path.touch()
        stderr = gateway.stderr_path.stat()
        # What systemd sets for a unit whose stderr is the journal's.
        gateway.env["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
        gateway.wrapper = [*ENTER, MOUNT_JOURNAL, str(self.directory), *gateway.wrapper]
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            data = self.socket.recv(1 << 20)
            if data == b"\0end":
                return
            self.entries.append(read_entry(data))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """What was sent before is read before."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"\0end", str(self.directory / "socket"))
        self.thread.join(10)
        self.socket.close()
