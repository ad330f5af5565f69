# Read by scripts/test-package --boot, when the package is installed in $root: boots that Debian, with
# systemd as process 1 of namespaces of its own (processes, mounts, network, cgroups), runs
# tests/package/booted.sh in it, and shuts it down. Nothing of it reaches this machine.

say "boot"
run apt-get install -q -y --no-install-recommends systemd systemd-sysv dbus libpam-systemd attr procps \
  >>"$work/apt.log" 2>&1
umount "$root/var/cache/apt/archives" "$root/sys" "$root/proc" "$root/dev/fuse" "$root/dev"
run useradd --create-home someone
install -D -m 755 "$here/tests/package/booted.sh" "$root/opt/booted.sh"
cp "$package" "$root/opt/tciafs.deb"
run sh /opt/booted.sh before-boot
: >"$root/etc/machine-id"  # filled in at boot

# Of the machine's devices it has what a program needs, and FUSE and autofs.
mount -t tmpfs -o mode=755 dev "$root/dev"
while read -r name major minor; do mknod -m 666 "$root/dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
autofs 10 235
END
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# A branch of the tree of cgroups, which is the root of the namespace's.
mkdir "$work/cgroup"
mount -t cgroup2 cgroup2 "$work/cgroup"
branch=$work/cgroup/tciafs-test-package-$(basename "$work")
mkdir "$branch"
cat >"$work/process-1" <<'END'
set -eu
cd "$1"
mount --make-rprivate /
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
pivot_root . media
umount -l /media
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog,-audit_control,-audit_read \
  /lib/systemd/systemd --show-status=no --log-target=journal </dev/null >/dev/null 2>&1
END
(
  sh -c 'echo $PPID' >"$branch/cgroup.procs"
  exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh "$work/process-1" "$root"
) >"$work/process-1.log" 2>&1 &
unshared=$!
process_1=""
end_boot() {
  kill -KILL $process_1 2>/dev/null || true
  wait "$unshared" 2>/dev/null || true
  find "$branch" -depth -type d -exec rmdir '{}' + 2>/dev/null || true
}
trap 'end_boot; umount -R -l "$work" 2>/dev/null || true; rmdir "$work" 2>/dev/null || true' EXIT
inside() {
  nsenter --target "$process_1" --mount --uts --ipc --net --pid --cgroup --root --wd env -i LC_ALL=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SHELL=/bin/sh \
    timeout --foreground 240 "$@"
}
tries=0
until process_1=$(pgrep -P "$unshared") && [ "$(cat "/proc/$process_1/comm")" = systemd ] &&
  inside test -S /run/systemd/private; do
  tries=$((tries + 1))
  [ "$tries" -le 200 ] && kill -0 "$unshared" || { cat "$work/process-1.log" >&2 && exit 1; }
  sleep 0.05
done
# The archive is this machine's program, on the loopback interface in there.
nsenter --target "$process_1" --net "$build/tests/archive/tciafs-test-archive" --port 8042 \
  --ready-file "$work/url" --synthetic "PHANTOM:patients=1,studies=1,series=3,images=4" \
  >"$work/archive.log" 2>&1 &
inside sh /opt/booted.sh || {
  echo "failed, or was not ready in time" >&2
  exit 1
}

say "shut down, with everything mounted"
tries=0
while kill -0 "$unshared" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -le 600 ] || { echo "does not shut down" >&2 && exit 1; }
  sleep 0.1
done
# What it said from then on, and nothing of it had to be forced.
journal=$(chroot "$root" journalctl --directory /var/log/journal --quiet --no-pager --output cat |
  sed -n '/System is powering down/,$p')
for mountpoint in /mnt/tcia /mnt/boot /mnt/auto /home/someone/tcia; do
  echo "$journal" | grep -qx "unmounted $mountpoint" || { echo "not unmounted: $mountpoint" >&2 && exit 1; }
done
if echo "$journal" | grep -i 'tcia\|mnt' | grep -i 'timed out\|killing\|failed'; then exit 1; fi
say "all well"
