"""The demonstration watchlist, and which of its companies a text mentions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

WATCHLIST_FILE = Path(__file__).parent / "watchlist.yaml"


@dataclass(frozen=True)
class Company:
    """A company of the watchlist as the file has it."""

    name: str
    aliases: tuple[str, ...]
    exclude_words: tuple[str, ...]

    def is_mentioned(self, text: str) -> bool:
        """Whether its name or an alias occurs outside the exclude words; letter case does not matter."""
        text = text.lower()
        for word in self.exclude_words:
            text = text.replace(word.lower(), "□" * len(word))
        return any(name.lower() in text for name in (self.name, *self.aliases))


def read_watchlist(path: Path = WATCHLIST_FILE) -> list[Company]:
    """The companies of the file, in its order."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))["companies"]
    return [Company(row["name"], tuple(row["aliases"]), tuple(row["exclude_words"])) for row in rows]
