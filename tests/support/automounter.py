# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What systemd does for x-systemd.automount: automounter.py DIRECTORY COMMAND...

Waits, through the kernel's autofs, until somebody looks into the directory, and runs the command, which
shall mount there. Until that has ended, the kernel lets only the process group of this program pass.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import sys

IOC_READY = 0x9360
IOC_FAIL = 0x9361
PATIENCE_S = 20


def main():
    directory, *command = sys.argv[1:]
    os.setpgid(0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    packets, kernels = os.pipe()
    options = f"fd={kernels},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
    if libc.mount(b"automounter", directory.encode(), b"autofs", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(kernels)
    autofs = os.open(directory, os.O_DIRECTORY)
    print("waiting", flush=True)
    token, = struct.unpack_from("=8xI", os.read(packets, 4096))
    try:
        mounted = subprocess.run(command, check=False, timeout=PATIENCE_S).returncode == 0
    except subprocess.TimeoutExpired:
        mounted = False
    fcntl.ioctl(autofs, IOC_READY if mounted else IOC_FAIL, token)


if __name__ == "__main__":
    main()
