"""A port for a test's own server, which nobody else is given before the server listens there."""

import socket

HOST = "127.0.0.1"
_HELD: list[socket.socket] = []


def own_port() -> int:
    """A free port, kept bound by this process until it ends, without listening.

    The system gives it to no other program meanwhile, and a server that sets SO_REUSEADDR can still listen there: Linux refuses
    a second socket only where one of the two listens or did not set it (socket(7)).
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((HOST, 0))
    _HELD.append(holder)
    return int(holder.getsockname()[1])
