# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The replay of a corpus fails where it has to: on an input that crashes, and on a mutation that does."""

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["TCIAFS_CANARY"]


class Canary(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tciafs-canary-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)

    def replay(self, content, *options):
        corpus = self.directory / "corpus"
        corpus.mkdir(exist_ok=True)
        (corpus / "input").write_bytes(content)
        return subprocess.run([PROGRAM, str(corpus), *options], cwd=self.directory, timeout=30,
                              capture_output=True, text=True, check=False)

    def kept(self):
        return b"".join(file.read_bytes() for file in self.directory.glob("crash-*"))

    def test_harmless_input_passes(self):
        done = self.replay(b"DICM", "--mutations=100")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 files, 100 mutations", done.stdout)

    def test_crashing_input_fails_and_is_kept(self):
        done = self.replay(b"TCIA and more", "--mutations=0")
        self.assertEqual(done.returncode, -signal.SIGABRT, done.stdout)
        self.assertIn("does not hold: !is_tcia", done.stderr)
        self.assertIn("crashed on input", done.stderr)
        self.assertEqual(self.kept(), b"TCIA and more")

    def test_a_mutation_finds_it(self):
        done = self.replay(b"TCIa", "--mutations=20000")
        self.assertEqual(done.returncode, -signal.SIGABRT, done.stdout)
        self.assertIn("crashed on mutation", done.stderr)
        self.assertTrue(self.kept().startswith(b"TCIA"))

    def test_no_corpus_is_no_success(self):
        empty = self.directory / "empty"
        empty.mkdir()
        done = subprocess.run([PROGRAM, str(empty)], cwd=self.directory, timeout=30,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
