"""The socket that the gateway listens on."""

import socket

from yuqing.errors import YuqingError


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, IPv4 or IPv6 as the host is written; port 0 takes a free one. Raises YuqingError, as when it is taken.

    Accepted connections inherit TCP_NODELAY. asyncio sets it only on sockets that it makes itself, and without it a kept
    connection waits 40 ms at every answer: for the acknowledgement of its head before the body is sent (Nagle's algorithm, RFC
    896, against delayed acknowledgements, RFC 1122).
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise YuqingError(
            f"cannot listen on {host}:{port}: {error.strerror}", cure="give another address or --port"
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
