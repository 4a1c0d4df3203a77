"""What the socket filter lets through: established connections and queued ones, but no newcomer."""

import socket

import pytest

from common.server import bind, drop_new_connections


def test_newcomers_wait_while_those_in_the_queue_are_served_and_are_refused_after_the_close() -> None:
    listener = bind("127.0.0.1", 0)
    address = listener.getsockname()
    queued = socket.create_connection(address, timeout=1)
    queued.sendall(b"a request in the queue")
    assert drop_new_connections(listener)

    newcomer = socket.socket()
    newcomer.settimeout(0.3)
    with pytest.raises(TimeoutError):
        newcomer.connect(address)

    accepted, _ = listener.accept()
    assert accepted.recv(100) == b"a request in the queue"
    accepted.sendall(b"the answer")
    assert queued.recv(100) == b"the answer"

    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=3)
    for connection in (accepted, queued, newcomer):
        connection.close()
