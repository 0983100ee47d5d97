"""The shipped sites: conservative, and with patterns that match articles as they are and nothing else."""

from urllib.parse import urlsplit

import pytest

from crawler.canonical import site_address
from crawler.cli import known_sites
from yuqing.settings import load_settings

SITES = known_sites(load_settings())
# site: (an article's address, or (another address of it, its address)), and pages that are none
EXAMPLES: dict[str, tuple[list[str | tuple[str, str]], list[str]]] = {
    "sina-finance": (
        [
            "https://finance.sina.com.cn/roll/2026-09-30/doc-initqvci2498775.shtml",
            "https://finance.sina.com.cn/stock/relnews/us/2024-05-01/doc-inatszkv1234567.shtml",
        ],
        ["https://finance.sina.com.cn/stock/", "https://sports.sina.com.cn/roll/2026-09-30/doc-initqvci2498775.shtml"],
    ),
    "eastmoney": (
        [
            "https://finance.eastmoney.com/a/202605243747407098.html",
            (
                "https://wap.eastmoney.com/a/202605243747407098.html",
                "https://finance.eastmoney.com/a/202605243747407098.html",
            ),
        ],
        ["https://finance.eastmoney.com/a/cywjh_2.html", "https://quote.eastmoney.com/sh600000.html"],
    ),
    "cls": (
        ["https://www.cls.cn/detail/2411748"],
        ["https://www.cls.cn/depth?id=1000", "https://www.cls.cn/telegraph"],
    ),
    "yicai": (
        [
            "https://www.yicai.com/news/102134567.html",
            "https://www.yicai.com/brief/103338745.html",
            ("https://m.yicai.com/news/102134567.html", "https://www.yicai.com/news/102134567.html"),
        ],
        ["https://www.yicai.com/news/", "https://www.yicai.com/news/gushi/"],
    ),
    "21jingji": (
        [
            "https://www.21jingji.com/article/20260605/herald/ef068dfc03c1ef553551b73d3fd6b129.html",
            (
                "https://m.21jingji.com/article/20260821/herald/05e1985fc27526ee95fe934f79d9fc3b.html",
                "https://www.21jingji.com/article/20260821/herald/05e1985fc27526ee95fe934f79d9fc3b.html",
            ),
        ],
        ["https://www.21jingji.com/channel/finance/"],
    ),
    "jiemian": (
        [
            "https://www.jiemian.com/article/13504148.html",
            ("https://m.jiemian.com/article/13504148.html", "https://www.jiemian.com/article/13504148.html"),
        ],
        ["https://www.jiemian.com/lists/4.html", "https://www.jiemian.com/article/"],
    ),
    "xinhuanet": (
        [
            "https://www.news.cn/politics/20260812/4c2c72e299ef4561915d2e507393a81f/c.html",
            "http://www.news.cn/fortune/2023-09/04/c_1212264231.htm",
        ],
        ["https://www.news.cn/politics/", "https://www.news.cn/politics/index.html"],
    ),
    "cctv": (
        ["https://news.cctv.com/2025/04/20/ARTIHi7GBycPCC559nN348nu250420.shtml"],
        ["https://news.cctv.com/china/", "https://tv.cctv.com/2024/05/01/VIDECLmtBXu8BkReYR6VUSNs240501.shtml"],
    ),
    "cctv-video": (
        ["https://tv.cctv.com/2024/05/01/VIDECLmtBXu8BkReYR6VUSNs240501.shtml"],
        ["https://tv.cctv.com/lm/xwlb/", "https://news.cctv.com/2025/04/20/ARTIHi7GBycPCC559nN348nu250420.shtml"],
    ),
    "pearvideo": (["https://www.pearvideo.com/video_1744464"], ["https://www.pearvideo.com/category_8"]),
    "thepaper": (
        [
            "https://www.thepaper.cn/newsDetail_forward_33271863",
            (
                "https://m.thepaper.cn/newsDetail_forward_33271863",
                "https://www.thepaper.cn/newsDetail_forward_33271863",
            ),
        ],
        ["https://www.thepaper.cn/channel_25950", "https://www.thepaper.cn/list_27234"],
    ),
    "netease": (
        [
            "https://www.163.com/dy/article/K7J9B3L30556EG2C.html",
            (
                "https://m.163.com/dy/article/KLFRQL7O0511CPVM.html?spss=adap_pc",
                "https://www.163.com/dy/article/KLFRQL7O0511CPVM.html",
            ),
        ],
        ["https://www.163.com/dy/media/T1234567890123.html", "https://money.163.com/stock/"],
    ),
    "sohu": (
        [
            "https://www.sohu.com/a/1082222448_122014422",
            "https://www.sohu.com/a/1032751747_100180399?scm=1019.e000a.v1.0",
            ("https://m.sohu.com/a/975015519_610300", "https://www.sohu.com/a/975015519_610300"),
        ],
        ["https://business.sohu.com/", "https://www.sohu.com/c/8/1460"],
    ),
    "tencent": (
        [
            "https://news.qq.com/rain/a/20260521A043DX00",
            ("https://new.qq.com/rain/a/20260521A043DX00", "https://news.qq.com/rain/a/20260521A043DX00"),
            ("https://new.qq.com/omn/20210521/20210521A043DX00.html", "https://news.qq.com/rain/a/20210521A043DX00"),
        ],
        ["https://news.qq.com/ch/finance/"],
    ),
    "ifeng": (
        ["https://tech.ifeng.com/c/8wzmAMchTDu", "https://finance.ifeng.com/c/8g9yLwTYDFk"],
        ["https://news.ifeng.com/shanklist/3-35197-/"],
    ),
    "36kr": (
        [
            "https://36kr.com/p/2756789012345678",
            "https://36kr.com/newsflashes/3904943542617993",
            ("https://36kr.com/p/2756789012345678?f=rss", "https://36kr.com/p/2756789012345678"),
            ("https://m.36kr.com/p/2756789012345678.html", "https://36kr.com/p/2756789012345678"),
        ],
        ["https://36kr.com/newsflashes", "https://36kr.com/information/AI/"],
    ),
    "huxiu": (
        [
            "https://www.huxiu.com/article/2912345.html",
            ("https://www.huxiu.com/article/2912345.html?f=rss", "https://www.huxiu.com/article/2912345.html"),
            ("https://m.huxiu.com/article/2912345.html", "https://www.huxiu.com/article/2912345.html"),
        ],
        ["https://www.huxiu.com/channel/103.html", "https://www.huxiu.com/article/"],
    ),
    "tmtpost": (
        ["https://www.tmtpost.com/8107419.html", "https://www.tmtpost.com/nictation/8095697.html"],
        ["https://www.tmtpost.com/tag/299080", "https://www.tmtpost.com/new"],
    ),
    "cnstock": (
        [
            "https://www.cnstock.com/commonDetail/790841",
            ("https://m.cnstock.com/commonDetail/637397", "https://www.cnstock.com/commonDetail/637397"),
        ],
        ["https://www.cnstock.com/channel/10033"],
    ),
    "stcn": (
        [
            "https://www.stcn.com/article/detail/4196224.html",
            ("https://stcn.com/article/detail/4066508.html", "https://www.stcn.com/article/detail/4066508.html"),
        ],
        ["https://www.stcn.com/article/list/yw.html"],
    ),
    "cs": (
        [
            "https://www.cs.com.cn/ssgs/gsxw/202510/t20251023_6518895.html",
            "https://www.cs.com.cn/xwzx/01/2026/09/02/detail_2026090210036393.html",
            (
                "http://cs.com.cn/xwzx/hg/202011/t20201105_6108694.html",
                "https://www.cs.com.cn/xwzx/hg/202011/t20201105_6108694.html",
            ),
        ],
        ["https://www.cs.com.cn/xwzx/hg/", "https://www.cs.com.cn/xwzx/hg/index_1.html"],
    ),
    "zqrb": (
        [
            "http://www.zqrb.cn/finance/hangyedongtai/2026-06-24/A1782232025901.html",
            (
                "http://m.zqrb.cn/gscy/qiyexinxi/2025-10-24/A1761269742719.html",
                "http://www.zqrb.cn/gscy/qiyexinxi/2025-10-24/A1761269742719.html",
            ),
        ],
        ["http://www.zqrb.cn/finance/hongguanjingji/index.html"],
    ),
    "gov": (
        ["https://www.gov.cn/yaowen/liebiao/202609/content_7081464.htm"],
        ["https://www.gov.cn/yaowen/liebiao/", "https://www.gov.cn/yaowen/liebiao/YAOWENLIEBIAO.json"],
    ),
    "chinanews": (
        ["https://www.chinanews.com.cn/cj/2024/05-01/10210001.shtml"],
        ["https://www.chinanews.com.cn/cj/", "https://www.chinanews.com.cn/scroll-news/news1.html"],
    ),
    "ithome": (["https://www.ithome.com/0/987/148.htm"], ["https://www.ithome.com/", "https://www.ithome.com/blog/"]),
    "people": (
        ["http://finance.people.com.cn/n1/2026/0525/c64387-40726534.html"],
        ["http://finance.people.com.cn/", "http://finance.people.com.cn/GB/70846/index.html"],
    ),
}


def test_they_are_conservative() -> None:
    assert len(SITES) >= 15
    for site in SITES.values():
        assert site.delay >= 2 and site.concurrency == 1 and site.obey_robots and not site.allow_private_addresses
        assert sum(rule.pages for rule in (*site.lists, *site.search)) + len(site.start_urls) <= 10
        assert site.schedule.startswith(
            "*/10 " if site.media_type in ("finance", "securities") else ("*/15 ", "*/20 ", "*/30 ")
        )
        for pattern in site.articles:
            assert "://.*" not in pattern
    types = {site.media_type for site in SITES.values()}
    assert types >= {"finance", "news", "technology", "securities", "video", "government"}


@pytest.mark.parametrize("name", sorted(SITES))
def test_patterns_tell_articles_from_lists(name: str) -> None:
    site = SITES[name]
    articles, others = EXAMPLES[name]
    for example in articles:
        given, wanted = example if isinstance(example, tuple) else (example, site_address(site, example))
        assert site_address(site, given) == wanted
        assert site.is_article(wanted), wanted
    beginnings = (*site.start_urls, *(rule.url for rule in site.lists), *site.feeds, *site.sitemaps)
    for url in (*others, *beginnings):
        assert not site.is_article(site_address(site, url)), url
    domain = ".".join((urlsplit(wanted).hostname or "").split(".")[-2:])
    assert any(domain in url for url in beginnings) or name == "cctv-video"  # whose lists are on cntv.cn
