"""What is the site's and what is the article's."""

import pytest

from cleaning.boilerplate import ends_article, is_boilerplate, without_editor


@pytest.mark.parametrize(
    "line",
    [
        "责任编辑：王芳",
        "（责编：王芳、李明）",
        "来源：新华社",
        "免责声明：本文仅代表作者个人观点",
        "未经授权，不得转载",
        "扫一扫，关注我们的公众号",
        "分享到：微信 微博",
        "【打印本页】 【关闭窗口】",
        "上一篇：今日天气",
        "当前位置：首页 > 新闻",
        "2011年06月08日 09:15 来源：江城晚报 作者：陈立新",
        "2024-06-03 18:05:33",
        "2025年1月26日 下午6:22 作者 沈亦舟 来源 弧光科技 · 责编 冯野",
    ],
)
def test_lines_of_the_site(line: str) -> None:
    assert is_boilerplate(line)


@pytest.mark.parametrize(
    "line",
    [
        "举报人称，公司的财务数据存在问题。",
        "声明中表示，公司将积极配合调查。",
        "扫码支付已经成为人们生活的一部分，在县城的菜市场里也随处可见，摊主们说这样省去了找零的麻烦，也不用担心收到假币。",
        "编辑部收到了读者的来信。",
        "记者从发布会上获悉，该项目将于年底完工。",
        "来源于生活的灵感，让她的作品充满温度。",
        "2024年6月3日，公司发布公告称，控股股东拟减持不超过百分之二的股份。",
        "分享经济的浪潮正在退去，留下的是真正解决问题的公司，这是多位投资人在论坛上的共识。",
    ],
)
def test_lines_of_the_article(line: str) -> None:
    assert not is_boilerplate(line)
    assert not ends_article(line)


def test_headings_of_other_articles() -> None:
    assert ends_article("【相关阅读】")
    assert ends_article("延伸閱讀".replace("閱讀", "阅读") + "：")
    assert not ends_article("相关报道在网上引起了热议，许多人表示不能理解。")


def test_editors_at_the_end_of_a_line() -> None:
    assert without_editor("他这样说。（责任编辑：王芳）") == "他这样说。"
    assert (
        without_editor("他担任编辑：这是他的第一份工作，他做了十年。") == "他担任编辑：这是他的第一份工作，他做了十年。"
    )
