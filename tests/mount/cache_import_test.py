# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs cache import: what was downloaded with other tools, believed only where it is the archive's."""

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import unittest
import urllib.parse
import urllib.request
import zipfile

import harness

NOBODY = 65534


class ImportCase(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "C:patients=2,studies=1,series=2,images=3")
        self.environment = {"TCIAFS_SERVER": self.server.url, "TCIAFS_CACHE_DIR": self.cache,
                            "TCIAFS_CACHE_SIZE": "64M", "TCIAFS_MIN_FREE": "0"}
        self.truth = self.server.truth("C")
        self.series = sorted({os.path.dirname(path) for path in self.truth})
        self.mounted = self.mount(self.server)
        self.downloads = os.path.join(self.directory, "downloads")
        os.mkdir(self.downloads)

    def zip_of(self, series, name="series.zip", call="getImageWithMD5Hash"):
        """As another tool fetches it."""
        query = urllib.parse.urlencode({"SeriesInstanceUID": os.path.basename(series)})
        url = f"{self.server.url}/services/v1/{call}?{query}"
        path = os.path.join(self.downloads, name)
        with urllib.request.urlopen(url, timeout=harness.WAIT_S) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
        return path

    def directory_of(self, series, name="series"):
        """A directory with names of another's making."""
        directory = os.path.join(self.downloads, name)
        with zipfile.ZipFile(self.zip_of(series, name + ".zip")) as archive:
            for number, entry in enumerate(archive.namelist()):
                if entry.endswith(".dcm"):
                    os.makedirs(directory, exist_ok=True)
                    with open(os.path.join(directory, f"1-{number:02}.dcm"), "wb") as file:
                        file.write(archive.read(entry))
        os.unlink(os.path.join(self.downloads, name + ".zip"))
        return directory

    def images(self):
        return self.server.requests("images")

    def imports(self, *paths, code=0, **options):
        outcome = harness.command("cache", "import", *paths, environment=self.environment, **options)
        self.assertEqual(outcome.returncode, code, outcome)
        if code == 0:
            self.assertEqual(outcome.stderr, "")
        else:
            self.assertGreater(outcome.stderr.count("\n"), 0)
        return outcome.stdout + outcome.stderr

    def reads_without_images(self, *series):
        before = self.images()
        for path, (md5, _) in self.truth.items():
            if os.path.dirname(path) in series:
                self.assertEqual(harness.md5_of(self.mounted / path), md5)
        self.assertEqual(self.images(), before)

    def cached(self):
        outcome = harness.command("cache", "list", environment=self.environment)
        return [line.split()[-1][1:] for line in outcome.stdout.splitlines()[1:]]


class Imports(ImportCase):
    def test_a_bar_on_a_terminal(self):
        """Of all that is to be copied, with the series it is at; nothing of it stays."""
        harness.walk_files(self.mounted.path)
        paths = [self.zip_of(series, f"{number}.zip") for number, series in enumerate(self.series[:2])]
        parent, child = pty.openpty()
        self.addCleanup(os.close, parent)
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 250, 0, 0))
        process = self.background(harness.PROGRAM, "cache", "import", *paths, stdin=child, stdout=child,
                                  stderr=child, env=harness.clean_environment(self.environment))
        os.close(child)
        seen = b""
        while b"imported" not in seen:
            piece = os.read(parent, 65536)  # fails when nobody writes any more
            seen += piece
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        whole = sum(size for path, (_, size) in self.truth.items()
                    if os.path.dirname(path) in self.series[:2])
        bar = re.search(rb"\[=*>? *\] +[0-9.]+ \S+ of ([0-9.]+ KiB)  /(\S+)", seen)
        self.assertIsNotNone(bar, seen)
        self.assertEqual(bar[1].decode(), f"{whole / 1024:.1f} KiB")
        self.assertEqual(bar[2].decode(), self.series[0])
        left = seen.split(b"\x1b[J")[-1].decode().splitlines()  # since the last bar was taken away
        self.assertNotIn("[", "".join(left))
        self.assertRegex(left[-1], "^imported 6 images of 2 series, ")

    def test_a_zip(self):
        harness.walk_files(self.mounted.path)
        printed = self.imports(self.zip_of(self.series[0]))
        self.assertIn("found 3 images of 1 series", printed)
        self.assertIn("1 other files passed over", printed)  # the list of sums
        self.assertIn(f"/{self.series[0]}: 3 images", printed)
        self.reads_without_images(self.series[0])
        again = self.imports(os.path.join(self.downloads, "series.zip"))
        self.assertIn("is there already", again)

    def test_directories_as_the_data_retriever_leaves_them(self):
        top = os.path.join(self.downloads, "manifest-1")
        for number, series in enumerate(self.series):
            parts = series.split("/")
            place = os.path.join(top, "C", parts[1], "05-01-2000-NA-58331", f"{number}.000-Scan")
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.move(self.directory_of(series), place)
        with open(os.path.join(top, "metadata.csv"), "w", encoding="utf-8") as file:
            file.write("Series UID,Collection\n")
        before = {path: harness.md5_of(os.path.join(top, path)) for path in harness.walk_files(top)}
        printed = self.imports(top)
        self.assertIn("imported 12 images of 4 series", printed)
        self.reads_without_images(*self.series)
        self.assertEqual(sorted(self.cached()), self.series)
        after = {path: harness.md5_of(os.path.join(top, path)) for path in harness.walk_files(top)}
        self.assertEqual(after, before)

    def test_one_question_tells_the_sums_of_a_series(self):
        """Also of files that no list came with; else each image is asked for."""
        harness.walk_files(self.mounted.path)
        for number, (make, options) in enumerate((
                (self.zip_of, {}), (self.zip_of, {"call": "getImage"}), (self.directory_of, {}))):
            with self.subTest(number):
                before = self.server.endpoint_requests("MD5Hierarchy")
                self.imports(make(self.series[number], f"{number}.zip", **options))
                self.reads_without_images(self.series[number])
                self.assertEqual(self.server.endpoint_requests("MD5Hierarchy"), before + 1)
                self.assertEqual(self.server.endpoint_requests("HashForImage"), 0)
        self.server.plan({"endpoint": "*MD5Hierarchy", "times": -1, "action": "status",
                          "code": 500})
        self.imports(self.zip_of(self.series[3]))
        self.assertEqual(self.server.endpoint_requests("HashForImage"), 3)
        self.reads_without_images(self.series[3])

    def test_a_flat_directory_with_several_series_and_the_rest(self):
        for number, series in enumerate(self.series[:2]):
            directory = self.directory_of(series, f"s{number}")
            for name in os.listdir(directory):
                os.rename(os.path.join(directory, name),
                          os.path.join(self.downloads, f"{number}-{name}"))
        with open(os.path.join(self.downloads, "notes.txt"), "w", encoding="utf-8") as file:
            file.write("not DICOM")
        self.imports("--collection", "C", self.downloads)
        self.reads_without_images(*self.series[:2])

    def test_without_a_mount(self):
        path = self.zip_of(self.series[1])
        harness.walk_files(self.mounted.path)
        self.mounted.unmount()
        self.imports("--collection", "C", path)
        self.mounted = self.mount(self.server)
        self.reads_without_images(self.series[1])


class Refuses(ImportCase):
    def setUp(self):
        super().setUp()
        harness.walk_files(self.mounted.path)

    def left_out(self, path, part, code=7):
        printed = self.imports(path, code=code)
        self.assertIn(part, printed)
        self.assertEqual(self.cached(), [])
        return printed

    def test_a_missing_instance(self):
        directory = self.directory_of(self.series[0])
        os.unlink(os.path.join(directory, sorted(os.listdir(directory))[0]))
        self.left_out(directory, "2 images where the archive has 3")

    def test_a_changed_byte(self):
        directory = self.directory_of(self.series[0])
        with open(os.path.join(directory, sorted(os.listdir(directory))[1]), "r+b") as file:
            file.seek(-1, os.SEEK_END)
            byte = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        printed = self.left_out(directory, "has another MD5 sum than the archive tells")
        self.assertIn("1 series were left out", printed)
        path = next(path for path in self.truth if path.startswith(self.series[0]))
        self.assertEqual(harness.md5_of(self.mounted / path), self.truth[path][0])

    def test_another_size(self):
        directory = self.directory_of(self.series[0])
        with open(os.path.join(directory, os.listdir(directory)[0]), "ab") as file:
            file.write(b"\0\0")
        self.left_out(directory, "bytes where the archive has")

    def test_a_series_of_another_archive(self):
        other = self.archive("--synthetic", "D:patients=1,studies=1,series=1,images=2")
        ours, self.server = self.server, other
        path = self.zip_of(next(iter({os.path.dirname(path) for path in other.truth("D")})))
        self.server = ours
        self.left_out(path, "do not have it; name its collection")

    def test_zips_that_are_none(self):
        path = self.zip_of(self.series[0])
        with open(path, "rb") as file:
            whole = file.read()
        for name, content in (("cut.zip", whole[:len(whole) // 2]), ("empty.zip", b""),
                              ("text.zip", b"<html>HTTP 460</html>")):
            bad = os.path.join(self.downloads, name)
            with open(bad, "wb") as file:
                file.write(content)
            self.left_out(bad, f"{bad}: not a zip that can be read")
        flipped = bytearray(whole)
        flipped[len(whole) // 3] ^= 0x55
        with open(path, "wb") as file:
            file.write(flipped)
        self.imports(path, code=7)
        self.assertEqual(self.cached(), [])

    def test_what_is_not_there_or_not_dicom(self):
        self.left_out(os.path.join(self.downloads, "nothing"), "No such file", code=1)
        self.left_out("/dev/null", "not a file", code=1)
        self.left_out(self.downloads, "there are no DICOM files in", code=1)
        self.left_out(self.mounted / "C", "is in a mounted tciafs", code=2)

    def test_a_disk_that_is_too_small(self):
        path = self.zip_of(self.series[0])
        self.mounted.unmount()
        self.environment["TCIAFS_MIN_FREE"] = "99%"
        printed = self.imports(path, code=1)
        self.assertIn("room for 0 B", printed)

    def test_more_than_the_cache_holds(self):
        """Each series alone would fit, and push out the one before."""
        self.server = self.archive("--synthetic", "D:patients=1,studies=1,series=3,images=12,size=512x512")
        self.environment["TCIAFS_SERVER"] = self.server.url
        self.environment["TCIAFS_CACHE_SIZE"] = "16M"
        self.environment["TCIAFS_CACHE_DIR"] = self.cache + "2"
        series = sorted({os.path.dirname(path) for path in self.server.truth("D")})
        paths = [self.zip_of(name, f"{number}.zip") for number, name in enumerate(series)]
        printed = self.imports("--collection", "D", *paths, code=1)
        self.assertRegex(printed, r"does not fit: 1[89]\.\d MiB were found, .* room for 16\.0 MiB")
        self.assertEqual(self.cached(), [])
        self.imports("--collection", "D", *paths[:2])
        self.assertEqual(self.cached(), series[:2])

    def test_a_server_that_is_down(self):
        path = self.zip_of(self.series[0])
        self.server.stop()
        self.left_out(path, "127.0.0.1", code=4)

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_files_that_may_not_be_read(self):
        directory = self.directory_of(self.series[0])
        os.chmod(directory, 0o700)
        os.chmod(self.directory, 0o755)
        program = os.path.join(self.directory, "tciafs")  # where everybody may run it
        shutil.copy(harness.PROGRAM, program)
        outcome = subprocess.run([program, "cache", "import", directory], capture_output=True,
                                 text=True, user=NOBODY, timeout=harness.WAIT_S, check=False,
                                 env=harness.clean_environment(self.environment))
        self.assertEqual(outcome.returncode, 1, outcome)
        self.assertIn("ermission denied", outcome.stderr)

    def test_killed_half_way(self):
        """What arrived does not stay: it was not the whole series."""
        path = self.zip_of(self.series[0])
        self.server.plan({"endpoint": "*MD5Hierarchy", "times": -1,
                          "action": "stall_before_head"})
        importing = self.background(harness.PROGRAM, "cache", "import", path,
                                    stdout=harness.DISCARD,
                                    env=harness.clean_environment(self.environment))
        harness.wait_for(lambda: self.server.active("MD5Hierarchy"), "the sum is asked for")
        importing.send_signal(signal.SIGINT)
        self.assertEqual(importing.wait(harness.WAIT_S), 130)
        self.assertEqual(self.cached(), [])
        self.server.plan()
        self.imports(path)


if __name__ == "__main__":
    harness.main()
