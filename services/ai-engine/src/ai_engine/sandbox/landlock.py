"""Limits a process and its children to the files that it is granted (Landlock, Linux 5.13 and later, no privileges).

Called by the jail, before the converter starts. It keeps the child, which runs under the service's own uid, away from
the service's secrets, from object storage, and (Linux 6.12) from signalling the service. Kernel interface:
https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import errno
import os
from collections.abc import Iterable

# The generic system call numbers are the same on x86-64 and arm64.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
ALL_OF_FIRST_ABI = (1 << 13) - 1
REFER, TRUNCATE = 1 << 13, 1 << 14  # from the second and third ABI on
TCP_BIND_AND_CONNECT = 0b11  # fourth
SCOPE_SIGNALS_AND_ABSTRACT_SOCKETS = 0b11  # sixth

READ = EXECUTE | READ_FILE | READ_DIR
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # all that may be granted for something that is no directory

_libc = ctypes.CDLL(None, use_errno=True)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """What the kernel offers: 0 when it has no Landlock or an outer sandbox forbids it."""
    version: int = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)
    return max(version, 0)


def restrict(*, read: Iterable[str], write: Iterable[str], devices: Iterable[str]) -> bool:
    """Allow this process only what lies beneath these paths, for good; False where the kernel has no Landlock.

    `read` may be read and executed, `write` everything, `devices` read and written. Absent paths are passed over.
    Needs no_new_privs. Raises OSError.
    """
    abi = abi_version()
    if not abi:
        return False
    handled = ALL_OF_FIRST_ABI | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0)
    attr = _RulesetAttr(
        handled,
        TCP_BIND_AND_CONNECT if abi >= 4 else 0,
        SCOPE_SIGNALS_AND_ABSTRACT_SOCKETS if abi >= 6 else 0,
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(_libc.syscall(CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), 0))
    try:
        for paths, access in ((read, READ), (write, handled), (devices, READ_FILE | WRITE_FILE)):
            for path in paths:
                _grant(ruleset, path, access & handled)
        _checked(_libc.syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _grant(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - the jail starts for every conversion; pathlib is not free
            access &= FILE_RIGHTS
        rule = _PathBeneathAttr(access, descriptor)
        _checked(_libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)} ({errno.errorcode.get(code, code)})")
    return result
