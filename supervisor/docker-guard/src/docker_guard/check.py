"""The container's health check: do both listeners pass a ping on to Docker? Called by __main__.

Plain sockets, because this runs every few seconds and the imports would cost more than the check.
"""

from __future__ import annotations

import socket

from docker_guard.settings import GuardSettings

TIMEOUT_SECONDS = 3.0
PING = b"GET /_ping HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n"


def problem(settings: GuardSettings) -> str:
    """What is wrong, in words; empty when both answer."""
    for path in (settings.full_socket, settings.read_socket):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            try:
                connection.connect(str(path))
                connection.sendall(PING)
                answer = connection.recv(1024)
            except OSError as error:
                return f"{path} does not answer: {error}"
        if not answer.startswith(b"HTTP/1.1 200 "):
            status_line = answer.partition(b"\r\n")[0].decode("ascii", "replace")
            return f"{path} answers {status_line}"
    return ""
