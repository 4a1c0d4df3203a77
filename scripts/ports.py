"""Whether a TCP port of this machine is free, and who has it when it is not. Used by preflight.py."""

from __future__ import annotations

import errno
import re
import shutil
import socket
from pathlib import Path

from scripts.process import output

_LISTEN = "0A"  # TCP state in /proc/net/tcp
_CONNECT_SECONDS = 1.0


def is_taken(port: int) -> bool:
    """Whether somebody listens on the port, on all addresses or on loopback."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - only bound, never listened on
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            # Ports below 1024 may not be bound by everybody, and some machines have no IPv6; then only a call can tell.
            if _answers(port):
                return True
    return False


def owner(port: int) -> str:
    """Who listens, as "nginx (process 123)" or "the container web"; empty when that cannot be told."""
    container = output(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"])
    if container:
        return f"the container {container.splitlines()[0]}"
    return _owner_from_proc(port) or _owner_from_lsof(port)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _owner_from_proc(port: int) -> str:
    """Linux: the socket's inode from /proc/net, then the process that holds it (others' processes only as root)."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return ""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                process = link.parent.parent
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (process {process.name})"
        except OSError:
            continue
    return ""


def _listening_inodes(port: int) -> list[str]:
    inodes = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.append(fields[9])
    return inodes


def _owner_from_lsof(port: int) -> str:
    if shutil.which("lsof") is None:
        return ""
    found = output(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]) or ""
    match = re.search(r"^p(\d+)\nc(.+)$", found, re.MULTILINE)
    return f"{match[2]} (process {match[1]})" if match else ""
