"""The circuit breaker: its states, one trial at a time, pauses, and the end of a host for the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request

from crawler.circuits import TRIAL, CircuitOpen, Circuits, Held, require
from crawler.report import CrawlReport
from yuqing.contracts import now
from yuqing.settings import CrawlerSettings

OPTIONS = CrawlerSettings(circuit_failures=3, circuit_pause_s=30, circuit_openings=2)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def request(host: str = "a.cn", **meta: object) -> Request:
    return Request(f"http://{host}/1", meta=meta)


def begin() -> tuple[Circuits, Clock, CrawlReport]:
    clock, report = Clock(), CrawlReport("run", "one", now())
    return Circuits(OPTIONS, report, clock), clock, report


def states(report: CrawlReport) -> list[tuple[str, str]]:
    return [(event["host"], event["state"]) for event in report.circuits]


def test_it_opens_lets_one_trial_pass_and_closes() -> None:
    circuits, clock, report = begin()
    changed: list[str] = []
    circuits.on_change = changed.append
    circuits.failure(request(), "HTTP 500")
    circuits.success(request())
    for _ in range(3):
        assert circuits.admit(request()) == 0
        circuits.failure(request(), "HTTP 500")
        circuits.failure(request(retry_times=1), "HTTP 500")  # a further try of a page that has counted
    assert circuits.admit(request()) == 30
    assert circuits.admit(request("b.cn")) == 0
    with pytest.raises(Held):
        require(circuits, request())
    circuits.success(request())  # an answer that was under way is no trial
    clock.now += 30
    trial = request()
    assert circuits.admit(trial) == 0
    assert circuits.admit(trial) == 0, "asked again on its way, it is still the trial"
    assert circuits.admit(request()) == 30, "only one"
    circuits.success(trial)
    assert circuits.admit(request()) == 0
    assert states(report) == [("a.cn", "opened"), ("a.cn", "closed")]
    assert "3 pages failed" in report.circuits[0]["reason"]
    assert changed == ["a.cn", "a.cn"]


def test_a_host_whose_trials_fail_is_cut() -> None:
    circuits, clock, report = begin()
    for _ in range(3):
        circuits.failure(request(), "blocked: captcha")
    for _ in range(2):
        clock.now += 30
        trial = request()
        assert circuits.admit(trial) == 0
        circuits.failure(trial, "HTTP 503")
        assert TRIAL not in trial.meta
    with pytest.raises(CircuitOpen, match="rest of this run: the trial request failed too: HTTP 503"):
        circuits.admit(request())
    assert circuits.admit(request("b.cn")) == 0
    assert states(report) == [("a.cn", "opened"), ("a.cn", "opened"), ("a.cn", "cut")]


def test_a_trial_that_ends_without_an_answer_makes_room_for_another() -> None:
    circuits, clock, _ = begin()
    for _ in range(3):
        circuits.failure(request(), "x")
    clock.now += 31
    lost, forbidden = request(), request()
    assert circuits.admit(lost) == 0
    clock.now += 30
    assert circuits.admit(forbidden) == 0, "the first never came back"
    circuits.release(forbidden)
    assert circuits.admit(request()) == 0


def test_a_pause_holds_for_all_and_only_the_longest_counts() -> None:
    circuits, clock, report = begin()
    circuits.pause("a.cn", 20, "HTTP 429")
    circuits.pause("a.cn", 20, "HTTP 429")
    circuits.pause("a.cn", 5, "HTTP 429")
    assert circuits.admit(request()) == 20
    clock.now += 20
    assert circuits.admit(request()) == 0
    assert states(report) == [("a.cn", "paused")]


@given(st.lists(st.sampled_from(["ask", "good", "bad", "lost", "wait", "pause"]), max_size=80))
def test_there_is_never_more_than_one_trial_and_what_is_cut_stays_cut(steps: list[str]) -> None:
    circuits, clock, report = begin()
    under_way: list[Request] = []
    for step in steps:
        cut = ("a.cn", "cut") in states(report)
        if step == "ask":
            asked = request()
            try:
                if circuits.admit(asked) == 0:
                    assert not cut
                    assert TRIAL not in asked.meta or circuits.admit(request()) > 0
                    under_way.append(asked)
            except CircuitOpen:
                assert cut
        elif step == "wait":
            clock.now += 29
        elif step == "pause":
            circuits.pause("a.cn", 10, "429")
        elif under_way:
            one = under_way.pop(0)
            if step == "good":
                circuits.success(one)
            elif step == "bad":
                circuits.failure(one, "x")
            else:
                circuits.release(one)
    assert states(report).count(("a.cn", "cut")) <= 1
