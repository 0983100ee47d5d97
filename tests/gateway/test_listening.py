"""The socket that the gateway listens on."""

import socket

import pytest

from gateway.listening import listen
from yuqing.errors import YuqingError


def test_answers_are_not_held_back() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_told() -> None:
    with (
        listen("127.0.0.1", 0) as taken,
        pytest.raises(YuqingError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])
