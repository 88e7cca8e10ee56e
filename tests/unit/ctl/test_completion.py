#!/usr/bin/python3
"""Completes lines in a real bash and a real zsh with the scripts that scribectl prints. Prints TAP.

usage: test_completion.py BASH-COMPLETION ZSH-COMPLETION
"""

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# A scribectl that knows keys, one credential and two services, and more keys behind another socket.
FAKE = """#!/bin/sh
case "$*" in
    '--control /other --quiet key list') echo elsewhere ;;
    '--quiet key list') printf '%s\\n' alice ann bob ;;
    '--quiet group list') printf '%s\\n' acme research ;;
    '--quiet credential list') echo moonshot ;;
    '--quiet upstream list') printf '%s\\n' query quota ;;
    *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""

# words of the line (the last one is being completed) -> what is offered; a set: at least these, and none of MISSING.
CASES = [
    (["st"], ["status"]),
    (["key", ""], ["change", "create", "export", "import", "list", "revoke", "rotate", "show"]),
    (["key", "r"], ["revoke", "rotate"]),
    (["key", "create", "x", "--group", ""], ["acme", "research"]),
    (["key", "change", "x", "--rp"], ["--rpm"]),
    (["key", "create", "x", "--limit", "600 requests/minute", "--li"], ["--limit"]),
    (["key", "import", "@directory/"], ["@directory/inside", "@directory/a.key"]),
    (["group", ""], ["change", "create", "list", "remove", "show"]),
    (["group", "change", "r"], ["research"]),
    (["group", "create", "x", "--parent", "a"], ["acme"]),
    (["journal", ""], ["export", "status", "verify"]),
    (["journal", "verify", "@directory/"], ["@directory/inside"]),
    (["audit", "--su"], ["--subject"]),
    (["config", ""], ["check", "show"]),
    (["credential", ""], ["list", "remove", "set"]),
    (["key", "show", ""], ["alice", "ann", "bob"]),
    (["key", "show", "a"], ["alice", "ann"]),
    (["key", "show", "alice", ""], None),
    (["--control", "/other", "key", "revoke", ""], ["elsewhere"]),
    (["credential", "remove", ""], ["moonshot"]),
    (["credential", "remove", "--force", ""], ["moonshot"]),
    (["upstream", ""], ["drain", "enable", "list"]),
    (["upstream", "list", ""], ["query", "quota"]),
    (["upstream", "drain", "que"], ["query"]),
    (["upstream", "enable", ""], ["query", "quota"]),
    (["usage", ""], ["prune", "reconcile"]),
    (["usage", "--co"], {"--cost", "--control"}),
    (["usage", "reconcile", "--p"], ["--provider"]),
    (["usage", "reconcile", "@directory/"], ["@directory/inside", "@directory/a.key"]),
    (["usage", "--by", "m"], ["model"]),
    (["usage", "--since", "1d", "--by", ""], ["day", "key", "model", "none", "provider"]),
    (["usage", "--key", "b"], ["bob"]),
    (["usage", "--since", ""], []),
    (["log-level", ""], ["debug", "err", "info", "notice", "warning"]),
    (["log-level", "w"], ["warning"]),
    (["completion", ""], ["bash", "zsh"]),
    (["help", "cred"], ["credential"]),
    (["help", "key", "cr"], ["create"]),
    (["key", "create", "--m"], ["--models"]),
    (["--json", "key", "create", "--e"], ["--expires"]),
    (["credential", "set", "--f"], ["--file"]),
    (["status", "--f"], []),
    (["config", "check", "@directory/"], ["@directory/inside"]),
    (["credential", "set", "x", "--file", "@directory/"], ["@directory/inside", "@directory/a.key"]),
    (["nonsense", "-"], None),
]
GLOBAL = {"--control", "--help", "--json", "--ledger", "--quiet", "--version"}


def result(number, name, problem):
    print(f"{'not ok' if problem else 'ok'} {number} - {name}")
    for line in problem or []:
        print(f"# {line}")
    return bool(problem)


class Bash:
    def __init__(self, directory, script):
        self.env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
        self.script = script

    def complete(self, words):
        """As readline does: the line is cut at "=", too."""
        cut = []
        for word in words:
            head, equals, value = word.partition("=")
            cut += [head, "=", *([value] if value else [])] if equals and head.startswith("--") else [word]
        done = subprocess.run(
            ["bash", "--norc", "-c", 'source "$1"; shift; COMP_WORDS=(scribectl "$@"); COMP_CWORD=$#; '
             '_scribectl scribectl "${@: -1}"; ((${#COMPREPLY[@]})) && printf "%s\\n" "${COMPREPLY[@]}"; exit 0',
             "bash", self.script, *cut], env=self.env, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode or done.stderr:
            return [f"bash fails: {done.returncode} {done.stderr}"]
        return sorted(done.stdout.splitlines())


class Zsh:
    """An interactive zsh on a terminal of its own. A Tab goes through the whole completion system; compadd is watched, and
    what it adds comes back through a pipe."""

    RC = """
fpath=({site} $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {{
    local -a added
    if (( ! ${{@[(I)-[OAD]*]}} )); then
        builtin compadd -A added "$@"
        print -rl -u {out} -- "+"$^added
    fi
    builtin compadd "$@"
}}
watched() {{ _main_complete; print -r -u {out} -- . }}
zle -C watched complete-word watched
bindkey '^I' watched
bindkey '^U' kill-whole-line
zstyle ':completion:*' format ''
unset zle_bracketed_paste
PROMPT='> '
print -r -u {out} -- .
"""

    def __init__(self, directory, script):
        site = directory / "site"
        site.mkdir()
        shutil.copy(script, site / "_scribectl")
        self.answers, out = os.pipe()
        os.set_inheritable(out, True)
        (directory / ".zshrc").write_text(self.RC.format(site=site, out=out))
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(PATH=f"{directory}:{os.environ['PATH']}", ZDOTDIR=str(directory), TERM="dumb", LC_ALL="C.UTF-8",
                              COLUMNS="200", LINES="1000")
            os.execlp("zsh", "zsh", "-d", "-i")
        os.close(out)
        self.pending = b""
        self.screen = b""
        self.wait()

    def wait(self):
        """The lines up to the next one that is a dot."""
        lines = []
        while True:
            line, found, rest = self.pending.partition(b"\n")
            if found:
                self.pending = rest
                if line == b".":
                    return lines
                lines.append(line.decode())
                continue
            ready, _, _ = select.select([self.answers, self.terminal], [], [], 60)
            if not ready:
                raise TimeoutError(f"zsh says nothing; the screen: {self.screen!r}")
            if self.terminal in ready:
                self.screen += os.read(self.terminal, 65536)
            if self.answers in ready:
                self.pending += os.read(self.answers, 65536)

    def complete(self, words):
        os.write(self.terminal, b"\x15scribectl " + " ".join(words).encode() + b"\t")
        return sorted({line[1:] for line in self.wait() if line not in ("", "+")})

    def close(self):
        os.close(self.terminal)
        os.close(self.answers)
        os.waitpid(self.pid, 0)


def check(shell, directory, is_zsh):
    problems = []
    for words, wanted in CASES:
        words = [word.replace("@", f"{directory}/") for word in words]
        offered = shell.complete(words)
        if is_zsh:  # files come without what is typed before them, and places that take anything offer options
            offered = [word.split("/")[-1] if "@" not in word else word for word in offered]
        if wanted is None:
            is_good = not any(word in offered for word in ("alice", "status"))
        else:
            wanted = sorted(word.replace("@", f"{directory}/") for word in wanted)
            if is_zsh:
                wanted = sorted(word.split("/")[-1] for word in wanted)
            is_good = offered == wanted
        if not is_good:
            problems.append(f"{words}: offered {offered}, wanted {wanted}")
    return problems


def check_equals(shell):
    offered = shell.complete(["usage", "--by=pro"])
    return None if offered == ["provider"] else [f"--by=pro: {offered}"]


def check_options(shell):
    """Each verb that takes none of its own offers the global options, and "-" offers nothing else."""
    problems = []
    for verb in (["status"], ["reload"], ["upgrade"], ["version"], ["config", "show"]):
        offered = set(shell.complete([*verb, "--"]))
        if offered != GLOBAL:
            problems.append(f"{verb}: {sorted(offered ^ GLOBAL)}")
    return problems


def main():
    scripts = [Path(argument).resolve() for argument in sys.argv[1:3]]
    n_failed = number = 0
    print("1..8")
    for name, make, script in (("bash", Bash, scripts[0]), ("zsh", Zsh, scripts[1])):
        if not shutil.which(name):
            for what in ("is good", "words", "an option with =", "options"):
                number += 1
                print(f"ok {number} - {name}: {what} # SKIP there is no {name} here")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            (directory / "scribectl").write_text(FAKE)
            (directory / "scribectl").chmod(0o755)
            (directory / "directory").mkdir()
            (directory / "directory" / "inside").mkdir()
            (directory / "directory" / "a.key").write_text("")
            syntax = subprocess.run([name, "-n", script], capture_output=True, text=True, check=False)
            n_failed += result(number + 1, f"{name}: is good", (syntax.stderr + syntax.stdout).splitlines())
            shell = make(directory, script)
            n_failed += result(number + 2, f"{name}: words", check(shell, directory, name == "zsh"))
            n_failed += result(number + 3, f"{name}: an option with =", check_equals(shell))
            n_failed += result(number + 4, f"{name}: options", check_options(shell))
            number += 4
            if name == "zsh":
                shell.close()
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
