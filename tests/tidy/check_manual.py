# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The manual agrees with the program, and its pages are well-formed."""

import errno
import os
import re
import subprocess

import checker


def plain(roff):
    return roff.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")


def options_in_help(text):
    """Those it lists; a description may name another's."""
    return set(re.findall(r"^ +(?:-\w,)?--([a-z][a-z-]+)", text, re.MULTILINE))


def options_in_page(roff):
    """Those that have an entry of their own (.TP and then the option)."""
    entries = re.findall(r"^\.TP\n(.*)$", plain(roff), re.MULTILINE)
    return {option for entry in entries for option in re.findall(r"--([a-z][a-z-]+)", entry)}


def options_named(roff):
    """Those the page speaks of at all."""
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", plain(roff)))


def subcommands_in_help(text):
    listed = text.partition("Subcommands:")[2]
    return set(re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE))


def commands(help_of, words=()):
    """Every subcommand with its own, as tuples of words."""
    for name in sorted(subcommands_in_help(help_of(*words))):
        yield (*words, name)
        yield from commands(help_of, (*words, name))


def settings_in_help(text):
    """{name: (value, default)} of the long options."""
    entries = re.findall(r"^  (?:-\w,)?--([a-z-]+)(?: (\S+))?\s+(.*)$", text, re.MULTILINE)
    return {name: (value, (re.findall(r"\[(.*)\]$", told) or [""])[0]) for name, value, told in entries}


def settings_in_page(roff):
    """The same from the table of tciafs.conf(5)."""
    table = roff.partition("name@value@default\n")[2].partition(".TE")[0]
    rows = (row.split("@") for row in table.replace("T{\n", "").replace("\nT}", "").splitlines())
    return {name: (value, default) for name, value, default in rows}


def words_of_others(source):
    """Mount options that are not ours, from settings.cpp: (ignored, passed on)."""
    arrays = dict(re.findall(r"constexpr std::array (k\w+) = \{(.*?)\}", source, re.DOTALL))
    return [set(re.findall(r'"(\w+)"', arrays[name])) for name in
            ("kIgnoredWords", "kKernelWords", "kKernelWordsWithValue")]


def problems_of_mount_page(page, source):
    ignored, plain_words, with_value = words_of_others(source)
    listed = set(page.partition(".nh\n")[2].partition(".hy")[0].split())
    for word in sorted(ignored ^ listed):
        yield f"'{word}' is ignored as a mount option, or mount.tciafs.8 says so, but not both"
    for word in sorted(plain_words | {word + "=" for word in with_value}):
        if not re.search(rf"^\.BR? {word}(?: |$)", page, re.MULTILINE):
            yield f"mount.tciafs.8 does not tell of the mount option '{word}'"


def literals_in(source):
    """The string literals of C++ source, adjacent ones joined as the compiler does it."""
    literal = r'"(?:[^"\\\n]|\\.)*"'
    joined = re.findall(rf"{literal}(?:\s*{literal})*", source)
    return ["".join(piece[1:-1] for piece in re.findall(literal, text)) for text in joined]


def messages_in_page(roff):
    """The messages that TROUBLESHOOTING explains, as their literal pieces: \\fI...\\fR is what varies."""
    section = roff.partition(".SH TROUBLESHOOTING\n")[2].partition("\n.SH ")[0]
    for message in re.findall(r"^\.TP\n(.*)$", section, re.MULTILINE):
        yield [piece.replace("\\-", "-").strip() for piece in re.split(r"\\fI.*?\\fR", message)]


def problems_of_messages(page, literals):
    """Every message is one that somebody can really see: ours, the C library's, or FUSE's own."""
    system = {os.strerror(number) for number in errno.errorcode}
    for pieces in messages_in_page(page):
        whole = "".join(pieces)
        if whole in system or whole.startswith(("fusermount3: ", "fuse: ")):
            continue
        for piece in pieces:
            if not any(piece in literal for literal in literals):
                yield f"tciafs.1 explains the message '{piece}', which nobody prints"


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
    told = {words: options_in_help(help_of(*words)) - {"help", "help-all"}
            for words in commands(help_of)}
    written = options_in_page(main_page) - {"help", "version"}
    for option in sorted(told[("mount",)] - written):
        problems.append(f"--{option} is in --help but has no entry in tciafs.1")
    for option in sorted(written - set().union(*told.values())):
        problems.append(f"--{option} has an entry in tciafs.1 but is not in --help")
    for words, options in told.items():
        command = " ".join(("tciafs", *words))
        if command not in plain(main_page).replace("\n", " "):
            problems.append(f"tciafs.1 does not tell of '{command}'")
        for option in sorted(options - options_named(main_page)):
            problems.append(f"tciafs.1 does not tell of --{option} of '{command}'")
    settings = settings_in_help(help_of("mount"))
    written = settings_in_page((root / "man" / "tciafs.conf.5").read_text())
    for name in sorted((settings.keys() - {"help"}) | written.keys()):
        if settings.get(name) != written.get(name):
            problems.append(f"{name}: --help says {settings.get(name)}, tciafs.conf.5 {written.get(name)}")
    problems += problems_of_mount_page((root / "man" / "mount.tciafs.8").read_text(),
                                       (root / "src" / "cli" / "settings.cpp").read_text())
    sources = [file.read_text() for file in sorted((root / "src").rglob("*.cpp"))]
    problems += problems_of_messages(main_page, [text for source in sources for text in literals_in(source)])
    sample = (root / "cmake" / "package" / "tciafs.conf").read_text()
    for name in sorted(set(re.findall(r"^#?([a-z-]+) = ", sample, re.MULTILINE)) - settings.keys()):
        problems.append(f"cmake/package/tciafs.conf has '{name}', which is no setting")
    return problems


if __name__ == "__main__":
    checker.run(check, "the manual agrees with the program")
