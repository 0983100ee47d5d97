"""The end of what goes on behind the answers."""

import asyncio
from typing import Any

# Long enough for a transaction to end by itself; short beside the 30 s that a pod is given.
AGAIN_S = 10.0


async def stopped(task: "asyncio.Task[Any]", again_s: float = AGAIN_S) -> None:
    """Cancel the task and wait until it has ended, however it does; its exception, if any, is left in it.

    The cancellation is repeated every `again_s` seconds, because one can get lost: asyncio.wait_for before Python 3.12, which
    the pool of connections waits with, swallows what arrives in the step in which the awaited thing is done
    (github.com/python/cpython/issues/86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again_s)
