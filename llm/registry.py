"""The adapters on S3: pushed whole with their cards, fetched verified, activated when they were compared."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.adapters import CONFIG, WEIGHTS, Adapter, check_base, load_adapter
from llm.merge import base_sha256, make_folder
from yuqing.adapters import (
    CARD,
    Active,
    AdapterError,
    Choice,
    Seen,
    activate,
    check_compared,
    folder_of,
    read_active,
    read_card,
    stored,
)
from yuqing.errors import NotConfigured
from yuqing.objects import ObjectStore, ObjectStoreError
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Listed:
    """An adapter on S3 as `yuqing llm adapters list` shows it."""

    name: str
    active: bool
    base: str
    prompt_version: str
    sha256: str
    metrics: dict[str, Any]
    comparisons: int


def list_adapters(store: ObjectStore) -> list[Listed]:
    """The adapters on S3 by name; one whose card cannot be read is named with its problem. Raises ObjectStoreAway."""
    active = read_active(store).active
    found = []
    for name in stored(store):
        try:
            card = read_card(store, name)
        except AdapterError as error:
            log.warning("an adapter cannot be used", adapter=name, reason=error.message)
            continue
        found.append(
            Listed(
                name=name,
                active=active is not None and active.adapter == name,
                base=str(card.get("base", {}).get("name")),
                prompt_version=str(card.get("prompt_version")),
                sha256=str(card["sha256"]),
                metrics=dict(card.get("metrics") or {}),
                comparisons=len(card.get("comparisons") or ()),
            )
        )
    return found


def push(store: ObjectStore, adapter: Adapter, settings: Settings) -> str:
    """Store a verified adapter under its name and hash, the card last; returns that name. Again, it stores the card alone.

    Raises AdapterError when it is for another base than the settings', ObjectStoreAway.
    """
    check_base(adapter, base_sha256(settings))
    name = adapter.served_name
    folder = folder_of(name)
    whole = name in stored(store) and read_card(store, name)["sha256"] == adapter.digest
    if not whole:
        store.put_file(folder + WEIGHTS, adapter.folder / WEIGHTS)
        store.put_file(folder + CONFIG, adapter.folder / CONFIG, content_type="application/json")
    store.put(folder + CARD, (adapter.folder / CARD).read_bytes(), content_type="application/json")
    return name


def fetch(store: ObjectStore, choice: Choice, settings: Settings) -> Adapter:
    """The chosen adapter in the cache, with every byte checked against its card, the choice and the base.

    Raises AdapterError for other weights than were activated, or for another base; ObjectStoreAway.
    """
    name = str(choice.adapter)
    target = settings.cache / "adapters" / name
    read_card(store, name)

    def fill(partial: Path) -> None:
        for file in (WEIGHTS, CONFIG, CARD):
            store.download(folder_of(name) + file, partial / file)
        _check(load_adapter(str(partial)), choice, settings)

    make_folder(target, fill)
    adapter = load_adapter(str(target))
    _check(adapter, choice, settings)
    return adapter


def _check(adapter: Adapter, choice: Choice, settings: Settings) -> None:
    if choice.sha256 != adapter.digest:
        raise AdapterError(
            f"the adapter {choice.adapter} on S3 has the sha256 {adapter.digest[:16]}…, activated was {str(choice.sha256)[:16]}…",
            cure=f"push the right one and activate it again; its cached copy is {adapter.folder}",
        )
    check_base(adapter, base_sha256(settings))


def in_place_of(seen: Seen, settings: Settings) -> Choice:
    """What an activation replaces: the active choice, or what the settings name while nothing was ever activated."""
    if seen.active is not None:
        return seen.active
    adapter = of_the_settings(settings)
    return Choice(adapter=adapter.served_name, sha256=adapter.digest) if adapter else Choice(adapter=None, sha256=None)


def _is_named(settings: Settings) -> bool:
    """Whether the settings name an adapter expressly, and do not merely have their default."""
    return "adapter" in settings.llm.model_fields_set and bool(settings.llm.adapter)


def of_the_settings(settings: Settings) -> Adapter | None:
    """The adapter that the settings name; None for none, and where the default's is not for this base.

    Raises AdapterError when one that was named expressly is for another base.
    """
    if not settings.llm.adapter:
        return None
    adapter = load_adapter(settings.llm.adapter)
    try:
        check_base(adapter, base_sha256(settings))
    except AdapterError as error:
        if _is_named(settings):
            raise
        log.info("the default adapter is for another base", adapter=adapter.name, reason=error.message)
        return None
    return adapter


def activate_compared(store: ObjectStore, name: str, settings: Settings, *, by: str, force: str = "") -> Active:
    """Make a pushed adapter the active one, after its bytes, its base and its comparison were looked at.

    `force` is the reason for which no comparison is asked for; it is kept with who did it. Raises AdapterError,
    ActiveConflict when another change came between, ObjectStoreAway.
    """
    seen = read_active(store)
    card = read_card(store, name)
    if not force:
        check_compared(card, name, in_place_of(seen, settings))
    fetch(store, Choice(adapter=name, sha256=card["sha256"]), settings)
    return activate(store, name, by=f"{by} (forced: {force})" if force else by, seen=seen)


def _last_seen(settings: Settings) -> Path:
    return settings.cache / "adapters" / "active.json"


def wanted(settings: Settings) -> Choice | None:
    """What a server of these settings should serve: the adapter that the settings name expressly, else the active one.

    None: nothing was ever activated (or there is no S3), the settings' default applies. While S3 is away it is what was
    active when it last answered.
    """
    if _is_named(settings):
        return None
    kept = _last_seen(settings)
    try:
        active = read_active(ObjectStore.from_settings(settings)).active
    except NotConfigured:
        return None
    except ObjectStoreError as error:
        log.warning("S3 does not tell the active adapter", reason=error.message, used=str(kept))
        try:
            return Choice.model_validate_json(kept.read_bytes())
        except (OSError, ValueError):
            return None
    kept.parent.mkdir(parents=True, exist_ok=True)
    if active is None:
        kept.unlink(missing_ok=True)
        return None
    kept.write_text(Choice(adapter=active.adapter, sha256=active.sha256).model_dump_json(), encoding="utf-8")
    return active


def to_serve(settings: Settings) -> Adapter | None:
    """The adapter that a server of these settings serves now, verified; None: the bare base.

    Raises AdapterError, ObjectStoreAway when it has to be fetched and cannot be.
    """
    choice = wanted(settings)
    if choice is None:
        return of_the_settings(settings)
    if choice.adapter is None:
        return None
    shipped = of_the_settings(settings)
    if shipped and (shipped.served_name, shipped.digest) == (choice.adapter, choice.sha256):
        return shipped
    cached = settings.cache / "adapters" / choice.adapter
    if (cached / CARD).is_file():
        adapter = load_adapter(str(cached))
        _check(adapter, choice, settings)
        return adapter
    return fetch(ObjectStore.from_settings(settings), choice, settings)


def write_comparison(folder: Path, comparison: dict[str, Any]) -> None:
    """Add a comparison to the card of the adapter in a folder, in place of an earlier one with the same adapter and data."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    key = (comparison["with"]["sha256"], comparison["data"])
    kept = [each for each in card.get("comparisons") or () if (each["with"]["sha256"], each["data"]) != key]
    card["comparisons"] = [*kept, comparison]
    partial = folder / f".{CARD}.part"
    partial.write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / CARD)
