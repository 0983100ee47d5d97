"""What goes on behind the answers ends, even when a cancellation is lost."""

import asyncio

import pytest

from gateway.stopping import stopped


def test_a_lost_cancellation_is_repeated() -> None:
    lost: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            lost.append("the first")
        await asyncio.sleep(3600)

    async def main() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await stopped(task, again_s=0.01)
        return task.cancelled()

    assert asyncio.run(asyncio.wait_for(main(), 30))
    assert lost == ["the first"]


def test_one_that_has_failed_keeps_its_error() -> None:
    async def failing() -> None:
        raise ValueError("it went wrong")

    async def main() -> None:
        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await stopped(task)
        await task

    with pytest.raises(ValueError, match="it went wrong"):
        asyncio.run(main())
