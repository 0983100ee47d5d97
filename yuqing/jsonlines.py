"""Commands that answer JSON lines: one object in, one out, in order, flushed line by line."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TextIO

from pydantic import ValidationError

from yuqing.errors import YuqingError

Handler = Callable[[dict[str, Any]], dict[str, Any]]
AsyncHandler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

# What a handler may raise to say that this one line cannot be answered.
_REFUSALS = (YuqingError, ValueError, KeyError, TypeError)


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the line is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"the line is a {type(record).__name__}, not an object")
    if "id" not in record:
        raise ValueError('the object has no "id"')
    return record


def _refusal(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"field {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    if isinstance(error, KeyError):
        return f"the object has no {error}"
    return str(error)


def _write(out: TextIO, answer: dict[str, Any]) -> bool:
    # A lone surrogate is legal in JSON escapes but not in UTF-8: answer with the escape instead of dying.
    line = json.dumps(answer, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(answer)
    out.write(line + "\n")
    out.flush()
    return "error" in answer


def _lines(source: TextIO | None) -> Iterable[str]:
    if source is not None:
        return source
    # Undecodable bytes become lone surrogates, so that one bad line is refused and the others are answered.
    return (line.decode("utf-8", "surrogateescape") for line in sys.stdin.buffer)


def answer_lines(handle: Handler, source: TextIO | None = None, out: TextIO | None = None) -> int:
    """Answer each line of `source` (default: standard input) on `out`; returns the exit status.

    A bad line, or one whose handler raises, yields {"id", "error"} and makes the status 1; all others are answered.
    """
    failed = False
    for line in _lines(source):
        if not line.strip():
            continue
        identity: Any = None
        try:
            record = _parse(line)
            identity = record["id"]
            answer = {"id": identity, **handle(record)}
        except _REFUSALS as error:
            answer = {"id": identity, "error": _refusal(error)}
        failed |= _write(out or sys.stdout, answer)
    return int(failed)


async def _answer(line: str, handle: AsyncHandler) -> dict[str, Any]:
    identity: Any = None
    try:
        record = _parse(line)
        identity = record["id"]
        return {"id": identity, **await handle(record)}
    except _REFUSALS as error:
        return {"id": identity, "error": _refusal(error)}


async def _in_order(lines: Iterable[str], handle: AsyncHandler, concurrency: int) -> AsyncIterator[dict[str, Any]]:
    """Answers in the order of the lines, each as soon as it and those before it are ready."""
    waiting: asyncio.Queue[asyncio.Task[dict[str, Any]] | None] = asyncio.Queue(concurrency)
    room = asyncio.Semaphore(concurrency)

    async def bounded(line: str) -> dict[str, Any]:
        async with room:
            return await _answer(line, handle)

    async def read() -> None:
        iterator = iter(lines)
        # Reading blocks, so it is done in a thread: an answer goes out while the next line is awaited.
        while (line := await asyncio.to_thread(next, iterator, None)) is not None:
            if line.strip():
                await waiting.put(asyncio.create_task(bounded(line)))
        await waiting.put(None)

    reader = asyncio.create_task(read())
    while (task := await waiting.get()) is not None:
        yield await task
    await reader


async def answer_lines_concurrently(
    handle: AsyncHandler, concurrency: int, source: TextIO | None = None, out: TextIO | None = None
) -> int:
    """As `answer_lines`, with up to `concurrency` lines under way at once; answers keep the order of the lines."""
    failed = False
    async for answer in _in_order(_lines(source), handle, concurrency):
        failed |= _write(out or sys.stdout, answer)
    return int(failed)
