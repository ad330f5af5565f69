# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs doctor on machines, servers and mounts that are well, and on those that are not."""

import http.server
import json
import os
import signal
import socket
import ssl
import threading

import harness

COLLECTION = ("--synthetic", "C:patients=1,studies=1,series=1,images=2")
REQUEST = r" \(request \d+\)"  # its number in the log


class Doctor(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)

    def doctor(self, *words, mountpoint=None, environment=None):
        outcome = harness.command("doctor", mountpoint or self.mountpoint, "--cache-dir", self.cache,
                                  *words, environment=environment, timeout_s=60)
        self.assertEqual(outcome.stderr, "")
        for line in outcome.stdout.splitlines():
            self.assertRegex(line, "^(ok    |warn  .+: |FAIL  .+: ).+")
        return outcome

    def fails(self, code, pattern, *words, **options):
        """With one FAIL, which says so."""
        outcome = self.doctor(*words, **options)
        failures = [line for line in outcome.stdout.splitlines() if line.startswith("FAIL")]
        self.assertEqual((outcome.returncode, len(failures)), (code, 1), outcome.stdout)
        self.assertRegex(failures[0], pattern)
        return outcome.stdout

    def credentials(self, password):
        return harness.write_secret(os.path.join(self.directory, "secrets"),
                                    f"username = alice\npassword = {password}\n")

    def test_all_is_well(self):
        server = self.archive(*COLLECTION, "--user", "alice:wonder")
        outcome = self.doctor("--server", server.url)
        self.assertEqual(outcome.returncode, 0, outcome.stdout)
        self.assertRegex(outcome.stdout, "ok    127.0.0.1:\\d+: API v4, 1 collection for the guest")
        self.assertIn(f"ok    mountpoint {self.mountpoint} can be used", outcome.stdout)
        self.assertIn(f"ok    cache {self.cache} can be made", outcome.stdout)
        self.assertEqual(os.listdir(self.directory).count("cache"), 0)  # looked at, not made
        self.assertLessEqual(server.requests("metadata"), 1)
        named = self.doctor("--server", server.url, "--credentials", self.credentials("wonder"))
        self.assertIn("1 collection for alice", named.stdout)
        self.assertNotIn("wonder", named.stdout)

    def test_server_down(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.fails(4, f"127.0.0.1:{port}: .*refused.*: check host and port",
                   "--server", f"http://127.0.0.1:{port}/nbia-api")

    def test_server_without_a_name(self):
        self.fails(4, f"nothing.invalid: .*host name not found{REQUEST}: .*getent hosts nothing.invalid",
                   "--server", "https://nothing.invalid/nbia-api")

    def test_no_archive_there(self):
        server = self.archive(*COLLECTION)
        self.fails(4, "127.0.0.1:\\d+: .*: check the path of the URL",
                   "--server", server.url.replace("/nbia-api", "/elsewhere"))

    def test_server_that_is_silent(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            self.fails(4, f"no answer within 1 s{REQUEST}: a firewall may be in the way", "--io-timeout", "1s",
                       "--server", f"http://127.0.0.1:{port}/nbia-api")

    def test_wrong_password(self):
        server = self.archive(*COLLECTION, "--user", "alice:wonder")
        output = self.fails(5, f"oauth/token: HTTP 401{REQUEST}: user name or password is wrong",
                            "--server", server.url, "--credentials", self.credentials("hidden"))
        self.assertNotIn("hidden", output)

    def test_secrets_that_others_can_read(self):
        server = self.archive(*COLLECTION)
        os.chmod(self.credentials("hidden"), 0o644)
        self.fails(5, "others can read it; protect it with: chmod 600", "--server", server.url,
                   "--credentials", os.path.join(self.directory, "secrets"))

    def test_unusable_cache(self):
        server = self.archive(*COLLECTION)
        self.fails(6, "/proc cannot be written .*: choose another with --cache-dir",
                   "--server", server.url, "--cache-dir", "/proc/tciafs-cache")
        file = os.path.join(self.directory, "file")
        open(file, "w", encoding="utf-8").close()
        self.fails(6, "file is not a directory", "--server", server.url, "--cache-dir", file)

    def test_cache_in_use(self):
        server = self.archive(*COLLECTION)
        mounted = self.mount(server)
        self.fails(6, f"in use by process {mounted.process.pid}, the mount on {mounted.path}: "
                   "give this mount a cache of its own", "--server", server.url)

    def test_unusable_mountpoint(self):
        server = self.archive(*COLLECTION)
        self.fails(3, "no such directory; make it with: mkdir -p", "--server", server.url,
                   mountpoint=self.mountpoint + "2")

    def test_settings(self):
        self.fails(2, "--downloads: '0' is not a number", "--downloads", "0")
        config = os.path.join(self.directory, "config", "tciafs")
        os.makedirs(config)
        with open(os.path.join(config, "config"), "w", encoding="utf-8") as file:
            file.write("colour = blue\n")
        self.fails(2, "config:1: unknown setting 'colour': mend or remove it",
                   environment={"XDG_CONFIG_HOME": os.path.dirname(config)})

    def test_a_mount_that_works(self):
        server = self.archive(*COLLECTION)
        mounted = self.mount(server)
        os.listdir(mounted.path)
        outcome = self.doctor(mountpoint=mounted.path)
        self.assertEqual(outcome.returncode, 0, outcome.stdout)
        self.assertIn(f"ok    {mounted.path}: mounted, and its process answers", outcome.stdout)
        self.assertRegex(outcome.stdout, "ok    127.0.0.1:\\d+: answers, API v4")
        self.assertIn(f"in use by process {mounted.process.pid}", outcome.stdout)

    def test_a_mount_whose_server_went(self):
        server = self.archive(*COLLECTION)
        mounted = self.mount(server)
        os.listdir(mounted.path)
        server.stop()

        def offline():
            try:
                os.listdir(mounted / "C/C-0001" if os.path.isdir(mounted / "C/C-0001")
                           else mounted / "C")
            except OSError:
                pass
            return "offline" in harness.command("status", mounted.path).stdout
        harness.wait_for(offline, "the server is known to be offline")
        self.fails(4, "127.0.0.1:\\d+: offline .*: see what is wrong with: tciafs doctor --server",
                   mountpoint=mounted.path)

    def test_a_mount_whose_credentials_are_rejected(self):
        server = self.archive(*COLLECTION, "--user", "alice:wonder")
        mounted = self.mount(server, options=("--credentials", self.credentials("hidden")))
        self.assertEqual(harness.failure_of(os.listdir, mounted.path), "EACCES")
        reason = f"oauth/token: HTTP 401{REQUEST}: user name or password is wrong"
        output = self.fails(5, f"127.0.0.1:\\d+: {reason}: see CREDENTIALS", mountpoint=mounted.path)
        self.assertNotIn("hidden", output)
        self.assertRegex(harness.command("status", mounted.path).stdout, f"  ok.*, but {reason}")
        with open(mounted / ".tcia/status.json", encoding="utf-8") as file:
            self.assertRegex(json.load(file)["servers"][0]["last_error"]["reason"], reason)

    def test_a_mount_whose_server_has_never_answered(self):
        server = self.archive(*COLLECTION)
        server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        mounted = self.mount(server)
        outcome = self.doctor(mountpoint=mounted.path)
        self.assertEqual(outcome.returncode, 0, outcome.stdout)
        self.assertRegex(outcome.stdout,
                         "warn  127.0.0.1:\\d+: nothing has come from it since the mount began: ")
        self.assertIn("ok, but nothing has come from it yet",
                      harness.command("status", mounted.path).stdout)
        server.plan()

    def test_dead_mount(self):
        server = self.archive(*COLLECTION)
        mounted = self.mount(server)
        mounted.process.send_signal(signal.SIGKILL)
        mounted.process.wait()
        words = f"{mounted.path}: the process that served it died: clean it up with: tciafs umount"
        self.fails(3, words, mountpoint=mounted.path)
        elsewhere = self.doctor("--server", server.url)
        self.assertEqual(elsewhere.returncode, 0, elsewhere.stdout)
        self.assertIn("warn  " + words, elsewhere.stdout)
        harness.detach(mounted.path)
        self.assertNotIn(mounted.path, self.doctor("--server", server.url).stdout)

    def test_certificate_of_nobody_known(self):
        key, certificate = (os.path.join(self.directory, name) for name in ("key", "certificate"))
        harness.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneCollection)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"https://127.0.0.1:{server.server_port}/nbia-api"
        self.fails(4, "TLS certificate not accepted: .*: .*--cacert", "--server", url)
        trusting = self.doctor("--server", url, "--cacert", certificate)
        self.assertEqual(trusting.returncode, 0, trusting.stdout)
        self.assertRegex(trusting.stdout, "warn  this machine's clock is \\d+ min ahead of that of 127")


class OneCollection(http.server.BaseHTTPRequestHandler):
    """An archive with a clock that stands still."""

    def do_GET(self):
        body = b'[{"Collection":"C"}]'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return "Wed, 01 Jan 2020 00:00:00 GMT"

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    harness.main()
