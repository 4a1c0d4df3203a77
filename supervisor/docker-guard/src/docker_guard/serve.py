"""Puts the guard together and runs it until it is told to stop. Called by __main__."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from docker_guard.audit import Audit
from docker_guard.daemon import Daemon
from docker_guard.gate import Gate
from docker_guard.listener import Door
from docker_guard.project import Project
from docker_guard.rules import Listener
from docker_guard.settings import GuardSettings

SOCKET_UMASK = 0o117  # sockets are made rw-rw----


async def run(settings: GuardSettings) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    os.umask(SOCKET_UMASK)
    await serve(settings, Audit(sys.stdout), stop)


async def serve(settings: GuardSettings, audit: Audit, stop: asyncio.Event) -> None:
    """Both listeners, until `stop` is set; then changes in hand are finished first."""
    daemon = Daemon(settings.docker_socket)
    gate = Gate(Project(settings.project, daemon), audit, settings.singles)
    doors = [
        Door(Listener.FULL, settings.full_socket, gate, daemon, audit),
        Door(Listener.READ, settings.read_socket, gate, daemon, audit),
    ]
    try:
        for door in doors:
            await door.open()
        audit.write("listening", project=settings.project)
        await stop.wait()
    finally:
        await asyncio.gather(*(door.close() for door in doors))
        daemon.close()
        audit.write("stopped", project=settings.project)
