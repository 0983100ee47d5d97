"""What is dropped, and what comes close and is kept."""

import pytest

from cleaning.quality import figures_share, reason_to_drop, spam
from tests.cleaning.conftest import article_text
from yuqing.settings import CleaningSettings

SETTINGS = CleaningSettings()
TITLE = "今天的消息"
PRICES = "\n".join(f"东区市场 白菜 每公斤 {n}.50元" for n in range(12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no main text was found"),
        ("图一。", "too short"),
        ("\n".join(f"{n}.25 {n + 1}.30 {n + 2}.41 {n + 3}.17" for n in range(30)), "mostly digits and signs"),
        (article_text(1)[:60] + "\ufffd" * 30, "unreadable"),
        ("The company said on Monday that it would recall two thousand batteries after three fires.", "not Chinese"),
        (PRICES, "a list of prices or numbers"),
        ("好消息！" + "点这里看看吧，今天就来。" * 40, "repeats itself"),
        ("本站注册送彩金，真人荷官在线，首存加倍，返水天天有，提款秒到，备用网址请收藏。", "spam: gambling"),
        ("本期双色球推荐：红球胆码零三，蓝球冷号一二，和值偏大，跨度三十，奇偶比三比三。", "spam: lottery"),
        ("全市开发票，代开发票，办证刻章，刷单日结，信用卡代还，二十四小时在线，欢迎来电咨询。", "spam: advertising"),
    ],
)
def test_dropped_with_the_reason(text: str, reason: str) -> None:
    found = reason_to_drop(TITLE, text, SETTINGS)
    assert found is not None
    assert found.startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        article_text(1),
        # A report about it is none: one or two of the words, among many others.
        "警方昨天通报，一个网络赌博团伙被捣毁。该团伙以“注册送彩金”为诱饵，通过投注平台吸引两千余人参与，涉案金额超过三亿元。"
        "办案民警介绍，嫌疑人把服务器设在境外，每隔几天更换一次网址，并雇人在社交群里散布虚假的中奖截图。",
        "福彩中心昨晚公布，双色球第二千期开出三注一等奖，其中一注落在本市，中奖者尚未兑奖，站点业主说那天来买的人不多。",
        # Figures in some lines are a report's.
        "\n".join(f"第{n}季度的营业收入保持增长，主要来自新产品的销售。\n毛利率 {n}8.5%" for n in range(6)),
        # An article among scripts and code that were left over.
        "var a = function(b) { return b.c; };\n" * 20 + article_text(1, sentences=16),
    ],
)
def test_kept(text: str) -> None:
    settings = SETTINGS.model_copy(update={"maximum_repeated_share": 1.0})
    assert reason_to_drop(TITLE, text, settings) is None


def test_links() -> None:
    assert reason_to_drop(TITLE, article_text(1), SETTINGS, link_share=0.7) == "a list of links: 70% of the text"
    assert reason_to_drop(TITLE, article_text(1), SETTINGS, link_share=0.3) is None


def test_few_lines_are_no_list() -> None:
    assert figures_share("开盘 3.50元\n收盘 3.61元") == 0
    assert figures_share(PRICES) == 1


def test_one_word_again_and_again_is_not_enough() -> None:
    assert spam("娱乐城", "娱乐城" * 30, SETTINGS) is None
