# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the serving process takes stays within its budget, whatever passes through it.

Resident memory is VmRSS, and its peak VmHWM: all of it, with the pages of the index and of the
catalog that LMDB maps from their files, though the kernel could take those back at any time. The
long form, TCIAFS_MEMORY_LONG=1, streams 5 GiB.
"""

import concurrent.futures
import os
import subprocess
import time
import urllib.parse
import urllib.request

import harness
import sampling

MIB = 1 << 20
BUDGET = 128 * MIB
LONG = os.environ.get("TCIAFS_MEMORY_LONG", "") not in ("", "0")
STREAMED = (5 << 30) if LONG else 384 * MIB
IMAGES = 12
IMAGE_BYTES = 2 * MIB  # and a head
FDS_MAX = 200
READERS = 6


class Budget(harness.MountCase):
    def figures(self, mount, what):
        figures = sampling.process_figures(mount.process.pid)
        print(f"{what}: RSS {figures['rss'] / MIB:.1f} MiB ({figures['anon'] / MIB:.1f} anonymous, "
              f"{figures['file'] / MIB:.1f} of files), peak {figures['peak'] / MIB:.1f} MiB, "
              f"{figures['fds']} fds, {figures['threads']} threads", flush=True)
        self.assertLess(figures["peak"], BUDGET, what)
        self.assertLess(figures["fds"], FDS_MAX, what)
        return figures

    def test_streaming(self):
        count = STREAMED // (IMAGES * IMAGE_BYTES) + 1
        server = self.archive("--synthetic", f"BIG:patients={count},studies=1,series=1,"
                              f"images={IMAGES},size=1024x1024", "--zip-level", 1)
        mount = self.mount(server, options=["--cache-size", "96M", "--log-level", "info"])
        paths = harness.walk_files(mount.path)
        self.assertEqual(len(paths), count * IMAGES)
        self.figures(mount, "listed")
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
            streamed = sum(readers.map(lambda path: self.read(mount, path), paths))
        span = time.monotonic() - start
        self.assertGreaterEqual(streamed, STREAMED)
        self.figures(mount, f"{streamed / MIB:.0f} MiB streamed in {span:.0f} s")
        images = os.path.join(self.cache, "images")
        self.assertLessEqual(sampling.disk_bytes(images)[0], 96 * MIB)
        path = paths[-1]
        self.assertEqual(harness.md5_of(mount / path), self.md5_in(server, path))

    def read(self, mount, path):
        size = 0
        with open(mount / path, "rb", buffering=0) as file:
            head = file.read(132)
            self.assertEqual(head[128:], b"DICM")
            size += len(head)
            while piece := file.read(MIB):
                size += len(piece)
            self.assertEqual(size, os.fstat(file.fileno()).st_size)
        return size

    def md5_in(self, server, path):
        query = urllib.parse.urlencode({"sop": os.path.basename(path).removesuffix(".dcm")})
        copy = os.path.join(self.directory, "copy")
        urllib.request.urlretrieve(f"{server.control_url}instance?{query}", copy)
        return harness.md5_of(copy)

    def test_a_hundred_thousand_names(self):
        server = self.archive("--synthetic", "WIDE:patients=250,studies=1,series=4,images=100,size=8x8")
        mount = self.mount(server, options=["--log-level", "info"])
        walked = []
        for number in range(3):
            found = harness.run("find", mount.path, "-type", "f", "-printf", "%s\\n", timeout_s=200)
            self.assertEqual(len(found.stdout.splitlines()), 100_000)
            walked.append(self.figures(mount, f"walk {number + 1}"))
            if not self.make_the_kernel_forget():
                break
            forgotten = self.figures(mount, "forgotten")
        else:
            # The first walk fills what is kept for the next; after that nothing may be added.
            self.assertLess(walked[2]["anon"], walked[1]["anon"] + 8 * MIB)
            self.assertLess(forgotten["anon"], walked[2]["anon"] + MIB)
            self.assertLess(walked[2]["fds"], walked[1]["fds"] + 8)

    def make_the_kernel_forget(self):
        """Names and inodes that nobody uses are given back; only root may ask for it."""
        subprocess.run(["sync"], check=False)
        try:
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
                drop.write("2\n")
        except OSError:
            return False
        time.sleep(1)
        return True


if __name__ == "__main__":
    harness.main()
