#!/usr/bin/python3
"""Holds docs/configuration.md against the table of settings: the tables between its markers must be what scribe-settings
prints. Prints TAP.

usage: settings_docs.py SCRIBE-SETTINGS DOCUMENT [--update]
"""

import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

BEGIN = "<!-- settings: begin"
END = "<!-- settings: end -->"


def split(text):
    """What stands before the tables (with the marker), the tables, and what stands after (from the marker)."""
    start = text.index("\n", text.index(BEGIN)) + 1
    end = text.index(END)
    return text[:start], text[start:end], text[end:]


def main():
    program, document = sys.argv[1], Path(sys.argv[2])
    before, tables, after = split(document.read_text())
    wanted = subprocess.run([program, "--markdown"], capture_output=True, text=True, check=True).stdout
    wanted = f"\n{wanted}"
    if "--update" in sys.argv[3:]:
        document.write_text(before + wanted + after)
        return 0
    print("1..2")
    is_same = tables == wanted
    print(f"{'ok' if is_same else 'not ok'} 1 - the tables of {document.name} are those of the settings")
    if not is_same:
        for line in unified_diff(tables.splitlines(), wanted.splitlines(), document.name, "scribe-settings --markdown", lineterm=""):
            print(f"# {line}")
        print(f"# bring it up to date: {sys.argv[0]} {program} {document} --update")
    # Every variable that the code reads is told of.
    source = (document.parent.parent / "src/config/environment.c").read_text()
    names = {part.split('"')[1] for part in source.split("sg_surroundings_env(around, ")[1:] if part.startswith('"')}
    names |= {part.split('"')[1] for part in source.split("FROM(")[1:] if part.startswith('"')}
    untold = sorted(name for name in names if f"`{name}`" not in before)
    print(f"{'ok' if names and not untold else 'not ok'} 2 - every environment variable is told of {' '.join(untold)}".rstrip())
    return 0 if is_same and names and not untold else 1


if __name__ == "__main__":
    sys.exit(main())
