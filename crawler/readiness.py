"""Which sites can be crawled where the crawler runs: their variables are in the environment, and Chromium where they need it."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.browser import check_browser
from crawler.environment import with_environment
from yuqing.errors import YuqingError
from yuqing.settings import CrawlerSettings
from yuqing.sites import Site

LeftOut = tuple[str, YuqingError]  # a site's name, and why it cannot be crawled


def ready(sites: Sequence[Site], options: CrawlerSettings, *, leave_out: bool) -> tuple[list[Site], list[LeftOut]]:
    """(the sites with the values of their variables, those that cannot be crawled here and why).

    Without `leave_out` the first of the latter is raised: SiteError or BrowserMissing.
    """
    fit: list[Site] = []
    unfit: list[LeftOut] = []
    for site in sites:
        try:
            filled = with_environment(site)
            if site.browser:
                check_browser(options)
        except YuqingError as problem:
            if not leave_out:
                raise
            unfit.append((site.name, problem))
        else:
            fit.append(filled)
    return fit, unfit
