"""Turn into another program that dies with its parent; started as a script, standard library only.

Usage: guard.py SIGNAL PARENT_PID UID GID PROGRAM [ARGUMENT…]. UID and GID are `-` to stay who we are.
It is a program of its own, not a `preexec_fn`, because running Python between fork and exec is unsafe
as soon as the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(death_signal: int, parent: int, uid: str, gid: str, command: list[str]) -> None:
    """Drop privileges, ask the kernel for `death_signal` when the parent dies, and exec `command`."""
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        raise SystemExit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
