"""Addresses that another crawler has fetched: one JSON list or object of URLs becomes a segment."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crawler.canonical import site_address, url_hash
from crawler.seen.hashes import Hashes, sort_and_unite
from crawler.seen.loading import load
from crawler.seen.segments import imported_key
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.sites import Site

_NAMED = 20  # bad entries that are named; all are counted
_SHOWN = 80  # characters of a bad entry


class BrokenImport(YuqingError):
    """The file holds no addresses that could be imported; the message says why."""


@dataclass
class Import:
    """What an import did.

    entries: of the file; new: addresses that were not settled before; known: that were, or stood in the file twice;
    articles: entries that are articles by the site's patterns; bad: entries that are no addresses, and the place in the
    file (counted from 1) and the reason of the first ones.
    """

    site: str
    entries: int = 0
    new: int = 0
    known: int = 0
    articles: int = 0
    bad: int = 0
    first_bad: list[tuple[int, str]] = field(default_factory=list)
    segment: str | None = None


def import_addresses(store: ObjectStore, site: Site, path: Path) -> Import:
    """Settle the addresses of a file; entries that are none are left out and named. Repeating it changes nothing.

    The file is one JSON list of URLs, or one object whose keys are URLs. It is held in memory as a whole, and 8 bytes
    an address beside it. Raises BrokenImport, ObjectStoreAway.
    """
    result = Import(site.name)
    hashes = array("Q", _hashes(path, site, result))
    if not hashes:
        example = "".join(f"; entry {place}: {reason}" for place, reason in result.first_bad[:1])
        raise BrokenImport(
            f"{path} holds no address among {result.entries} entries{example}",
            cure='give a JSON list ["https://…", …], or an object whose keys are the addresses',
        )
    distinct: Hashes = sort_and_unite(np.frombuffer(hashes, dtype=np.uint64).copy())
    new = load(store, site).unseen(distinct)
    result.new, result.known = len(new), len(hashes) - len(new)
    if len(new):
        result.segment = imported_key(site.name, new_ulid())
        store.put(result.segment, new.tobytes(), content_type="application/octet-stream")
    return result


def _hashes(path: Path, site: Site, result: Import) -> Iterator[int]:
    for entry in _entries(path):
        result.entries += 1
        try:
            if not isinstance(entry, str):
                raise ValueError(f"no text: {entry!r}")
            address = site_address(site, entry)
        except ValueError as problem:
            result.bad += 1
            if len(result.first_bad) < _NAMED:
                result.first_bad.append((result.entries, _shortened(str(problem))))
            continue
        result.articles += site.is_article(address)
        yield url_hash(address)


def _entries(path: Path) -> Iterator[object]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as problem:
        raise BrokenImport(f"{path} cannot be read: {problem.strerror}", cure="check its path") from problem
    except UnicodeDecodeError as problem:
        raise BrokenImport(f"{path} is not UTF-8 at byte {problem.start}", cure="save it as UTF-8") from problem
    except ValueError as problem:
        raise BrokenImport(
            f"{path} is no JSON: {problem}",
            cure="repair it there; a file that was cut off can be ended by hand after its last whole entry",
        ) from problem
    except RecursionError as problem:
        raise BrokenImport(f"{path} is nested too deeply", cure="give one flat list of addresses") from problem
    if not isinstance(content, list | dict):
        raise BrokenImport(f"{path} is neither a JSON list nor an object", cure='give ["https://…", …]')
    yield from content


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
