"""The circuit breaker by its clock, and a worker whose server is away, slow, overloaded or talks nonsense."""

import contextlib

import pytest

from llm.analysis.circuit import Circuit, CircuitOpen


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _fail(circuit: Circuit, about: object = None) -> None:
    with circuit.trial() as trial:
        trial.failed("HTTP 503", about)


def test_it_opens_tries_with_one_request_and_closes() -> None:
    clock = _Clock()
    circuit = Circuit("the server", 3, 4.0, 10.0, clock)
    _fail(circuit)
    _fail(circuit)
    with circuit.trial() as trial:
        trial.succeeded()
    for _ in range(3):
        assert circuit.is_closed
        _fail(circuit)
    with pytest.raises(CircuitOpen, match="HTTP 503") as caught, circuit.trial():
        pass
    assert 0 < caught.value.seconds <= 4
    pauses = []
    for _ in range(4):
        pauses.append(circuit.seconds)
        clock.now += circuit.seconds
        with circuit.trial() as probe:
            with pytest.raises(CircuitOpen), circuit.trial():
                pass
            probe.failed("still away")
    # 4, 8, then 10 at most, each shortened by up to a quarter.
    assert all(0.75 * most <= pause <= most for pause, most in zip(pauses, (4, 8, 10, 10), strict=True))
    clock.now += circuit.seconds
    with contextlib.suppress(ZeroDivisionError), circuit.trial():
        raise ZeroDivisionError  # cancelled, say: it counts neither way
    with circuit.trial() as probe:
        probe.succeeded()
    assert circuit.is_closed
    assert circuit.seconds == 0
    _fail(circuit)
    assert circuit.is_closed


def test_one_document_that_fails_again_and_again_does_not_open_it() -> None:
    circuit = Circuit("the model", 3, 4.0, 10.0, _Clock())
    for _ in range(9):
        _fail(circuit, "the same")
    assert circuit.is_closed
    _fail(circuit, "another")
    _fail(circuit, "a third")
    assert not circuit.is_closed


def test_requests_that_were_under_way_do_not_lengthen_the_pause() -> None:
    clock = _Clock()
    circuit = Circuit("the server", 1, 4.0, 100.0, clock)
    with circuit.trial() as slow:
        _fail(circuit)
        before = circuit.seconds
        slow.failed("timed out")
    assert circuit.seconds == before
