"""Site definitions for the crawler, written for the ports that the newsroom was given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from re import escape

import yaml

SITE_NAMES = {"finance": "newsroom-finance", "portal": "newsroom-portal", "tech": "newsroom-tech"}


def write_sites(folder: Path, base_urls: Mapping[str, str]) -> list[Path]:
    """Write the three media's YAML files into `folder` (made when missing) and return their paths.

    `base_urls` is what the port file holds. The same URLs give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for medium, site in definitions(base_urls).items():
        path = folder / f"{SITE_NAMES[medium]}.yaml"
        path.write_text(yaml.safe_dump(site, allow_unicode=True, sort_keys=False, width=120), encoding="utf-8")
        paths.append(path)
    return paths


def definitions(base_urls: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """{medium: its site definition}, by the schema of yuqing.sites."""
    finance, portal, tech = base_urls["finance"], base_urls["portal"], base_urls["tech"]
    local: dict[str, object] = {"delay": 0, "concurrency": 8, "allow_private_addresses": True}
    return {
        "finance": {
            "name": SITE_NAMES["finance"],
            "title": "岚港财经",
            "media_type": "finance",
            "start_urls": [f"{finance}/"],
            "lists": [
                {
                    "url": f"{finance}/{channel}/",
                    "links": "ul.news-list a.title",
                    "next": "div.pager a.next",
                    "pages": 10,
                }
                for channel in ("stock", "company", "money")
            ],
            "search": [{"url": f"{finance}/so/?q={{name}}", "links": "ul.results", "encoding": "gb18030"}],
            "articles": [rf"{escape(finance)}/(stock|company|money)/\d{{4}}-\d\d-\d\d/doc-[0-9a-f]{{12}}\.html$"],
            "fields": {"title": "h1#artibodyTitle", "author": "#author", "published_at": "#pub_date"},
            **local,
        },
        "portal": {
            "name": SITE_NAMES["portal"],
            "title": "汀洲新闻网",
            "media_type": "news",
            "lists": [
                {"url": f"{portal}/{channel}/", "links": "div.feed h3 a", "next": "nav.pages a[rel=next]", "pages": 10}
                for channel in ("society", "china", "world", "culture")
            ],
            "feeds": [f"{portal}/rss/news.xml"],
            "sitemaps": [f"{portal}/sitemap_index.xml"],
            "sitemap_days": 36_500,  # the edition is of one day, and read on any
            # The second is for addresses that redirect to the first; the internal ones are robots.txt's to forbid.
            "articles": [
                rf"{escape(portal)}/(internal/)?a/\d{{8}}/\d{{6}}\.shtml$",
                rf"{escape(portal)}/html/\d{{4}}/\d\d/\d\d/\d{{6}}\.htm$",
            ],
            "fields": {"title": "article h1", "published_at": "article .info time"},
            **local,
        },
        "tech": {
            "name": SITE_NAMES["tech"],
            "title": "弧光科技",
            "media_type": "technology",
            "lists": [{"url": f"{tech}/", "links": "#app a.card-link", "next": "#app a.more", "pages": 10}],
            "articles": [rf"{escape(tech)}/p/\d+$"],
            "browser": [{"urls": rf"{escape(tech)}/(list/\d+|p/\d+)?$", "wait_for": '#app[data-state="ready"]'}],
            "fields": {"title": "#app h1"},
            **(local | {"concurrency": 2}),
        },
    }
