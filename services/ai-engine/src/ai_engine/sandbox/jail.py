"""The small process between the AI engine and the converter: gives up what the converter must not have, then starts it.

Started by `sandbox.run` as `python -P -s -m ai_engine.sandbox.jail SPEC_JSON COMMAND...` in a session of its own.

    ai-engine ── jail (this; reaps, dies with the ai-engine and takes its group along) ── converter ── node, ...

Everything that is set here is inherited by the converter and by whatever it starts, and cannot be undone by them:
- no new privileges; no socket() of any family (seccomp), so no network; no io_uring, no reading of other processes
- no setsid() or setpgid(): whoever wants to outlive the conversion stays in the group that is killed
- files: system and converter read-only, the work directory read-write, nothing else (Landlock, where the kernel has it)
- limits on CPU seconds, file size, open files, data segment; the first to go when memory runs out

It ends as the converter ends: same exit code, same signal.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

import pyseccomp  # type: ignore[import-untyped]

from ai_engine.sandbox import landlock

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
NICENESS = 10  # even a fork bomb leaves the AI engine the time to kill it
SETUP_FAILED_EXIT_CODE = 125  # as docker run has it: the jail could not be built, the command never ran
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full")

# errno per system call: ENOSYS where programs have another way, EACCES or EPERM where they should give up.
DENIED_SYSCALLS = {
    "socket": errno.EACCES,
    "io_uring_setup": errno.ENOSYS,
    "setsid": errno.EPERM,
    "setpgid": errno.EPERM,
    "ptrace": errno.EPERM,
    "process_vm_readv": errno.EPERM,
    "process_vm_writev": errno.EPERM,
    "pidfd_getfd": errno.EPERM,
    "unshare": errno.EPERM,
    "setns": errno.EPERM,
    "mount": errno.EPERM,
    "bpf": errno.EPERM,
    "perf_event_open": errno.EPERM,
    "userfaultfd": errno.EPERM,
    "keyctl": errno.EPERM,
    "add_key": errno.EPERM,
    "request_key": errno.EPERM,
    "personality": errno.EPERM,
}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    spec = json.loads(sys.argv[1])
    command = sys.argv[2:]
    try:
        die_with_parent(spec["parent_pid"])
        set_limits(spec)
        drop_rights(spec)
    except Exception as error:  # whatever it is, the command must not run outside the jail
        sys.stderr.write(f"the sandbox could not be set up: {error}\n")
        sys.exit(SETUP_FAILED_EXIT_CODE)
    child = os.fork()
    if child == 0:
        start(command)
    end_like(wait_for(child))


def die_with_parent(parent_pid: int) -> None:
    """When the AI engine dies, even by SIGKILL, this process gets SIGTERM and kills its whole group."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it died before the line above
        raise RuntimeError("the parent is gone")
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # what the converter leaves behind stays below us, visible to the watch


def set_limits(spec: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_CPU: (spec["cpu_seconds"], spec["cpu_seconds"] + 5),
        resource.RLIMIT_FSIZE: (spec["file_bytes"], spec["file_bytes"]),
        resource.RLIMIT_NOFILE: (spec["open_files"], spec["open_files"]),
        # Counts written-to private memory only: a limit of the address space would stop node, which reserves gigabytes.
        resource.RLIMIT_DATA: (spec["data_bytes"], spec["data_bytes"]),
        resource.RLIMIT_CORE: (0, 0),
    }
    for which, values in limits.items():
        resource.setrlimit(which, values)
    os.umask(0o077)
    os.nice(NICENESS)
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - as in landlock.py
        file.write("1000")


def drop_rights(spec: dict[str, Any]) -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(read=spec["read_paths"], write=[spec["work_dir"]], devices=DEVICES)
    syscall_filter = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name, code in DENIED_SYSCALLS.items():
        syscall_filter.add_rule(pyseccomp.ERRNO(code), name)
    syscall_filter.load()


def start(command: list[str]) -> NoReturn:
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a fork does not inherit it
        os.execvp(command[0], command)  # noqa: S606 - no shell on purpose
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        sys.stderr.flush()
    os._exit(SETUP_FAILED_EXIT_CODE)


def wait_for(child: int) -> int:
    """Reap whatever is reparented to us until the command itself has ended; its wait status."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def end_like(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pause()
    os._exit(os.waitstatus_to_exitcode(status))


def prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


if __name__ == "__main__":
    main()
