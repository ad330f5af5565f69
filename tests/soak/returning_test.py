# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the archive withdraws and restores can be walked again at once."""

import os

import harness


class Returning(harness.MountCase):
    def test_a_collection_that_comes_back(self):
        server = self.archive("--synthetic", "A:patients=2,studies=1,series=1,images=2",
                              "--synthetic", "B:patients=2,studies=1,series=1,images=2")
        mount = self.mount(server, options=["--metadata-ttl", "1s"])
        before = harness.walk_files(mount / "B")
        self.assertEqual(len(before), 4)
        server.mutate(drop_collection="B")

        def gone():
            # Looked at all the while, so that renewing it has failed before it goes.
            try:
                os.listdir(mount / "B")
            except FileNotFoundError:
                return True
            return os.listdir(mount.path) == ["A"]
        harness.wait_for(gone, "B has gone")
        server.mutate(restore_collection="B")
        harness.wait_for(lambda: os.listdir(mount.path) == ["A", "B"], "B is back")
        self.assertEqual(harness.walk_files(mount / "B"), before)


if __name__ == "__main__":
    harness.main()
