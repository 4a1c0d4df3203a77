"""What one jailed run may use; built by the caller, enforced by jail.py (per process) and watch.py (whole tree)."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Time and room for one run."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 300
    """Of each process by itself; a process that only waits is stopped by `wall_seconds`."""
    memory_bytes: int = 1024 * MEBIBYTE
    """Resident memory of all processes together."""
    file_bytes: int = 512 * MEBIBYTE
    """The largest file that may be written."""
    disk_bytes: int = 2048 * MEBIBYTE
    """Everything under the work directory."""
    open_files: int = 512
    tasks: int = 96
    """Processes and threads together. Not RLIMIT_NPROC: that counts the uid's tasks in all containers of a machine."""
    output_bytes: int = 16 * MEBIBYTE
    """Standard output in all."""
    line_bytes: int = 16 * 1024
    """One line of standard output."""

    @property
    def data_bytes(self) -> int:
        """Backstop of one process against an allocation faster than the watch looks."""
        return 2 * self.memory_bytes
