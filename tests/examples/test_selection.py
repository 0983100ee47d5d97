"""Which texts are published."""

import pytest

from examples.newsroom import selection
from examples.newsroom.inews import Sample
from examples.newsroom.watchlist import Company

SENTENCE = "公司负责人介绍，新厂区将于明年春天投入使用，届时可以提供三百个就业岗位。"


def sample(number: int = 0, title: str = "新厂区明年投入使用", content: str = SENTENCE * 8) -> Sample:
    return Sample(number, title, content)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("华为胡厚崑：移动技术正在重塑世界_搜狐科技_搜狐网", "华为胡厚崑：移动技术正在重塑世界"),
        ("非法收购滥伐林木也构成犯罪 - 青海普法网", "非法收购滥伐林木也构成犯罪"),
        ("媒体曝诈骗短信不断升级-北流新闻网 - 主流...", "媒体曝诈骗短信不断升级"),
        ("> 十分钟看懂时序数据库(iv)- 分级存储", "十分钟看懂时序数据库(iv)- 分级存储"),
        ("短_标题", "短_标题"),
    ],
)
def test_the_headline_loses_the_other_sites_name(title: str, expected: str) -> None:
    assert selection.headline(title) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("一。\\n二。\n三。", ("一。", "二。", "三。")),
        ("　　一。　　二。", ("一。", "二。")),
        ("一。二！三？四。", ("一。二！三？", "四。")),
        ("他说：“好。”走了。完。尾巴", ("他说：“好。”走了。完。", "尾巴")),
    ],
)
def test_paragraphs(content: str, expected: tuple[str, ...]) -> None:
    assert selection.paragraphs(content) == expected


def test_no_character_of_a_content_is_lost_in_its_paragraphs() -> None:
    content = "甲，乙。丙！”丁？戊……己\n庚"
    assert "".join(selection.paragraphs(content)) == content.replace("\n", "")


@pytest.mark.parametrize(
    "refused",
    [
        sample(content="太短。"),
        sample(content=SENTENCE * 100),
        sample(title="短"),
        sample(title="澳门赌场开户送彩金"),
        sample(title="诺曼底登陆 私生饭：诺曼底登陆"),
        sample(content=SENTENCE * 8 + "联系电话13800138000。"),
        sample(content="abcdefgh ijkl. " * 40),
        sample(content="关键词，" * 100),
    ],
)
def test_what_is_no_article_is_not_published(refused: Sample) -> None:
    assert not selection.is_publishable(refused)


def test_an_ordinary_article_is_published() -> None:
    assert selection.is_publishable(sample())


def test_the_same_text_is_published_once() -> None:
    other = "市民们在河边散步，孩子们放起了风筝，春天的气息越来越浓，游客也多了起来。"
    copies = [sample(1), sample(2, content=SENTENCE * 8 + other), sample(3, content=other * 8)]
    assert [story.number for story in selection.without_repetitions(copies)] == [1, 2, 3]
    second = "记者从会上获悉，今年全市计划新建改建农村公路一百二十公里，总投资超过两亿元。"
    copies = [sample(1, content=(SENTENCE + second) * 4), sample(2, content=(SENTENCE + second) * 3)]
    assert [story.number for story in selection.without_repetitions(copies)] == [1]


def test_a_name_inside_an_exclude_word_is_no_mention() -> None:
    apple = Company("苹果公司", ("苹果", "iPhone"), ("苹果树", "吃苹果"))
    assert apple.is_mentioned("据苹果代工厂透露")
    assert apple.is_mentioned("新款IPHONE开售")
    assert apple.is_mentioned("他坐在苹果树下玩苹果手机")
    assert not apple.is_mentioned("院子里有一棵苹果树，孩子们爱吃苹果")
