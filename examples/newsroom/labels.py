"""The human labels of what the newsroom serves, for measuring agreement. No page ever contains them."""

from __future__ import annotations

from collections.abc import Mapping

from examples.newsroom.edition import edition
from examples.newsroom.inews import Sentiment, read_labels


def labels(base_urls: Mapping[str, str]) -> dict[str, Sentiment]:
    """{canonical URL: the label of its text}, reprints included, the two recordings' pages not.

    `base_urls` is what the port file holds ({"finance": "http://127.0.0.1:8800", ...}). Raises DatasetError.
    """
    sentiments = read_labels()
    return {
        base_urls[article.medium] + article.path: sentiments[article.number]
        for article in edition().articles
        if article.number is not None
    }
