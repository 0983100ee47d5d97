"""Hub pages and channel lists, of HTML or JSON, with pagination: by the rules of the site's file."""

from __future__ import annotations

from collections.abc import Iterator

from parsel import Selector
from scrapy import Request
from scrapy.http import Response

from crawler.site_crawler import LIST
from crawler.spiders.listing import base_address, html_entries, json_entries, linked_addresses
from crawler.spiders.source import Source
from yuqing.sites import PAGE_PLACEHOLDER, ListPage


class Lists(Source):
    """`start_urls` and `lists`."""

    name = "site"
    role = LIST

    def start(self) -> Iterator[Request]:
        for url in self.site.start_urls:
            yield self.request(url, self.parse, rule=ListPage(url=url))
        for rule in self.site.lists:
            yield self.request(rule.url, self.parse, rule=rule)
            if rule.page_urls:
                for number in range(2, rule.pages + 1):
                    yield self.request(rule.page_urls.replace(PAGE_PLACEHOLDER, str(number)), self.parse, rule=rule)

    def parse(self, response: Response, rule: ListPage, number: int = 1) -> Iterator[Request]:
        """Articles that a list announces, and the list's next page."""
        text = self.spider.text(response)
        if rule.json_items:
            yield from self.articles(json_entries(text, response.url, rule.json_items), response)
            return
        page = Selector(text, type="html")
        base = base_address(page, response.url)
        yield from self.articles(html_entries(page, base, rule.links), response)
        if rule.next and number < rule.pages:
            following = next(iter(linked_addresses(page.css(rule.next), base)), None)
            if following:
                yield self.request(following, self.parse, response, rule=rule, number=number + 1)
