# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The checkers notice what they are there for."""

import unittest

import check_includes
import check_layers
import check_limits
import check_manual
import check_promises
import check_style

CMAKE = """
tciafs_layer(util  DEPS            FOREIGN fmt::fmt)
tciafs_layer(store DEPS util       FOREIGN lmdb)
tciafs_layer(vfs   DEPS store util FOREIGN)
"""


class Layers(unittest.TestCase):
    def problems(self, layer, include):
        return list(check_layers.problems_of(layer, f"#include {include}\n",
                                             check_layers.read_layers(CMAKE)))

    def test_downwards_is_allowed(self):
        self.assertEqual(self.problems("vfs", '"tciafs/util/result.h"'), [])
        self.assertEqual(self.problems("store", "<lmdb.h>"), [])
        self.assertEqual(self.problems("store", '"store/lmdb_errors.h"'), [])

    def test_upwards_and_foreign_are_not(self):
        self.assertTrue(self.problems("util", '"tciafs/vfs/filesystem.h"'))
        self.assertTrue(self.problems("store", '"vfs/node_table.h"'))
        self.assertTrue(self.problems("vfs", "<lmdb.h>"))
        self.assertTrue(self.problems("util", "<fuse_lowlevel.h>"))


class Includes(unittest.TestCase):
    HEADERS = {"include/tciafs/util/thing.h": "class Thing {\n};\nstruct Other;\nbool IsThing(int a);\n",
               "src/vfs/above.h": '#include "tciafs/util/thing.h"\n#include <vector>\nconstexpr int kAbove = 1;\n'}

    def problems(self, text):
        files = {**self.HEADERS, "src/vfs/user.cpp": text}
        return list(check_includes.problems_of(
            {path: check_includes.Source(content) for path, content in files.items()}))

    def test_what_is_included_may_be_used(self):
        use = "Thing a; bool b = IsThing(kAbove); std::vector<int> c;\n"
        self.assertEqual(self.problems('#include "vfs/above.h"\n' + use), [])
        self.assertEqual(self.problems('#include "above.h"\n' + use), [])
        self.assertEqual(self.problems('// Thing, std::map\nconst char* a = "IsThing(1)";\n'), [])
        self.assertEqual(self.problems("class Thing;\nThing* a;\nbool b = testing::IsThing(1);\n"), [])

    def test_what_is_not_is_noticed(self):
        for use in ("Thing a;\n", "bool b = IsThing(1);\n", "int a = kAbove;\n", "std::vector<int> c;\n",
                    "int a = errno;\n", "int a = ::close(1);\n", "auto a = fmt::format(b);\n"):
            self.assertEqual(len(self.problems(use)), 1, use)
        self.assertEqual(len(self.problems('#include "vfs/above.h"\nstd::map<int, int> a;\n')), 1)


class Style(unittest.TestCase):
    GOOD = check_style.SPDX + "\n// Copyright the tciafs authors\n//\n// A thing.\n#pragma once\n"

    def problems(self, text, layer="vfs"):
        return list(check_style.problems_of(layer, "thing.h", text))

    def test_good(self):
        self.assertEqual(self.problems(self.GOOD), [])

    def test_seeded_violations(self):
        for bad in ("int x; \n", "x" * 101 + "\n", "throw 1;\n", "int a = EIO;\n", "using namespace x;\n",
                    "// y\nint z = std::rand();\n", "std::mutex m;\n", "std::condition_variable c;\n",
                    "  Mutex mutex_;\n  int x_;\n"):
            self.assertTrue(self.problems(self.GOOD + bad), bad)
        self.assertTrue(self.problems("int x;\n"))
        self.assertEqual(self.problems(
            self.GOOD + "  mutable Mutex mutex_;\n  int x_ TCIAFS_GUARDED_BY(mutex_);\n"), [])
        self.assertEqual(self.problems(self.GOOD + "// never throw, EIO is fuse's\n"), [])


class Limits(unittest.TestCase):
    def test_a_limit_outside_its_header_is_noticed(self):
        for line in ("constexpr size_t kThingsMax = 5;\n", "inline constexpr int64_t kWaitMaxMs = 5;\n",
                     "  static constexpr size_t kNameBytesMax = 5;\n"):
            self.assertEqual(len(list(check_limits.problems_of("vfs/thing.cpp", line))), 1, line)
        self.assertEqual(list(check_limits.problems_of("vfs/thing.cpp", "constexpr int kThings = 5;\n")), [])

    def test_a_listed_one_that_is_gone_is_noticed(self):
        self.assertTrue(list(check_limits.problems_of("http/head_parser.h", "")))


class Manual(unittest.TestCase):
    def test_options(self):
        self.assertEqual(check_manual.options_in_help("  -f,--foreground  stay\n  --api auto\n"),
                         {"foreground", "api"})
        self.assertEqual(check_manual.options_in_help("  --api auto   as with --server\n"), {"api"})
        self.assertEqual(check_manual.options_in_page(".TP\n\\fB\\-\\-cache\\-dir\\fR DIR\ntext --other\n"),
                         {"cache-dir"})

    def test_settings(self):
        self.assertEqual(check_manual.settings_in_help("  -f,--flag   stay\n  --size SIZE  room [5G]\n"),
                         {"flag": ("", ""), "size": ("SIZE", "5G")})
        self.assertEqual(check_manual.settings_in_page("name@value@default\nsize@SIZE@T{\n5G\nT}\nflag@@\n.TE"),
                         {"flag": ("", ""), "size": ("SIZE", "5G")})

    def test_words_of_mount(self):
        source = ('constexpr std::array kIgnoredWords = {"ro", "rw"};\n'
                  'constexpr std::array kKernelWords = {"noatime"};\n'
                  'constexpr std::array kKernelWordsWithValue = {"context"};\n')
        good = ".BR noatime ,\n.BR context= ;\n.nh\nro rw\n.hy\n"
        self.assertEqual(list(check_manual.problems_of_mount_page(good, source)), [])
        for bad in (good.replace("ro rw", "ro"), good.replace("ro rw", "ro rw sw"),
                    good.replace("noatime", "atime"), good.replace("context=", "context")):
            self.assertEqual(len(list(check_manual.problems_of_mount_page(bad, source))), 1, bad)

    def test_messages(self):
        page = (".SH TROUBLESHOOTING\n.TP\n{}\nHelp.\n.SH NEXT\n.TP\nnot a message\n")
        literals = check_manual.literals_in('Fail(name + ": in use by "\n  "process " + pid); "other"')
        self.assertEqual(literals, [": in use by process ", "other"])
        for good in ("\\fINAME\\fR: in use by process", "Stale file handle", "fusermount3: no"):
            self.assertEqual(list(check_manual.problems_of_messages(page.format(good), literals)), [], good)
        for bad in ("\\fINAME\\fR: used by process", "Stale file"):
            self.assertEqual(len(list(check_manual.problems_of_messages(page.format(bad), literals))), 1, bad)

    def test_subcommands(self):
        texts = {(): "Subcommands:\n  cache  x\n  mount  x\n", ("cache",): "Subcommands:\n  list  x\n"}
        self.assertEqual(list(check_manual.commands(lambda *words: texts.get(words, "  --x  y\n"))),
                         [("cache",), ("cache", "list"), ("mount",)])


class Promises(unittest.TestCase):
    PAGE = """.SS Names
.TP
.B N1
Names are
.BR stable ,
for ever.
Two objects never share one.
.SS Errors
.TP
.B E1
.TS
tab(:);
l lx.
EIO:T{
the archive
failed
T}
.TE
.SH SEE ALSO
.B tciafs
"""
    TESTS = '''
class Names:
    def test_n1(self):
        """N1: Names are stable, for ever. Two objects
        never share one.

        In every folder.
        """
    def test_e1_eio(self):
        """E1: EIO: the archive failed."""
'''

    def problems(self, page=PAGE, tests=TESTS):
        return list(check_promises.problems_of(check_promises.promises_in_page(page),
                                               check_promises.quotes_in_tests(tests)))

    def test_good(self):
        self.assertEqual(self.problems(), [])

    def test_a_number_that_one_side_lacks(self):
        self.assertEqual(self.problems(page=self.PAGE.replace(".B E1", ".B E2")),
                         ["test_e1_eio: the page makes no promise E1", "E2 has no test"])
        self.assertEqual(self.problems(tests=self.TESTS.split("    def test_e1")[0]),
                         ["E1 has no test"])

    def test_a_sentence_that_one_side_lacks(self):
        self.assertEqual(self.problems(page=self.PAGE.replace("for ever", "for a day")),
                         ["test_n1: N1 does not say 'Names are stable, for ever.'",
                          "N1: no test quotes 'Names are stable, for a day.'"])
        cut = self.TESTS.replace(" for ever. Two objects", " for ever.\n\n")
        self.assertEqual(self.problems(tests=cut),
                         ["N1: no test quotes 'Two objects never share one.'"])

    def test_a_test_of_no_promise(self):
        for tests in (self.TESTS.replace("test_n1", "test_names"), self.TESTS.replace("N1: ", ""),
                      self.TESTS.replace("N1: ", "N2: ")):
            self.assertIn("its name and its docstring", self.problems(tests=tests)[0])


if __name__ == "__main__":
    unittest.main()
