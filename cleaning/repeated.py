"""Lines that many articles of a site share are the site's own: learned from a batch, which holds one site's pages."""

from collections import Counter
from collections.abc import Sequence

from yuqing.settings import CleaningSettings

# Whoever testifies against a line has mostly lines of its own: a reprint with a new lead would testify against the
# text that it shares with the other copies.
_OWN_SHARE = 0.5


def site_lines(texts: Sequence[str], settings: CleaningSettings) -> frozenset[str]:
    """The lines that stand in many different articles of the texts, in whatever order these come.

    Copies of one article count once: articles are told apart by the longest line that is theirs alone (that fewer than
    `site_line_pages` texts have). A text that mostly consists of shared lines, such as one more copy of a reprint, does
    not count at all. Few texts teach nothing.
    """
    pages = Counter(line for text in texts for line in set(text.split("\n")))
    shared = {line for line, count in pages.items() if count >= settings.site_line_pages}
    witnesses: dict[str, set[str]] = {}
    for text in texts if shared else ():
        lines = text.split("\n")
        own = [line for line in lines if line not in shared]
        if sum(map(len, own)) < _OWN_SHARE * sum(map(len, lines)):
            continue
        article = max(own, key=lambda line: (len(line), line), default="")
        for line in shared.intersection(lines):
            witnesses.setdefault(line, set()).add(article)
    needed = max(settings.site_line_pages, settings.site_line_share * len(texts))
    return frozenset(line for line, articles in witnesses.items() if len(articles) >= needed)


def without_lines(text: str, lines: frozenset[str]) -> str:
    """A text without these lines."""
    return "\n".join(line for line in text.split("\n") if line not in lines) if lines else text
