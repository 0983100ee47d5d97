"""Which LoRA adapter is active: `adapters/active.json` on S3, its format, and the only code that reads and writes it.

An adapter lies under `adapters/<name>/`; its card, `card.json`, is written last, so that an adapter with a card is whole. A name
stands for one set of weights for ever: other weights get another name. Whoever serves the language model asks `read_active` now
and then and loads what it says; whoever changes it says what it has seen, and loses when somebody else was faster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yuqing.contracts import now
from yuqing.errors import YuqingError
from yuqing.objects import ObjectMissing, ObjectStore

FOLDER = "adapters/"
ACTIVE = "adapters/active.json"
CARD = "card.json"
# Below it a paired test says that two adapters differ.
SIGNIFICANT = 0.05
# A name is a folder on S3, a model's name in requests and a part of a served folder's name, where "+" separates.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class AdapterError(YuqingError):
    """An adapter is missing, damaged, or made for another base model."""


class ActiveConflict(AdapterError):
    """Somebody else changed the active adapter meanwhile."""


class Choice(BaseModel):
    """An adapter by its name and the SHA-256 of its weights (hex); both None: the bare base."""

    model_config = ConfigDict(frozen=True)

    adapter: str | None = Field(None, pattern=_NAME.pattern)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")


class Active(Choice):
    """What `adapters/active.json` says: the choice, its number (each change adds one), who made it, and the one before."""

    schema_version: Literal[1] = 1
    generation: int = Field(ge=1)
    activated_at: datetime
    activated_by: str
    previous: Choice | None = None


@dataclass(frozen=True)
class Seen:
    """The active adapter as it was read: `active` is None and `tag` empty when nothing was ever activated."""

    active: Active | None
    tag: str = ""


def folder_of(name: str) -> str:
    """The prefix on S3 of an adapter's files. Raises AdapterError for a name that cannot be one."""
    if not _NAME.fullmatch(name):
        raise AdapterError(
            f"{name!r} is no adapter's name",
            cure="use letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
        )
    return f"{FOLDER}{name}/"


def stored(store: ObjectStore) -> list[str]:
    """The names of the adapters on S3 that are whole. Raises ObjectStoreAway."""
    return [name for name in store.folders(FOLDER) if store.exists(f"{FOLDER}{name}/{CARD}")]


def read_card(store: ObjectStore, name: str) -> dict[str, Any]:
    """The card of an adapter on S3; its "sha256" is that of the weights. Raises AdapterError, ObjectStoreAway."""
    try:
        card = json.loads(store.get(folder_of(name) + CARD))
    except ObjectMissing:
        known = ", ".join(stored(store)) or "none"
        raise AdapterError(
            f"there is no adapter {name} on S3", cure=f"push it with `yuqing llm adapters push`; there are: {known}"
        ) from None
    except ValueError as error:
        raise AdapterError(f"the card of the adapter {name} cannot be read: {error}", cure="push it again") from None
    if not isinstance(card, dict) or not re.fullmatch("[0-9a-f]{64}", str(card.get("sha256"))):
        raise AdapterError(f"the card of the adapter {name} names no sha256", cure="push it again")
    return card


def read_active(store: ObjectStore) -> Seen:
    """What is active now. Raises AdapterError when the file is broken, ObjectStoreAway."""
    try:
        data, tag = store.get_tagged(ACTIVE)
    except ObjectMissing:
        return Seen(None)
    try:
        return Seen(Active.model_validate_json(data), tag)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        raise AdapterError(
            f"{ACTIVE} cannot be read: {where}: {problem['msg']}", cure="remove it and activate an adapter anew"
        ) from None


def check_compared(card: dict[str, Any], name: str, replaced: Choice) -> None:
    """Whether the card tells of a paired test against what is replaced, and that it did not lose. Raises AdapterError."""
    if card["sha256"] == replaced.sha256:
        return
    against = replaced.adapter or "the bare base"
    tests = [each for each in card.get("comparisons") or () if each.get("with", {}).get("sha256") == replaced.sha256]
    how = (
        f"`yuqing llm adapters compare FOLDER {replaced.adapter or 'base'} ...`, push it again, or give --force REASON"
    )
    if not tests:
        raise AdapterError(f"the card of {name} holds no comparison with {against}", cure=f"compare them: {how}")
    last = tests[-1]
    new, old = last["accuracy"]
    if new < old and last["mcnemar_p"] < SIGNIFICANT:
        raise AdapterError(
            f"{name} is worse than {against}: accuracy {new} against {old}, p = {last['mcnemar_p']}",
            cure="activate another one, or give --force REASON",
        )


def activate(store: ObjectStore, adapter: str | None, *, by: str, seen: Seen | None = None) -> Active:
    """Make an adapter of S3 (None: the bare base) the active one; one that is active already stays as it is.

    `seen` is what the caller decided upon; without it what is active now. Raises AdapterError for an adapter that is not on S3,
    ActiveConflict when another change came between, ObjectStoreAway.
    """
    seen = seen or read_active(store)
    choice = Choice(adapter=adapter, sha256=read_card(store, adapter)["sha256"] if adapter else None)
    return _write(store, choice, by, seen)


def roll_back(store: ObjectStore, *, by: str, seen: Seen | None = None) -> Active:
    """Make the adapter before the active one active again. Raises AdapterError when there was none, and as `activate`."""
    seen = seen or read_active(store)
    if seen.active is None or seen.active.previous is None:
        raise AdapterError(
            "there is no earlier adapter to go back to",
            cure="push the one that servers had before any was activated (YUQING_LLM__ADAPTER) and activate it by its name",
        )
    previous = seen.active.previous
    if previous.adapter:
        read_card(store, previous.adapter)
    return _write(store, previous, by, seen)


def withdraw(store: ObjectStore, seen: Seen) -> None:
    """Take the choice back where nothing had been active before: the servers follow their settings again.

    S3 has no conditional delete: a change between the look and the deletion is lost. Raises ActiveConflict, ObjectStoreAway.
    """
    if read_active(store).tag != seen.tag:
        raise ActiveConflict(f"somebody else changed {ACTIVE} meanwhile", cure="look at `yuqing llm adapters list`")
    store.delete(ACTIVE)


def _write(store: ObjectStore, choice: Choice, by: str, seen: Seen) -> Active:
    old = seen.active
    if old and (old.adapter, old.sha256) == (choice.adapter, choice.sha256):
        return old
    new = Active(
        adapter=choice.adapter,
        sha256=choice.sha256,
        generation=old.generation + 1 if old else 1,
        activated_at=now(),
        activated_by=by,
        previous=Choice(adapter=old.adapter, sha256=old.sha256) if old else None,
    )
    data = new.model_dump_json(indent=1).encode() + b"\n"
    written = (
        store.replace(ACTIVE, data, seen.tag, content_type="application/json")
        if old
        else store.put(ACTIVE, data, content_type="application/json", only_if_absent=True)
    )
    if not written:
        raise ActiveConflict(
            f"somebody else changed {ACTIVE} meanwhile", cure="look at `yuqing llm adapters list`, then try again"
        )
    return new


def serves(cards: Sequence[dict[str, Any]], adapter: str | None) -> bool:
    """Whether a server whose list of models (`data` of GET /v1/models) this is serves the adapter; None: nothing but the base.

    An adapter loaded at run time is a model of its own with a `parent`, named after the adapter or after a folder of its name;
    merged weights lie in a folder "<base>+<adapter>".
    """
    found: set[str] = set()
    for card in cards:
        folder = str(card.get("root") or "").rstrip("/").rpartition("/")[2]
        if card.get("parent"):
            found |= {str(card.get("id")), folder}
        elif "+" in folder:
            found.add(folder.partition("+")[2])
    return adapter in found if adapter else bool(cards) and not found
