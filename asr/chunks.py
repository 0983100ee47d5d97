"""A long recording's finished windows, kept on S3 until the whole is done, so that no worker listens to them twice."""

import gzip
import zlib
from dataclasses import dataclass
from typing import Protocol

from pydantic import TypeAdapter

from asr.phantoms import Heard
from yuqing.objects import ObjectMissing, ObjectStore

PREFIX = "partial/asr/"


@dataclass(frozen=True)
class Chunk:
    """What was heard in one window: seconds from the recording's start, and the language of each segment."""

    start_s: float
    end_s: float
    heard: tuple[Heard, ...]
    languages: tuple[str, ...]


_CHUNK = TypeAdapter(Chunk)


class Chunks(Protocol):
    """Where finished windows are kept."""

    def find(self, start_s: float) -> Chunk | None:
        """What an earlier run heard in the window that begins there."""
        ...

    def keep(self, chunk: Chunk) -> None:
        """Keep a finished window."""
        ...


class Nowhere:
    """For a file that somebody names on the command line: nothing is kept."""

    def find(self, start_s: float) -> Chunk | None:
        """Nothing."""
        return None

    def keep(self, chunk: Chunk) -> None:
        """Let go."""


@dataclass(frozen=True)
class StoredChunks:
    """partial/asr/<sha256>/<options>/<start in ms>.json.gz; the same sound and options give the same windows and words."""

    store: ObjectStore
    media_sha256: str
    options_hash: str

    @property
    def _folder(self) -> str:
        return f"{PREFIX}{self.media_sha256}/{self.options_hash}/"

    def _key(self, start_s: float) -> str:
        return f"{self._folder}{round(start_s * 1000):010}.json.gz"

    def find(self, start_s: float) -> Chunk | None:
        """See Chunks. Raises ObjectStoreAway."""
        key = self._key(start_s)
        try:
            return _CHUNK.validate_json(gzip.decompress(self.store.get(key)))
        except ObjectMissing:
            return None
        except (ValueError, OSError, EOFError, zlib.error):  # damaged: the window is listened to again
            self.store.delete(key)
            return None

    def keep(self, chunk: Chunk) -> None:
        """See Chunks; one that another worker kept first stays. Raises ObjectStoreAway."""
        data = gzip.compress(_CHUNK.dump_json(chunk), mtime=0)
        self.store.put(self._key(chunk.start_s), data, content_type="application/gzip", only_if_absent=True)

    def remove(self) -> None:
        """Forget the recording's, with other options too: it is written down, or never will be. Raises ObjectStoreAway."""
        for item in list(self.store.list(f"{PREFIX}{self.media_sha256}/")):
            self.store.delete(item.key)
