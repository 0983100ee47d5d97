"""What a site repeats is learned from a batch, and what it republishes is not lost."""

import random

from cleaning.repeated import site_lines, without_lines
from tests.cleaning.conftest import article_text
from yuqing.settings import CleaningSettings

SETTINGS = CleaningSettings()
NOTICE = "东岸新闻网的所有内容均由其合作方依照协议提供，合作方对内容的真实性、准确性和合法性负责。"
HOTLINE = "欢迎向本栏目提供新闻线索。"


def test_lines_of_a_site_are_learned_in_any_order() -> None:
    texts = [f"{article_text(seed)}\n{HOTLINE}\n{NOTICE}" for seed in range(12)]
    assert site_lines(texts, SETTINGS) == {NOTICE, HOTLINE}
    random.Random(1).shuffle(texts)
    assert site_lines(texts, SETTINGS) == {NOTICE, HOTLINE}
    assert without_lines(texts[0], frozenset({NOTICE, HOTLINE})).count("\n") == 11


def test_short_texts_with_a_long_notice_lose_it_when_longer_ones_testify() -> None:
    texts = [f"{article_text(seed)}\n{NOTICE}" for seed in range(6)] + [
        f"快讯，第{n}号线恢复。\n{NOTICE}" for n in range(6)
    ]
    assert site_lines(texts, SETTINGS) == {NOTICE}


def test_few_pages_teach_nothing() -> None:
    assert site_lines([f"{article_text(seed)}\n{NOTICE}" for seed in range(4)], SETTINGS) == frozenset()
    assert site_lines([], SETTINGS) == frozenset()


def test_copies_of_one_article_keep_their_text() -> None:
    others = [article_text(seed) for seed in range(20)]
    copies = [article_text(100)] * 10
    with_leads = [f"{article_text(200 + n, sentences=1)}\n{article_text(100)}" for n in range(10)]
    assert site_lines(others + copies, SETTINGS) == frozenset()
    assert site_lines(others + with_leads, SETTINGS) == frozenset()


def test_a_line_that_few_of_many_pages_share_is_theirs() -> None:
    series = [f"{article_text(seed)}\n这是年终系列报道的一篇。" for seed in range(6)]
    assert site_lines(series + [article_text(seed) for seed in range(100, 200)], SETTINGS) == frozenset()
