# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The drop-in for updatedb keeps it out of a mount, which it would walk otherwise."""

import os

import harness
import installed


class Updatedb(installed.InstalledCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=3,studies=1,series=1,images=2")
        self.mounted = self.mount(self.server)
        os.listdir(self.mounted.path)
        self.server.reset()

    def commands(self):
        """Those of the drop-in; an empty one takes away what stood before."""
        dropin = self.read("lib/systemd/system/plocate-updatedb.service.d/tciafs.conf")
        return [line.removeprefix("ExecStart=") for line in dropin.splitlines()
                if line.startswith("ExecStart=")]

    def names_after(self, command):
        """What the data base holds of the case's directory."""
        database = os.path.join(self.directory, "plocate.db")
        # Temporary directories are left out by default, and the test is in one.
        harness.run(*command.split(), "--prunepaths", "", "--require-visibility", "no",
                    "--database-root", self.directory, "--output", database)
        return harness.run("plocate", "--database", database, "/").stdout.splitlines()

    def test_it_stays_out(self):
        reset, command = self.commands()
        self.assertEqual(reset, "")
        names = self.names_after(command)
        self.assertIn(self.program, names)  # it did look around
        self.assertIn(self.mounted.path, names)
        self.assertEqual([name for name in names if name.startswith(self.mounted.path + "/")], [])
        self.assertEqual(self.server.requests("metadata"), 0)

    def test_it_would_not_without(self):
        names = self.names_after(self.commands()[1].split()[0])
        self.assertIn(self.mounted / "A", names)
        self.assertGreater(self.server.requests("metadata"), 0)
        self.assertEqual(self.server.requests("images"), 0)


if __name__ == "__main__":
    harness.main()
