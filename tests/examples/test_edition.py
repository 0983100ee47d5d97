"""What the newsroom publishes, before any page is made of it."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from zlib import crc32

import pytest

from examples.newsroom import inews, labels
from examples.newsroom.edition import CHANNELS, REFERENCE, Article, Edition, edition
from examples.newsroom.watchlist import read_watchlist
from yuqing.text.matcher import Matcher
from yuqing.text.normalise import normalise


@pytest.fixture(scope="module")
def published() -> Edition:
    return edition()


def shingles(article: Article) -> set[str]:
    text = "".join(article.paragraphs)
    return {text[start : start + 3] for start in range(len(text) - 2)}


def similarity(one: Article, other: Article) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def test_enough_different_articles(published: Edition) -> None:
    numbers = [
        article.number for article in published.articles if article.number is not None and not article.reprint_of
    ]
    assert len(numbers) == len(set(numbers)) >= 160
    assert Counter(article.medium for article in published.articles)["tech"] == 20
    assert all(published.of(medium, channel) for medium, channels in CHANNELS.items() for channel in channels)


def test_addresses_are_unique(published: Edition) -> None:
    addresses = Counter((article.medium, article.path) for article in published.articles)
    addresses += Counter((article.medium, article.old_path) for article in published.articles if article.old_path)
    addresses["portal", published.broken.path] += 1
    assert set(addresses.values()) == {1}


def test_times_are_plausible_and_newest_first(published: Edition) -> None:
    times = [article.published for article in published.articles]
    assert times == sorted(times, reverse=True)
    assert all(REFERENCE - timedelta(weeks=6, days=1) < time < REFERENCE for time in times)
    assert all(time.hour >= 6 for time in times)


def test_reprints_are_similar_but_not_equal_and_later(published: Edition) -> None:
    originals = {f"{article.medium}/{article.identifier}": article for article in published.articles}
    reprints = [article for article in published.articles if article.reprint_of]
    assert len(reprints) >= 6
    for copy in reprints:
        original = originals[copy.reprint_of or ""]
        assert copy.medium != original.medium
        assert copy.number == original.number
        assert copy.title != original.title
        assert copy.paragraphs[-1] == f"（来源：{original.source}）"
        assert original.published < copy.published
        assert 0.85 < similarity(original, copy) < 1


def test_nothing_else_is_nearly_equal(published: Edition) -> None:
    originals = [article for article in published.articles if not article.reprint_of]
    # One shingle in eight, always the same ones: an eighth of the work, and the same question.
    cut = {a.path: {shingle for shingle in shingles(a) if crc32(shingle.encode()) % 8 == 0} for a in originals}
    for position, one in enumerate(originals):
        for other in originals[:position]:
            common = len(cut[one.path] & cut[other.path])
            assert common < 0.4 * len(cut[one.path] | cut[other.path]), (one.title, other.title)


@dataclass(frozen=True)
class _Watched:
    id: int
    name: str
    aliases: tuple[str, ...]
    exclude_words: tuple[str, ...]
    query: str | None = None


def test_the_watchlist_gives_the_demonstration_its_verdicts(published: Edition) -> None:
    companies = read_watchlist()
    matcher = Matcher([_Watched(n, c.name, c.aliases, c.exclude_words) for n, c in enumerate(companies)])
    pairs = {
        (article.path, companies[mention.company_id].name)
        for article in published.articles
        if not article.reprint_of
        for mention in matcher.mentions(normalise(article.title).text, normalise("\n".join(article.paragraphs)).text)
    }
    expected = {
        (article.path, company.name)
        for article in published.articles
        if not article.reprint_of
        for company in companies
        if company.is_mentioned(article.text)
    }
    assert pairs == expected
    assert 48 <= len(pairs) <= 60
    assert 42 <= len({path for path, _ in pairs}) <= 52
    assert {name for _, name in pairs} == {company.name for company in companies}


def test_every_label_belongs_to_a_page_and_the_recordings_have_none(published: Edition) -> None:
    base_urls = {"finance": "http://f", "portal": "http://p", "tech": "http://t"}
    found = labels(base_urls)
    assert len(found) == len(published.articles) - 2
    sentiments = inews.read_labels()
    for article in published.articles:
        url = base_urls[article.medium] + article.path
        assert found.get(url) == (None if article.number is None else sentiments[article.number])


def test_the_choice_does_not_look_at_labels(published: Edition, monkeypatch: pytest.MonkeyPatch) -> None:
    read = inews._read
    monkeypatch.setattr(inews, "_read", lambda path: (*read(path)[:2], [0] * 999))
    edition.cache_clear()
    try:
        assert edition() == published
    finally:
        edition.cache_clear()
