"""Runs a program that cannot watch the machine's network interfaces: `python quiet_chromium.py PROGRAM ARGUMENT...`

Chromium breaks off every request (ERR_NETWORK_CHANGED) when an interface comes or goes, which each start of a container
causes. Without netlink sockets it takes the network as it is. A seccomp filter refuses only those sockets; conftest
starts Chromium through this file.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
# Offsets in struct seccomp_data: the number of the call, and the lower half of its first argument.
NUMBER_OFFSET, DOMAIN_OFFSET = 0, 16


def refuse_netlink() -> None:
    """Make socket(AF_NETLINK) fail in this process and its children; nothing on a machine of another kind."""
    call = SOCKET_CALL.get(platform.machine())
    if call is None:
        return
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD_WORD, 0, 0, NUMBER_OFFSET),
            (JUMP_IF_EQUAL, 0, 3, call),
            (LOAD_WORD, 0, 0, DOMAIN_OFFSET),
            (JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
            (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EAFNOSUPPORT),
            (RETURN, 0, 0, SECCOMP_RET_ALLOW),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(filter_program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


if __name__ == "__main__":
    refuse_netlink()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the program that conftest found
