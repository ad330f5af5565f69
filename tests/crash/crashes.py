# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What every crash is followed by: mounts of what it left, compared with the archive."""

import os
import subprocess
import threading

import fault_points
import harness

AUDIT = os.environ.get("TCIAFS_CACHE_AUDIT", "tciafs-cache-audit")
CAP = 16 << 20
HANG_S = 120


def disk_bytes(top):
    """What du says: the blocks of every file and directory."""
    total = os.lstat(top).st_blocks * 512
    for directory, names, files in os.walk(top):
        for name in names + files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # evicted while we look
    return total


def read_or_none(path):
    """The md5 of a file, or nothing if it cannot be read."""
    try:
        return harness.md5_of(path)
    except OSError:
        return None


class CrashCase(harness.MountCase):
    cap = CAP

    def setUp(self):
        super().setUp()
        self.faults = fault_points.Faults(self.directory)

    def faulty_mount(self, *servers, options=(), **keywords):
        """With the cap, under the plan; killed should it hang. None if it died while starting."""
        try:
            mount = self.mount(*servers, options=["--cache-size", self.cap, *options],
                               environment=self.faults.environment, **keywords)
        except AssertionError as failure:
            if "mount ended with -9" not in str(failure):
                raise
            return None
        watchdog = threading.Timer(HANG_S, mount.process.kill)
        watchdog.daemon = True
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        return mount

    def clear_away(self, mount):
        """After the process has died."""
        self.assertEqual(mount.process.wait(harness.WAIT_S), -9, mount.log()[-2000:])
        harness.detach(mount.path)

    def audit(self):
        """Every file is one the index knows, and the other way round."""
        done = subprocess.run([AUDIT, os.path.join(self.cache, "images")], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def check_survivors(self, server, allowed, published=None):
        """Mounts offline: what can be read is one of `allowed` {path: set of md5}, and what was
        `published` can be. Then again: nothing is left that does not belong there."""
        self.faults.plan()
        survivor = self.faulty_mount(server, options=["--offline"])
        try:
            readable = self._compare(survivor, allowed, published or {})
            self.check_cap()
            survivor.unmount()
        finally:
            survivor.end()
        self.audit()
        return readable

    def _compare(self, survivor, allowed, published):
        readable = {}
        for path in sorted(allowed):
            md5 = read_or_none(survivor / path)
            if md5 is not None:
                self.assertIn(md5, allowed[path], f"wrong bytes in {path}")
                readable[path] = md5
        lost = [path for path, md5 in sorted(published.items()) if readable.get(path) != md5]
        self.assertEqual(lost, [], "published before the crash, and lost\n" + survivor.log()[-3000:])
        return readable

    def check_cap(self):
        self.assertLessEqual(disk_bytes(os.path.join(self.cache, "images")), self.cap)

    def check_whole(self, server, truth, **keywords):
        """And with the archive at hand everything is as it should be."""
        mount = self.faulty_mount(server, **keywords)
        for path, md5 in truth.items():
            harness.wait_for(lambda path=path: os.path.exists(mount / path), "it is listed")
            self.assertEqual(harness.md5_of(mount / path), md5, path)
        self.check_cap()
        mount.unmount()
        self.audit()
