"""The active adapter: its file, the races for it, and whether a server serves it. On real S3."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from yuqing.adapters import (
    ACTIVE,
    ActiveConflict,
    AdapterError,
    activate,
    folder_of,
    read_active,
    roll_back,
    serves,
    stored,
)
from yuqing.objects import ObjectStore

SHA = {"v1": "1" * 64, "v2": "2" * 64}


@pytest.fixture
def pushed(store: ObjectStore) -> ObjectStore:
    for name, sha256 in SHA.items():
        store.put(folder_of(name) + "card.json", json.dumps({"sha256": sha256}).encode())
    store.put("adapters/half/adapter_config.json", b"{}")  # pushing it was broken off
    return store


@pytest.mark.service
def test_adapters_follow_each_other_and_come_back(pushed: ObjectStore) -> None:
    assert read_active(pushed).active is None
    assert stored(pushed) == ["v1", "v2"]
    with pytest.raises(AdapterError, match="no earlier adapter"):
        roll_back(pushed, by="operator")
    first = activate(pushed, "v1", by="operator")
    assert (first.adapter, first.sha256, first.generation, first.previous) == ("v1", SHA["v1"], 1, None)
    assert activate(pushed, "v1", by="another") == first  # it was active already
    second = activate(pushed, "v2", by="operator")
    assert (second.generation, second.previous and second.previous.adapter) == (2, "v1")
    back = roll_back(pushed, by="operator")
    assert (back.adapter, back.sha256, back.generation) == ("v1", SHA["v1"], 3)
    assert activate(pushed, None, by="operator").adapter is None
    assert read_active(pushed).active == activate(pushed, None, by="operator")


@pytest.mark.service
def test_of_changes_at_the_same_time_one_wins(pushed: ObjectStore) -> None:
    def change(name: str | None) -> str | None:
        try:
            return activate(pushed, name, by="race", seen=seen).adapter
        except ActiveConflict:
            return "lost"

    seen = read_active(pushed)
    for names in (["v1", "v2", "v1", "v2"], [None, None, None, None]):
        with ThreadPoolExecutor(4) as racers:
            outcomes = list(racers.map(change, names))
        assert outcomes.count("lost") == 3
        seen = read_active(pushed)
        assert seen.active and [seen.active.adapter] == [name for name in outcomes if name != "lost"]
    pushed.delete(ACTIVE)  # whoever has seen a file that is gone has lost too
    assert change("v1") == "lost"


@pytest.mark.service
def test_what_is_not_there_or_broken_is_named(pushed: ObjectStore) -> None:
    for name, reason in (("v3", "no adapter v3"), ("half", "there are: v1, v2"), ("../v1", "no adapter's name")):
        with pytest.raises(AdapterError) as told:
            activate(pushed, name, by="operator")
        assert reason in str(told.value)
    pushed.put("adapters/v2/card.json", b'{"sha256": "short"}')
    with pytest.raises(AdapterError, match="names no sha256"):
        activate(pushed, "v2", by="operator")
    for data, reason in ((b"{", "Invalid JSON"), (b'{"adapter": "v1"}', "generation"), (b"[]", "file")):
        pushed.put(ACTIVE, data)
        with pytest.raises(AdapterError, match=reason):
            activate(pushed, "v1", by="operator")


@pytest.mark.parametrize(
    ("cards", "adapter", "expected"),
    [
        ([{"id": "yuqing", "root": "/cache/base+v1"}], "v1", True),
        ([{"id": "yuqing", "root": "/cache/base+v1/"}], "v2", False),
        ([{"id": "yuqing", "root": "/cache/base+v1"}], None, False),
        ([{"id": "yuqing", "root": "/cache/base"}], None, True),
        ([{"id": "yuqing", "root": "/cache/base"}], "v1", False),
        ([{"id": "b", "root": "/b"}, {"id": "v1", "root": "/adapters/11aa", "parent": "b"}], "v1", True),
        ([{"id": "b", "root": "/b"}, {"id": "active", "root": "/adapters/v2", "parent": "b"}], "v2", True),
        ([{"id": "b", "root": "/b"}, {"id": "v1", "root": "/adapters/v1", "parent": "b"}], None, False),
        ([], None, False),
        ([{}], "v1", False),
    ],
)
def test_what_a_server_serves(cards: list[dict[str, Any]], adapter: str | None, expected: bool) -> None:
    assert serves(cards, adapter) is expected
