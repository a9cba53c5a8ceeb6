#!/bin/bash
# machine.sh STAGE OUT [DRIVER] - boots systemd as process 1 of a machine of its own, on this machine's files but without a trace on them.
#
# Own processes, mounts, network, host name and control groups; the root is an overlay whose changes live in memory. STAGE (what
# `make install DESTDIR=STAGE` made) is laid over it, OUT is seen as /out, and /out/DRIVER (driver.py) is run as the one service that
# the machine starts by itself; when it ends the machine is gone. test_machine.py and test_package.py call this, as root.
set -euo pipefail

case ${1:-} in
--inside)
    stage=$2 out=$3 root=$3/root driver=$4
    mount --make-rprivate /
    mkdir -p "$root" "$out/memory"
    mount -t tmpfs tmpfs "$out/memory"
    mkdir "$out/memory/upper" "$out/memory/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$out/memory/upper,workdir=$out/memory/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
    done
    mknod -m 666 "$root/dev/tty" c 5 0
    mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue" "$root/dev/hugepages"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    : >"$out/console"
    : >"$root/dev/console"
    mount --bind "$out/console" "$root/dev/console"
    mkdir -p "$root/out"
    mount --bind "$out" "$root/out"

    # Of the machine's own units only the journal stays; nothing else of it is started here.
    rm -rf "$root/etc/systemd/system" "$root/etc/fstab"
    mkdir -p "$root/etc/systemd/system"
    find "$root"/lib/systemd/system/*.wants -mindepth 1 ! -name 'systemd-journald*' -delete
    cp -r "$stage/." "$root/" # not -a: the modes of the folders that are there already stay
    cat >"$root/etc/systemd/system/driver.service" <<UNIT
[Unit]
DefaultDependencies=no
Requires=sysinit.target systemd-journald.service
After=sysinit.target systemd-journald.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -B /out/$driver
StandardOutput=file:/out/driver.log
StandardError=inherit
ExecStopPost=/bin/sh -c 'journalctl --no-pager -o short-precise > /out/journal; systemctl --no-block exit'
UNIT
    # Not chroot: the kernel makes no user namespaces (PrivateUsers=) for whoever is in one.
    mkdir "$root/before"
    cd "$root"
    pivot_root . before
    umount --lazy /before
    # systemd does this itself where it does not see that it is contained: mounts that it makes for credentials must be seen here.
    mount --make-rshared /
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=convd-test \
        /lib/systemd/systemd --system --unit=driver.service --log-target=journal --show-status=0
    ;;
--in-cgroup)
    # A control group below our own: as the root of the machine's view it keeps the machine out of ours.
    groups=$3/groups
    mkdir -p "$groups"
    mount --make-rprivate /
    mount -t cgroup2 cgroup2 "$groups"
    here=$groups$(sed -n 's/^0:://p' /proc/self/cgroup)
    mine=$here/convd-test-$$
    mkdir "$mine"
    status=0
    (
        echo "$BASHPID" >"$mine/cgroup.procs"
        exec unshare --cgroup --fork --kill-child --pid --mount --ipc --uts --net bash "$0" --inside "$2" "$3" "$4"
    ) || status=$?
    find "$mine" -depth -type d -exec rmdir {} \;
    exit "$status"
    ;;
*)
    [ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: machine.sh STAGE OUT [DRIVER]" >&2; exit 2; }
    exec unshare --mount bash "$0" --in-cgroup "$1" "$2" "${3:-driver.py}"
    ;;
esac
