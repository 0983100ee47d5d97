"""Lines that many articles of a site share are the site's own: learned from a batch, which holds one site's pages."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from yuqing.settings import CleaningSettings

# A text as its lines' hashes (64 bits) and lengths: enough to learn from, and nothing that anybody could read.
Lines = Sequence[tuple[int, int]]

# Whoever testifies against a line has mostly lines of its own: a reprint with a new lead would testify against the
# text that it shares with the other copies.
_OWN_SHARE = 0.5


def site_lines(texts: Sequence[str], settings: CleaningSettings, earlier: Sequence[Lines] = ()) -> frozenset[str]:
    """The lines of the texts that stand in many different articles of the site, in whatever order these come.

    `earlier` are further texts of the site. Copies of one article count once: articles are told apart by the longest line
    that is theirs alone (that fewer than `site_line_pages` texts have). A text that mostly consists of shared lines, such as
    one more copy of a reprint, does not count at all. Few texts teach nothing.
    """
    pages = [*map(hashed, texts), *earlier]
    counts = Counter(line for page in pages for line in set(page))
    shared = {line for line, count in counts.items() if count >= settings.site_line_pages}
    witnesses: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for page in pages if shared else ():
        own = [line for line in page if line not in shared]
        if _characters(own) < _OWN_SHARE * _characters(page):
            continue
        article = max(own, key=lambda line: (line[1], line[0]), default=(0, 0))
        for line in shared.intersection(page):
            witnesses.setdefault(line, set()).add(article)
    needed = max(settings.site_line_pages, settings.site_line_share * len(pages))
    learned = {line for line, articles in witnesses.items() if len(articles) >= needed}
    return (
        frozenset(line for text in texts for line in text.split("\n") if _hashed(line) in learned)
        if learned
        else frozenset()
    )


def hashed(text: str) -> Lines:
    """What is learned from, of a text."""
    return [_hashed(line) for line in text.split("\n")]


def _hashed(line: str) -> tuple[int, int]:
    digest = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big"), len(line)


def _characters(lines: Lines) -> int:
    return sum(length for _, length in lines)


def without_lines(text: str, lines: frozenset[str]) -> str:
    """A text without these lines."""
    return "\n".join(line for line in text.split("\n") if line not in lines) if lines else text
