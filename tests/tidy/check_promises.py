# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Every promise of tciafs(7) has its test, sentence by sentence, and no test promises more.

A test of tests/semantics is named after its promise (test_n1, test_n1_...) and its docstring begins
with the promise's number and the sentences it proves, word for word ("N1: The tree is ..."). What
the docstring says after an empty line is the test's own.
"""

import ast
import collections
import re
import shlex

import checker

NUMBERED = re.compile(r"^\.B ([A-Z]\d+)$")
FONTS = re.compile(r"^\.(BR|RB|IR|RI|BI|IB|B|I) (.*)$")
TABLE_ROW = re.compile(r"^([A-Z]+):T\{$")
SENTENCE_END = re.compile(r"(?<=[.])(?:\)?)\s+(?=[A-Z(])")
TEST_NAME = re.compile(r"^test_([a-z]\d+)(_|$)")
QUOTE = re.compile(r"^([A-Z]\d+): (.*)$", re.DOTALL)


def plain_line(line):
    """A line of roff as text; "" for one that only lays out."""
    fonts = FONTS.match(line)
    if fonts:
        line = ("" if len(fonts[1]) == 2 else " ").join(shlex.split(fonts[2], posix=False))
    elif row := TABLE_ROW.match(line):
        line = row[1] + ":"
    elif line == "T}":
        line = "."
    elif line.startswith(".") or line in ("tab(:);", "l lx."):
        return ""
    return line.replace("\\-", "-").replace('"', "")


def sentences_of(text):
    text = re.sub(r"\s+", " ", text).replace(" .", ".").strip()
    return [sentence for sentence in SENTENCE_END.split(text) if sentence]


def promises_in_page(roff):
    """{number: its sentences}."""
    texts = collections.OrderedDict()
    number = None
    for line in roff.splitlines():
        numbered = NUMBERED.match(line)
        if numbered:
            number = numbered[1]
            texts[number] = []
        elif line.startswith((".SH", ".SS")):
            number = None
        elif number:
            texts[number].append(plain_line(line))
    return {number: sentences_of(" ".join(lines)) for number, lines in texts.items()}


def quotes_in_tests(source):
    """[(test, number its name tells, number it quotes, sentences it quotes)]."""
    quotes = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
            continue
        name = TEST_NAME.match(node.name)
        quote = QUOTE.match((ast.get_docstring(node) or "").split("\n\n")[0])
        quotes.append((node.name, name[1].upper() if name else "", quote[1] if quote else "",
                       sentences_of(quote[2]) if quote else []))
    return quotes


def problems_of(promises, quotes):
    proved = collections.defaultdict(set)
    for test, named, number, sentences in quotes:
        if not number or named != number:
            yield f"{test}: its name and its docstring do not begin with the number of one promise"
            continue
        if number not in promises:
            yield f"{test}: the page makes no promise {number}"
            continue
        for sentence in sentences:
            if sentence not in promises[number]:
                yield f"{test}: {number} does not say '{sentence}'"
        proved[number].update(sentences)
    for number, sentences in promises.items():
        if number not in proved:
            yield f"{number} has no test"
            continue
        for sentence in sentences:
            if sentence not in proved[number]:
                yield f"{number}: no test quotes '{sentence}'"


def check(root, _program):
    promises = promises_in_page((root / "man" / "tciafs.7").read_text())
    if len(promises) < 20:
        return [f"only {len(promises)} promises found in tciafs.7"]
    quotes = []
    for file in sorted((root / "tests" / "semantics").glob("*_test.py")):
        quotes += quotes_in_tests(file.read_text())
    return list(problems_of(promises, quotes))


if __name__ == "__main__":
    checker.run(check, "every promise has its test")
