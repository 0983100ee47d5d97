"""Quarantine cleaned again with today's code: the usable records become documents once, the others stay with their new reason.

A replay is named by its object's key and content, and stands in the ledger under that name, together with what it left over. Only
after that transaction is the object written anew; killed in between, the next replay finds the ledger's row and writes it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine, text

from cleaning import reprints
from cleaning.batches import STAGE, can_be_replayed, quarantine_key, replay_name
from cleaning.publish import Receipt
from yuqing import quarantine
from yuqing.database import session
from yuqing.errors import YuqingError
from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore

_PREFIXES = ("quarantine/cleaning/", "quarantine/crawler/")
_CURE = "name keys or prefixes under quarantine/cleaning/ or quarantine/crawler/"


class NotReplayable(YuqingError):
    """What is to be replayed holds no raw documents, or does not exist."""


def find(pool: Engine, store: ObjectStore, names: Sequence[str]) -> list[ObjectInfo]:
    """The replays that keys or prefixes under quarantine/ ask for, by name, in the order of their keys.

    A key that has been replayed to its end asks for nothing. Raises NotReplayable, ObjectStoreAway, DatabaseAway.
    """
    objects: dict[str, ObjectInfo] = {}
    for name in names:
        found = {item.key: item for item in store.list(name) if item.key.endswith(".jsonl.gz")}
        if wrong := [key for key in [name, *found] if not _leads_to_documents(key)]:
            raise NotReplayable(f"{wrong[0]} holds no raw documents that could be cleaned again", cure=_CURE)
        if not found and not _known(pool, name):
            raise NotReplayable(f"there is nothing under {name}", cure=_CURE)
        objects |= found
    replays = []
    for key, item in sorted(objects.items()):
        try:
            replays.append(replace(item, key=replay_name(key, store.get(key))))
        except ObjectMissing:  # another replay has just emptied it
            continue
    return replays


def _leads_to_documents(name: str) -> bool:
    return can_be_replayed(name) if name.endswith(".jsonl.gz") else name.startswith(_PREFIXES)


def _known(pool: Engine, name: str) -> bool:
    """Whether something under the name was replayed before."""
    statement = "SELECT EXISTS (SELECT FROM ledger WHERE stage = :stage AND starts_with(batch_key, :name))"
    with session.transaction(pool) as connection:
        return bool(connection.execute(text(statement), {"stage": STAGE, "name": name}).scalar_one())


def settled(pool: Engine, replays: Sequence[str]) -> set[str]:
    """The replays whose documents are there already. Raises DatabaseAway."""
    statement = "SELECT batch_key FROM ledger WHERE stage = :stage AND batch_key = ANY(:replays)"
    with session.transaction(pool) as connection:
        return set(connection.execute(text(statement), {"stage": STAGE, "replays": list(replays)}).scalars())


def keep_rest(pool: Engine, store: ObjectStore, replay: str, receipt: Receipt | None = None) -> None:
    """Write a replay's object anew with what it left over; without any it is removed. Doing it twice changes nothing.

    The ledger says what that is; the receipt where nothing was usable and there is no row. Raises ObjectStoreAway, DatabaseAway.
    """
    key = quarantine_key(replay)
    with session.transaction(pool) as connection:
        reprints.lock(connection)  # two drivers, one after the other
        left = _left(connection, replay, receipt)
        try:
            data = store.get(key)
        except ObjectMissing:
            return
        if left is None or replay_name(key, data) != replay:
            return
        records = quarantine.unpack(data)
        rest = [{**records[place - 1], "reason": reason} for place, reason in left]
        if rest != records:
            quarantine.replace(store, key, rest)


def _left(connection: Connection, replay: str, receipt: Receipt | None) -> list[tuple[int, str]] | None:
    """[(place, reason)] of what stays, None when the object could not be read."""
    statement = "SELECT counts->'left' FROM ledger WHERE stage = :stage AND batch_key = :replay"
    found = connection.execute(text(statement), {"stage": STAGE, "replay": replay}).scalar_one_or_none()
    if found is None and receipt and receipt.left:
        found = json.loads(receipt.left)
    if found is None or any(place == 0 for place, _ in found):
        return None
    return [(place, reason) for place, reason in found]
