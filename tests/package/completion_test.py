# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What bash, zsh and fish offer after TAB: every subcommand and every option that --help tells of."""

import os
import re
import sys

import harness
import installed

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "tidy"))
import check_manual  # noqa: E402  (how --help is read)

# Calls the function that bash would, with the words as readline splits them.
BASH = r"""
. "$1"; shift
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
registered=$(complete -p tciafs); registered=${registered#*-F }
"${registered%% *}" tciafs "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\n' "${COMPREPLY[@]}"
"""
# The two functions of zsh's completion that ours calls say what they were given.
ZSH = r"""
_describe() { print -rl -- "${(@P)3}"; }
_files() { [[ ${1:-} == -/ ]] && print -rl -- *(/N) || print -rl -- *(N); }
file=$1; shift
words=("$@"); CURRENT=$#
. "$file"
"""


class Completion(installed.InstalledCase):
    def setUp(self):
        super().setUp()
        self.here = os.path.join(self.directory, "here")
        os.makedirs(os.path.join(self.here, "folder"))
        with open(os.path.join(self.here, "file"), "w", encoding="utf-8"):
            pass
        self.environment = harness.clean_environment({
            "PATH": os.path.dirname(self.program) + ":" + os.environ["PATH"],
            "HOME": self.directory, "XDG_CONFIG_HOME": self.directory,
            "XDG_DATA_HOME": self.directory, "TERM": "dumb"})

    def lines_of(self, *command):
        done = harness.run(*command, env=self.environment, cwd=self.here)
        self.assertEqual(done.stderr, "")
        return [line for line in done.stdout.splitlines() if line]

    def bash(self, *words):
        split = [piece for word in words for piece in re.split("(=)", word)
                 if piece or not word]
        if words[-1].endswith("="):
            split.append("")
        return self.lines_of("bash", "--norc", "--noprofile", "-c", BASH, "bash",
                             self.path("share/bash-completion/completions/tciafs"),
                             "tciafs", *split)

    def zsh(self, *words):
        lines = self.lines_of("zsh", "-f", "-c", ZSH, "zsh", self.path("share/zsh/site-functions/_tciafs"),
                              "tciafs", *words)
        return [re.split(r"(?<!\\):", line)[0].replace("\\:", ":") for line in lines]

    def fish(self, *words):
        line = " ".join(["tciafs", *words])
        script = f"source {self.path('share/fish/vendor_completions.d/tciafs.fish')}; complete -C '{line}'"
        return [line.split("\t")[0].rstrip("/")
                for line in self.lines_of("fish", "--no-config", "-c", script)]

    def shells(self):
        return (("bash", self.bash), ("zsh", self.zsh), ("fish", self.fish))

    def help_of(self, *words):
        return harness.run(self.program, *words, "--help").stdout

    def test_every_subcommand_and_option(self):
        """At every depth: of `tciafs` itself, of `tciafs mount`, of `tciafs cache list`, ..."""
        commands = [(), *check_manual.commands(self.help_of)]
        self.assertIn(("mount",), commands)
        for words in commands:
            text = self.help_of(*words)
            subcommands = check_manual.subcommands_in_help(text)
            options = {"--" + option for option in check_manual.options_in_help(text)}
            self.assertIn("--help", options)
            for name, complete in self.shells():
                with self.subTest(shell=name, command=words):
                    self.assertEqual(set(complete(*words, "--")), options)
                    if subcommands:
                        self.assertEqual(set(complete(*words, "")), subcommands)

    def test_values(self):
        for name, complete in self.shells():
            with self.subTest(shell=name):
                self.assertEqual(sorted(complete("mount", "--api", "")), ["auto", "v1", "v2", "v4"])
                self.assertEqual(sorted(complete("mount", "--log-file", "x", "--api", "v")),
                                 ["v1", "v2", "v4"])
                self.assertEqual(complete("mount", "--downloads", ""), [])
                self.assertEqual(complete("mount", "--api", "x"), [])
                self.assertEqual(complete("mount", "--cache-dir", ""), ["folder"])
                self.assertEqual(sorted(complete("mount", "--log-file", "")), ["file", "folder"])
                self.assertEqual(complete("mount", "-o", "ro,offl"), ["ro,offline"])
                self.assertEqual(complete("mount", "-o", "cache_s"), ["cache_size="])

    def test_values_after_an_equals_sign(self):
        self.assertEqual(sorted(self.bash("mount", "--api=v")), ["v1", "v2", "v4"])
        self.assertEqual(sorted(self.bash("mount", "--api=")), ["auto", "v1", "v2", "v4"])
        self.assertEqual(sorted(self.zsh("mount", "--api=v")), ["--api=v1", "--api=v2", "--api=v4"])
        self.assertEqual(sorted(self.fish("mount", "--api=v")), ["--api=v1", "--api=v2", "--api=v4"])

    def test_mountpoints(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        mount = self.mount(server)
        for name, complete in self.shells():
            with self.subTest(shell=name):
                self.assertEqual(complete("mount", ""), ["folder"])
                self.assertEqual(complete("umount", self.directory), [mount.path])
        self.assertEqual(os.listdir(mount.path), ["A"])


if __name__ == "__main__":
    harness.main()
