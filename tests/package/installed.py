# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The program and what surrounds it, installed from the build directory into a case's own."""

import os
import unittest

import harness

BUILD_DIR = os.environ["TCIAFS_BUILD_DIR"]
CMAKE = os.environ["CMAKE"]


def install(prefix, destdir=None, umask=0o022):
    """As `cmake --install` does it; the paths of what was installed, without the destdir."""
    environment = dict(os.environ, DESTDIR=destdir) if destdir else os.environ
    done = harness.run(CMAKE, "--install", BUILD_DIR, "--prefix", prefix, env=environment, umask=umask)
    return [line.split(": ", 1)[1].removeprefix(destdir or "") for line in done.stdout.splitlines()
            if line.startswith(("-- Installing: ", "-- Up-to-date: "))]


class InstalledCase(harness.MountCase):
    """Installed below self.prefix, where nothing of the system is touched."""

    def setUp(self):
        super().setUp()
        self.prefix = os.path.join(self.directory, "prefix")
        self.installed = install(self.prefix)
        self.program = os.path.join(self.prefix, "bin", "tciafs")

    def path(self, *parts):
        return os.path.join(self.prefix, *parts)

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()


def main():
    unittest.main(verbosity=2)
