"""`yuqing k8s render`: the sites' CronJobs."""

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deploy.rendered import K8S
from yuqing.cluster.render import groups, render, shortest_pause, sites_of
from yuqing.settings import load_settings
from yuqing.sites import Site

SCHEDULES = ["*/10 * * * *", "*/30 * * * *", "5 8-20 * * 1-5", "0 4 * * *"]


def site(name: str, schedule: str, browser: bool = False) -> Site:
    rules = [{"urls": "https?://a"}] if browser else []
    return Site.model_validate(
        {
            "name": name,
            "title": name,
            "schedule": schedule,
            "start_urls": ["https://a.cn/"],
            "articles": ["https?://a"],
            "browser": rules,
        }
    )


SITES = st.lists(
    st.builds(site, st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), st.sampled_from(SCHEDULES), st.booleans()),
    unique_by=lambda found: found.name,
    max_size=40,
)


def test_the_file_is_what_the_sites_say() -> None:
    written = (K8S / "base" / "crawl" / "cronjobs.yaml").read_text()
    sites = list(sites_of(load_settings()).values())
    assert written == render(sites, 20), "run: yuqing k8s render --output deploy/k8s/base/crawl/cronjobs.yaml"


@settings(max_examples=30, deadline=None)
@given(SITES, st.integers(1, 10))
def test_every_site_is_crawled_once_at_its_time(sites: list[Site], most: int) -> None:
    found = groups(sites, most)
    assert Counter(name for group in found for name in group.sites) == Counter(item.name for item in sites)
    by_name = {item.name: item for item in sites}
    for group in found:
        assert {by_name[name].schedule for name in group.sites} == {group.schedule}
        assert {bool(by_name[name].browser) for name in group.sites} == {group.browser}
    names = [group.name for group in found]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 52 for name in names), "a CronJob adds eleven characters, and 63 are allowed"
    assert found == groups(list(reversed(sites)), most)


def test_a_site_that_comes_moves_no_other() -> None:
    sites = [site(f"site{number}", SCHEDULES[0]) for number in range(25)]
    before = {name: group.name for group in groups(sites, 20) for name in group.sites}
    after = {name: group.name for group in groups([*sites, site("another", SCHEDULES[0])], 20) for name in group.sites}
    assert before.items() <= after.items()


def test_pauses() -> None:
    assert shortest_pause("*/10 * * * *") == timedelta(minutes=10)
    assert shortest_pause("0 4,6 * * *") == timedelta(hours=2)
    assert shortest_pause("0 4 * * *") == timedelta(days=1)
