"""`yuqing k8s render`: the sites' CronJobs."""

import os
import subprocess
from collections import Counter
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from yaml import safe_load_all

from tests.deploy.rendered import K8S, kubectl, template_of
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


def test_sites_of_ones_own_reach_those_who_read_them(tmp_path: Path) -> None:
    """The overlay that docs/deploy.md describes."""
    (tmp_path / "own.yaml").write_text("name: own\n")
    above = os.path.relpath(K8S, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{above}/overlays/production]\ncomponents: [{above}/components/own-sites]\nnamespace: yuqing\n"
        "configMapGenerator: [{name: sites, files: [own.yaml]}]\n"
    )
    answer = subprocess.run([kubectl(), "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    objects = [found for found in safe_load_all(answer.stdout) if found]
    (sites,) = [item["metadata"]["name"] for item in objects if "own.yaml" in item.get("data", {})]
    readers = set()
    for item in objects:
        spec = (template_of(item) or {"spec": {}})["spec"]
        container = spec.get("containers", [{}])[0]
        variables = {variable["name"]: variable.get("value") for variable in container.get("env", ())}
        if variables.get("YUQING_CRAWLER__SITES_FOLDERS") == '["/etc/yuqing/sites"]':
            readers.add(item["metadata"]["labels"]["app.kubernetes.io/component"])
            assert {"name": "sites", "configMap": {"name": sites}} in spec["volumes"]
            assert any(mount["mountPath"] == "/etc/yuqing/sites" for mount in container["volumeMounts"])
    assert readers == {"crawl", "seen", "gateway"}
