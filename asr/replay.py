"""Recordings that were given up, back into the queue: after a limit was raised, a model mended, a better copy fetched.

What is in quarantine stays there until the recording is transcribed (asr/worker.py removes it then), so a replay that is
killed anywhere, or asked for twice, loses and doubles nothing.
"""

import zlib
from collections.abc import Sequence

from sqlalchemy import Engine, select

from yuqing import quarantine
from yuqing.database import session
from yuqing.database.models import Media
from yuqing.errors import YuqingError
from yuqing.jobs import TRANSCRIBE, Job, defer_again
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.telemetry import get_logger

PREFIX = "quarantine/asr/"
log = get_logger("asr")


class NotReplayable(YuqingError):
    """What is to be replayed names no recordings, or does not exist."""


def replay(pool: Engine, store: ObjectStore, names: Sequence[str]) -> int:
    """Queue the recordings in quarantine under these keys or prefixes; returns how many now wait that did not before.

    Recordings that are no longer stored are named in the log and stay. Raises NotReplayable, ObjectStoreAway, DatabaseAway.
    """
    found = [recording for name in names for recording in _recordings(store, name)]
    with session.transaction(pool) as connection:
        stored = set(connection.execute(select(Media.sha256).where(Media.sha256.in_(found))).scalars())
        for gone in sorted(set(found) - stored):
            log.warning("recording is no longer stored and cannot be replayed", media=gone)
        jobs = [
            Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": sha256}, f"{TRANSCRIBE}:{sha256}")
            for sha256 in dict.fromkeys(found)
            if sha256 in stored
        ]
        return defer_again(connection, jobs)  # what the failed ones said is in quarantine


def _recordings(store: ObjectStore, name: str) -> list[str]:
    cure = f"name keys or prefixes under {PREFIX}"
    if not name.startswith(PREFIX):
        raise NotReplayable(f"{name} holds no recordings that could be transcribed again", cure=cure)
    keys = [item.key for item in store.list(name) if item.key.endswith(".jsonl.gz")]
    if not keys:
        raise NotReplayable(f"there is nothing under {name}", cure=cure)
    found = []
    for key in keys:
        try:
            found += [str(record["media_sha256"]) for record in quarantine.read(store, key)]
        except ObjectMissing:  # transcribed just now
            continue
        except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error):
            raise NotReplayable(f"{key} is damaged, or was not written by the transcriber", cure=cure) from None
    return found
