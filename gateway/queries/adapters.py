"""The language model's adapters on S3 and which one is active. It asks S3 and blocks: call it in a thread."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from yuqing.adapters import AdapterError, Seen, read_active, read_card, stored
from yuqing.objects import ObjectStore


@dataclass(frozen=True)
class ListedAdapter:
    """An adapter: what it was trained on and how well it did, as its card says; `problem` in place of an unreadable card."""

    name: str
    is_active: bool
    sha256: str | None
    base: str | None
    prompt_version: str | None
    metrics: dict[str, Any]
    problem: str | None


@dataclass(frozen=True)
class ActiveAdapter:
    """What the servers are told to serve (None: the bare base), since when, and what was active before."""

    adapter: str | None
    previous: str | None
    can_roll_back: bool
    generation: int
    activated_at: datetime
    activated_by: str


@dataclass(frozen=True)
class Adapters:
    """`active` is None when none was ever activated: each server then serves what its settings say."""

    active: ActiveAdapter | None
    adapters: tuple[ListedAdapter, ...]


def active_of(seen: Seen) -> ActiveAdapter | None:
    """What was seen, for people."""
    if seen.active is None:
        return None
    previous = seen.active.previous
    return ActiveAdapter(
        seen.active.adapter,
        previous.adapter if previous else None,
        previous is not None,
        seen.active.generation,
        seen.active.activated_at,
        seen.active.activated_by,
    )


def list_adapters(store: ObjectStore) -> tuple[Adapters, Seen]:
    """The adapters that are whole, by name, and the active one as it was seen. Raises AdapterError, ObjectStoreAway."""
    seen = read_active(store)
    active = seen.active.adapter if seen.active else None
    return Adapters(active_of(seen), tuple(_listed(store, name, active) for name in sorted(stored(store)))), seen


def _listed(store: ObjectStore, name: str, active: str | None) -> ListedAdapter:
    try:
        card = read_card(store, name)
    except AdapterError as error:
        return ListedAdapter(name, name == active, None, None, None, {}, error.message)
    base = card.get("base")
    metrics = card.get("metrics")
    return ListedAdapter(
        name,
        name == active,
        str(card["sha256"]),
        str(base["name"]) if isinstance(base, dict) and "name" in base else None,
        str(card["prompt_version"]) if "prompt_version" in card else None,
        metrics if isinstance(metrics, dict) else {},
        None,
    )
