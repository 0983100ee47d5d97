"""The technology medium's script, run by a real browser."""

import subprocess
from html import unescape
from pathlib import Path

import pytest

from examples.newsroom.edition import edition

pytestmark = pytest.mark.service


def rendered(url: str, profile: Path) -> str:
    """The page's document after its script has run."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", url]
    return unescape(subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode())


def test_an_article_appears(newsroom: dict[str, str], tmp_path: Path) -> None:
    article = edition().of("tech")[0]
    page = rendered(newsroom["tech"] + article.path, tmp_path)
    assert '<div id="app" data-state="ready">' in page
    assert f"<h1>{article.title}</h1>" in page
    assert all(f"<p>{paragraph}</p>" in page for paragraph in article.paragraphs)


def test_a_list_appears_and_leads_to_the_next(newsroom: dict[str, str], tmp_path: Path) -> None:
    page = rendered(newsroom["tech"] + "/", tmp_path)
    assert page.count('class="card-link"') == 8
    assert '<a class="more" href="/list/2">' in page
    last = rendered(newsroom["tech"] + "/list/3", tmp_path)
    assert last.count('class="card-link"') == 4
    assert 'class="more"' not in last
