# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Which cache is meant where nobody says it: in a mount namespace of the test's own, where nobody
else's mounts are known and the default directory is the test's, too."""

import json
import os

import harness


class WhichCache(harness.MountCase):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("a mount namespace takes root")
        self.server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        run = os.path.join(self.directory, "run")
        self.usual = os.path.join(self.directory, "usual")
        os.mkdir(run, 0o700)
        os.mkdir(self.usual, 0o700)
        script = (f"mkdir -p /run/tciafs && mount --bind {run} /run/tciafs && "
                  f"mount --bind {self.usual} /var/cache && echo made && exec sleep 600")
        self.holder = self.background("unshare", "--mount", "--propagation", "private", "sh", "-c",
                                      script, stdout=harness.PIPE, text=True)
        self.addCleanup(self.holder.stdout.close)
        self.assertEqual(self.holder.stdout.readline(), "made\n")

    def inside(self, *words, code=0):
        outcome = harness.run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", harness.PROGRAM,
                              *words, env=harness.clean_environment(), check=False)
        self.assertEqual(outcome.returncode, code, outcome)
        return outcome

    def begin(self, name, *options):
        """A mount inside, its mountpoint and its cache."""
        mountpoint = os.path.join(self.directory, f"mnt-{name}")
        os.mkdir(mountpoint)
        self.inside("mount", "--server", self.server.url, "--log-file",
                    os.path.join(self.directory, f"log-{name}"), *options, mountpoint)
        self.addCleanup(lambda: harness.run(
            "nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", harness.PROGRAM, "umount",
            mountpoint, env=harness.clean_environment(), check=False))
        return mountpoint

    def test_the_one_that_is_in_use(self):
        self.assertIn("cache /var/cache/tciafs: there is no cache", self.inside(
            "cache", "info", code=6).stderr)
        caches = [os.path.join(self.directory, f"cache-{name}") for name in "ab"]
        first = self.begin("a", "--cache-dir", caches[0])
        told = f"tciafs: cache {caches[0]}, that of the mount on {first}\n"
        info = self.inside("cache", "info", "--json")
        self.assertEqual(json.loads(info.stdout)["directory"], caches[0])
        self.assertEqual(info.stderr, told)
        for words in (["list"], ["verify"], ["clear", "--yes"]):
            self.assertEqual(self.inside("cache", *words).stderr, told)
        self.assertIn("no such series is pinned", self.inside("unpin", "1.2.3", code=1).stderr)

        second = self.begin("b", "--cache-dir", caches[1])
        asked = self.inside("cache", "clear", "--yes", code=2)
        self.assertEqual(asked.stderr, "tciafs: which cache? name it with --cache-dir; in use are "
                         f"{caches[0]} (mounted on {first}), {caches[1]} (mounted on {second})\n")
        named = self.inside("cache", "info", "--json", "--cache-dir", caches[1])
        self.assertEqual((json.loads(named.stdout)["directory"], named.stderr), (caches[1], ""))

        self.inside("umount", first)
        self.assertEqual(json.loads(self.inside("cache", "info", "--json").stdout)["directory"],
                         caches[1])

    def test_the_usual_one_is_not_told(self):
        self.begin("usual")
        info = self.inside("cache", "info", "--json")
        self.assertEqual((json.loads(info.stdout)["directory"], info.stderr),
                         ("/var/cache/tciafs", ""))


if __name__ == "__main__":
    harness.main()
