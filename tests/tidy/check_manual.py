# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The manual agrees with the program, and its pages are well-formed."""

import re
import subprocess

import checker


def plain(roff):
    return roff.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")


def options_in_help(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


def options_in_page(roff):
    """Those that have an entry of their own (.TP and then the option)."""
    entries = re.findall(r"^\.TP\n(.*)$", plain(roff), re.MULTILINE)
    return {option for entry in entries for option in re.findall(r"--([a-z][a-z-]+)", entry)}


def subcommands_in_help(text):
    listed = text.split("Subcommands:", 1)[-1]
    return set(re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE))


def check(root, program):
    problems = []
    for page in sorted((root / "man").iterdir()):
        done = subprocess.run(["groff", "-t", "-man", "-ww", "-z", str(page)], capture_output=True,
                              text=True, timeout=30, check=False)
        if done.returncode != 0 or done.stderr:
            problems.append(f"{page.name}: {done.stderr}")
    main_page = (root / "man" / "tciafs.1").read_text()

    def help_of(*words):
        return subprocess.run([program, *words, "--help"], capture_output=True, text=True,
                              timeout=30, check=True).stdout
    told = options_in_help(help_of("mount")) - {"help", "help-all"}
    written = options_in_page(main_page) - {"help", "version"}
    for option in sorted(told - written):
        problems.append(f"--{option} is in --help but has no entry in tciafs.1")
    for option in sorted(written - told):
        problems.append(f"--{option} has an entry in tciafs.1 but is not in --help")
    for subcommand in sorted(subcommands_in_help(help_of())):
        if f"tciafs {subcommand}" not in plain(main_page).replace("\n", " "):
            problems.append(f"tciafs.1 does not tell of 'tciafs {subcommand}'")
    return problems


if __name__ == "__main__":
    checker.run(check, "the manual agrees with the program")
