"""Answers a line: in order, flushed, and a bad line stops nothing."""

import asyncio
import io
import json
import os
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from yuqing.jsonlines import answer_lines, answer_lines_concurrently


def _length(record: dict[str, Any]) -> dict[str, Any]:
    return {"length": len(record["text"])}


def test_bad_lines_are_answered_and_the_others_too() -> None:
    lines = ['{"id": 1, "text": "两字"}', "not json", '{"text": "no id"}', '{"id": 4}', "[]", '{"id": 6, "text": ""}']
    out = io.StringIO()
    assert answer_lines(_length, io.StringIO("\n".join(lines)), out) == 1
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [answer["id"] for answer in answers] == [1, None, None, 4, None, 6]
    assert [("error" in answer) for answer in answers] == [False, True, True, True, True, False]
    assert "text" in answers[3]["error"]


def test_all_good_is_status_zero() -> None:
    out = io.StringIO()
    assert answer_lines(_length, io.StringIO('{"id": "a", "text": "x"}\n\n'), out) == 0


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 8))
def test_concurrent_answers_keep_the_order(delays: list[int], concurrency: int) -> None:
    running = most = 0

    async def wait(record: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(record["delay"] / 10_000)
        running -= 1
        return {}

    source = io.StringIO("\n".join(json.dumps({"id": n, "delay": delay}) for n, delay in enumerate(delays)))
    out = io.StringIO()
    assert asyncio.run(answer_lines_concurrently(wait, concurrency, source, out)) == 0
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == list(range(len(delays)))
    assert most <= concurrency


_PROGRAM = """
import asyncio, sys
from yuqing.jsonlines import answer_lines, answer_lines_concurrently
async def echo(record): return {"text": record["text"]}
if sys.argv[1] == "concurrently":
    sys.exit(asyncio.run(answer_lines_concurrently(echo, 4)))
sys.exit(answer_lines(lambda record: {"text": record["text"]}))
"""


def _start(mode: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ.copy()
    )


def test_an_answer_comes_before_the_next_line_is_sent() -> None:
    for mode in ("plain", "concurrently"):
        child = _start(mode)
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(3):
            child.stdin.write(json.dumps({"id": number, "text": "在"}).encode() + b"\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline()) == {"id": number, "text": "在"}
        child.stdin.close()
        assert child.wait(10) == 0


def test_invalid_utf8_refuses_one_line_only() -> None:
    for mode in ("plain", "concurrently"):
        child = _start(mode)
        out, _ = child.communicate(b'{"id": 1, "text": "\xff"}\n{"id": 2, "text": "ok"}\n\x80\x81\n', timeout=20)
        answers = [json.loads(line) for line in out.splitlines()]
        assert [answer["id"] for answer in answers] == [1, 2, None]
        assert answers[1] == {"id": 2, "text": "ok"}
        assert child.returncode == 1
