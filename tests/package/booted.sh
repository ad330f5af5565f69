#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
#
# Run by boot.sh in the Debian it makes: with `before-boot` while it sleeps, then under systemd, where
# the package's units and lines of /etc/fstab are started, killed, reloaded and stopped.
set -eu
url=http://127.0.0.1:8042/nbia-api

say() { printf '== %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  systemctl --no-pager --full status 'tciafs@*' '*.mount' 2>&1 | grep -v '^$' | tail -n 40 >&2
  journalctl --no-pager -n 60 -o short-precise >&2
  exit 1
}
check() { "$@" >/dev/null 2>/tmp/words || fail "$* ($(tr '\n' ' ' </tmp/words))"; }
refuse() { ! "$@" >/dev/null 2>&1 || fail "succeeded: $*"; }
# Until a command succeeds.
wait_for() {
  deadline_s=$(($(date +%s) + 30))
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -le "$deadline_s" ] || fail "never: $*"
    sleep 0.1
  done
}
someone() {
  setpriv --reuid=someone --regid=someone --init-groups env HOME=/home/someone USER=someone \
    XDG_RUNTIME_DIR="/run/user/$(id -u someone)" "$@"
}
mounted() { [ "$(grep -c " $1 .* - fuse.tciafs " /proc/self/mountinfo)" = 1 ]; }
gone() { [ "$(grep -c " $1 .* - fuse" /proc/self/mountinfo)" = 0 ]; }
shows() { [ "$(ls "$1")" = PHANTOM ]; }
property() { systemctl show --value --property "$2" "$1"; }
is() { [ "$(property "$1" "$2")" = "$3" ]; }
# What the journal has of a unit, with at least this priority.
said() { journalctl --quiet --no-pager --output cat --priority "$2" _SYSTEMD_UNIT="$1"; }

if [ "${1:-}" = before-boot ]; then
  mkdir -p /etc/tciafs /var/log/journal
  for unit in mnt-tcia srv-shared-tcia mnt-wrong; do
    printf 'TCIAFS_SERVER=%s\nTCIAFS_CACHE_DIR=/var/cache/tciafs/%s\n' "$url" "$unit" >"/etc/tciafs/$unit.env"
  done
  echo 'TCIAFS_LOG_FILE=/var/log/tciafs/shared.log' >>/etc/tciafs/srv-shared-tcia.env
  echo 'TCIAFS_CACHE_SIZE=plenty' >>/etc/tciafs/mnt-wrong.env
  mkdir /mnt/boot /mnt/auto /mnt/idle /home/someone/tcia
  chown someone: /home/someone/tcia
  cat >>/etc/fstab <<END
$url /mnt/boot tciafs _netdev,allow_other,cache_dir=/var/cache/tciafs/boot 0 0
$url /mnt/auto tciafs noauto,x-systemd.automount,x-systemd.mount-timeout=20s,_netdev,allow_other,cache_dir=/var/cache/tciafs/auto 0 0
$url /mnt/idle tciafs noauto,x-systemd.automount,x-systemd.mount-timeout=20s,x-systemd.idle-timeout=1s,_netdev,allow_other,cache_dir=/var/cache/tciafs/idle 0 0
$url /home/someone/tcia tciafs noauto,user,_netdev 0 0
END
  systemctl enable tciafs@mnt-tcia 2>/dev/null
  exit
fi

say "at boot, before there is an archive"
systemctl is-system-running --wait >/dev/null || true
[ -z "$(systemctl --failed --plain --no-legend)" ] || fail "$(systemctl --failed --plain --no-legend)"
check is tciafs@mnt-tcia ActiveState active
check mounted /mnt/tcia
check is mnt-boot.mount ActiveState active
check mounted /mnt/boot
check is mnt-auto.automount SubState waiting
check gone /mnt/auto
wait_for shows /mnt/tcia
check shows /mnt/boot

say "a service: everybody's, active when it is mounted"
systemctl start --no-block tciafs@srv-shared-tcia
until is tciafs@srv-shared-tcia ActiveState active; do :; done
check mounted /srv/shared/tcia
check someone ls /srv/shared/tcia
check [ "$(someone ls /srv/shared/tcia)" = PHANTOM ]
[ -n "$(property tciafs@srv-shared-tcia StatusText)" ] || fail "no status"

say "reload: goes on in a new log"
wait_for test -s /var/log/tciafs/shared.log
mv /var/log/tciafs/shared.log /var/log/tciafs/shared.log.1
check systemctl reload tciafs@srv-shared-tcia
wait_for test -e /var/log/tciafs/shared.log
check shows /srv/shared/tcia

say "kill -9: mounted again, though somebody is in it"
image=$(find /mnt/tcia -name '*.dcm' | head -n 1)
exec 3<"$image"
(cd "$(dirname "$image")" && exec sleep 600) &
sleeper=$!
before=$(property tciafs@mnt-tcia MainPID)
kill -KILL "$before"
restarted() { is tciafs@mnt-tcia NRestarts 1 && is tciafs@mnt-tcia ActiveState active; }
wait_for restarted
check mounted /mnt/tcia
check shows /mnt/tcia
check grep -q DICM "$image"
exec 3<&-
kill "$sleeper"

say "the journal knows what is an error"
[ -n "$(said tciafs@mnt-tcia.service info)" ] || fail "no lines"
! said tciafs@mnt-tcia.service debug | grep '^<[0-7]>' || fail "priorities are not understood"
refuse systemctl start tciafs@mnt-wrong
check is tciafs@mnt-wrong ExecMainStatus 2
check is tciafs@mnt-wrong NRestarts 0
check is tciafs@mnt-wrong SubState failed
said tciafs@mnt-wrong.service err | grep -q plenty ||
  fail "the wrong setting is not told as an error: $(said tciafs@mnt-wrong.service debug)"

say "stop"
check systemctl stop tciafs@srv-shared-tcia
check gone /srv/shared/tcia
check is tciafs@srv-shared-tcia Result success
check is tciafs@srv-shared-tcia ExecMainStatus 0
check systemctl start tciafs@srv-shared-tcia
check umount /srv/shared/tcia
wait_for is tciafs@srv-shared-tcia ActiveState inactive
check is tciafs@srv-shared-tcia Result success

say "fstab: looked into, mounted"
check [ "$(someone ls /mnt/auto)" = PHANTOM ]
check mounted /mnt/auto
check is mnt-auto.mount ActiveState active
check systemctl stop mnt-auto.mount
check gone /mnt/auto
check [ "$(someone ls /mnt/auto)" = PHANTOM ]
kill -KILL $(pgrep -f ' /mnt/auto ')
check systemctl stop mnt-auto.mount
check gone /mnt/auto
check shows /mnt/auto
check shows /mnt/idle
wait_for gone /mnt/idle
check shows /mnt/idle

check shows /mnt/boot
kill -KILL $(pgrep -f ' /mnt/boot ')
check systemctl restart mnt-boot.mount
check shows /mnt/boot

say "fstab: by a user"
check someone mount /home/someone/tcia
check [ "$(someone ls /home/someone/tcia)" = PHANTOM ]
check someone umount /home/someone/tcia
check gone /home/someone/tcia
check someone mount /home/someone/tcia
check someone tciafs umount /home/someone/tcia
check gone /home/someone/tcia

say "a user's own service"
check loginctl enable-linger someone
wait_for someone systemctl --user is-system-running
install -d -o someone -g someone /home/someone/.config /home/someone/.config/tciafs
echo "server = $url" >/home/someone/.config/tciafs/config
check someone systemctl --user enable --now tciafs
check [ "$(someone ls /home/someone/tcia)" = PHANTOM ]
kill -KILL "$(someone systemctl --user show --value --property MainPID tciafs)"
user_restarted() { someone systemctl --user show tciafs | grep -qx NRestarts=1 && someone systemctl --user is-active tciafs; }
wait_for user_restarted
check [ "$(someone ls /home/someone/tcia)" = PHANTOM ]
check someone systemctl --user stop tciafs
check gone /home/someone/tcia
check someone systemctl --user start tciafs

say "upgrade, with everything mounted, and removal"
check systemctl start tciafs@srv-shared-tcia
check dpkg --install /opt/tciafs.deb
check shows /mnt/tcia
check shows /srv/shared/tcia
check dpkg --remove tciafs
check gone /mnt/tcia
check gone /srv/shared/tcia
check shows /mnt/boot
check dpkg --install /opt/tciafs.deb
check systemctl start tciafs@mnt-tcia tciafs@srv-shared-tcia
check shows /mnt/tcia

# boot.sh waits for the end of it.
systemctl poweroff
