"""Captchas, challenges and refusals are told from pages, also from pages that are about them."""

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import HtmlResponse, Response

from crawler.blocked import EMPTY, blocked, blocked_address, rules
from examples.newsroom.edition import edition
from examples.newsroom.server import application

NAVIGATION = "".join(f'<a href="/c{number}">频道{number}</a> ' for number in range(12))
FRAUD = (
    "近日，某市公安局通报一起电信诈骗案件。王女士接到自称银行客服的电话，对方称其账户存在异常访问，需要完成安全验证，并要求"
    "她提供手机收到的验证码。随后账户内三万余元被转走。警方提醒：验证码就是密码，任何人索要验证码都应拒绝。遇到页面提示请输入"
    "验证码、请完成滑动验证，应先核对网址。针对部分用户反映的访问过于频繁提示，平台表示这是为了防止恶意抢票，正常用户稍后重试即可。"
)


def page(body: str, title: str = "", head: str = "") -> str:
    return f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title>{head}</head><body>{body}</body></html>"


def verdict(source: str | bytes, *, encoding: str = "utf-8", status: int = 200, **headers: str) -> str | None:
    body = source if isinstance(source, bytes) else source.encode(encoding)
    given = {"Content-Type": f"text/html; charset={encoding}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return blocked(HtmlResponse("http://a.cn/1", status=status, headers=given, body=body))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (page("<div id='captcha'></div>", "百度安全验证"), "Baidu security check"),
        (page("<script>var a=1</script><script src='/x/verifycenter/captcha/v2.js'></script>", ""), "ByteDance check"),
        (page("", "验证码中间页"), "ByteDance check"),
        (page("<p>请完成下方的安全验证后继续访问</p>", "某某网"), "verification page"),
        (page("<p>向右滑动滑块填充拼图</p>", "某某网"), "verification page"),
        (page("<form>请输入图片中的验证码 <input></form>", "提示"), "verification page"),
        (page("<div>加载中</div>", "安全验证"), "verification page"),
        (page("<div>加载中</div>", "滑动验证页面"), "verification page"),
        (page("<div>加载中</div>", "访问验证 - 某某财经"), "verification page"),
        (page("<h3>您的访问过于频繁，请稍后再试</h3>"), "access too frequent"),
        (page("<h3>抱歉，您的IP访问次数过多，请明天再来</h3>"), "access too frequent"),
        (page("<h1>访问过于频繁</h1>"), "access too frequent"),
        ('{"code": 429, "msg": "请求过于频繁，请稍后再试", "data": null}', "access too frequent"),
        (page("系统检测到您的网络有异常访问行为"), "access too frequent"),
        (page("<script src='https://static.geetest.com/v4/gt4.js'></script><div id='c'></div>"), "Geetest captcha"),
        (page("<script>new TencentCaptcha('1900000000', done).show()</script>"), "Tencent WAF"),
        (page("", head='<meta name="aliyun_waf_aa" content="0f1e">'), "Aliyun WAF"),
        ("<html><script>var arg1='0F1E';document.cookie='acw_sc__v2='+x;</script></html>", "Aliyun WAF"),
        ("<script>document.cookie=('_')+('_')+('j')+('s')+('l')+('_')+'c';location.href=1</script>", "jsl clearance script"),
        (page("", head="<meta content='x' r='m'><script>$_ts=window['$_ts']</script>"), "Ruishu script"),
        (page("<script>window._cf_chl_opt={}</script>Enable JavaScript and cookies to continue", "Just a moment..."),
         "Cloudflare challenge"),
        (page("<a href='https://passport.weibo.com/visitor/visitor?a=enter'></a>", "Sina Visitor System"),
         "Weibo visitor system"),
        (page("<h1>403 Forbidden</h1><hr>nginx", "403 Forbidden"), "access denied"),
        (page("<p>您的请求已被该站点的安全策略拦截</p>", "访问被拦截"), "access denied"),
        (page("<p>对不起，您的IP地址已被封禁</p>"), "access denied"),
        (page("", "某某网"), EMPTY),
        (page("<div id='app'></div><script src='/app.js'></script><noscript>请启用 JavaScript</noscript>"), EMPTY),
        ("<html></html>", EMPTY),
        ("<!-- -->", EMPTY),
        (" \n ", EMPTY),
        ("", EMPTY),
    ],
)  # fmt: skip
def test_refusals(source: str, reason: str) -> None:
    assert verdict(source) == reason
    assert verdict(source, encoding="gb18030") == reason


def test_a_header_says_it_whatever_the_page_says() -> None:
    assert verdict(page("x" * 1000), cf_mitigated="challenge", status=403) == "Cloudflare challenge"


@pytest.mark.parametrize(
    "source",
    [
        page(
            f"{NAVIGATION}<h1>警方揭秘验证码骗局</h1><p>{FRAUD * 3}</p>", "警方揭秘验证码骗局：访问过于频繁也是套路？"
        ),
        page(f"<h1>滑动验证为何越来越难</h1><p>{FRAUD * 2}</p>", "滑动验证为何越来越难"),
        page(
            "<h1>央行提示：请勿泄露短信验证码</h1><p>央行今日提示，请勿向他人泄露短信验证码。</p>",
            "央行提示：请勿泄露短信验证码",
        ),
        page(
            "<p>12306回应：系统访问量大，部分用户看到访问过于频繁的提示，已恢复。</p>",
            "12306回应用户访问过于频繁被限制",
        ),
        page(
            f"{NAVIGATION}<p>{'公司今日发布三季报，营业收入增长。' * 20}</p><script src='//static.geetest.com/gt.js'></script>"
        ),
        page("<p>快讯</p><script>new Login()</script>", "快讯"),
        page("<p>gut</p>"),
        page("<video src='/1.mp4'></video>", "视频"),
        page("<iframe src='https://player.example.cn/1'></iframe>"),
        page("<script type='application/json'>{}</script><div id='app'></div>"),
        page(f"<script>window.__DATA__={{'content':'{'新闻正文' * 60}'}}</script>"),
        page("<script>window.__DATA__={'content':'" + "\\u65b0" * 200 + "'}</script>"),
        page(f"<p>{'The regulator published its report. ' * 30} You don't have permission to access it, she said.</p>"),
        page("<p>Access to capital is denied to small firms.</p>", "Access denied to whom? Small firms and credit"),
        '{"data": {"list": []}}',
    ],
)
def test_pages(source: str) -> None:
    assert verdict(source) is None
    assert verdict(source, encoding="gb18030") is None


def test_what_is_no_page_is_left_alone() -> None:
    feed = HtmlResponse(
        "http://a.cn/rss", body="<rss><channel><title>安全验证行业动态</title></channel></rss>".encode()
    )
    assert blocked(feed, wants_text=False) is None
    assert (
        blocked(Response("http://a.cn/1.pdf", headers={"Content-Type": "application/pdf"}, body=b"%PDF-1.7\n")) is None
    )
    assert verdict(b"\x00\x01" * 50) is None
    assert blocked(HtmlResponse("http://a.cn/", body=b"<html></html>"), wants_text=False) is None
    assert verdict(page("", "安全验证") + " " * 300_000) is None, "a captcha is small"


def test_no_page_of_the_newsroom_is_taken_for_a_refusal() -> None:
    """Every article and front page of the demonstration, in both encodings that it serves."""
    # The port says which medium answers.
    hosts = {
        medium: f"http://newsroom.test:{number}" for number, medium in enumerate(("portal", "finance", "tech"), 81)
    }

    async def read() -> list[tuple[str, Response]]:
        transport = httpx.ASGITransport(application({**hosts, "control": "http://newsroom.test:84"}))
        async with httpx.AsyncClient(transport=transport) as client:
            found = []
            for medium, path in {(article.medium, article.path) for article in edition().articles} | {
                (medium, "/") for medium in hosts
            }:
                answer = await client.get(hosts[medium] + path)
                kind = answer.headers.get("content-type", "")
                found.append(
                    (path, HtmlResponse(hosts[medium] + path, body=answer.content, headers={"Content-Type": kind}))
                )
            return found

    pages = asyncio.run(read())
    assert len(pages) > 150
    assert [(path, reason) for path, response in pages if (reason := blocked(response))] == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://wappass.baidu.com/static/captcha/tuxing.html?ak=1", "Baidu security check"),
        ("https://passport.weibo.com/visitor/visitor?entry=miniblog", "Weibo visitor system"),
        ("https://passport.caijing.cn/login?back=1", "login page"),
        ("http://login.people.cn/", "login page"),
        ("https://www.a.cn/captcha?u=1", "verification page"),
        ("https://weixin.sogou.com/antispider/?from=1", "Sogou check"),
        ("https://www.a.cn/_____tmd_____/punish?x5secdata=1", "Aliyun WAF"),
        ("https://www.a.cn/news/2026/captcha-market-report.html", None),
        ("https://www.a.cn/login-economy/1.html", None),
        ("https://www.a.cn/a/1.html", None),
        ("https://www.idfinance.cn/a/1.html", None),
    ],
)
def test_where_redirects_lead(url: str, reason: str | None) -> None:
    assert blocked_address(url) == reason


@given(st.binary(max_size=400), st.sampled_from(["", "text/html", "text/html; charset=gbk", "application/json"]))
def test_never_fails(body: bytes, content_type: str) -> None:
    blocked(HtmlResponse("http://a.cn/", body=body, headers={"Content-Type": content_type}))


PHRASES = [
    "请完成安全验证",
    "您的访问过于频繁，",
    "请输入图片中的验证码。",
    "initGeetest",
    "央行今日发布公告，",
    "访问被拦截",
    "403 ",
]


@given(st.lists(st.sampled_from(PHRASES), min_size=1, max_size=9), st.integers(0, 3))
def test_a_page_with_text_is_a_page(phrases: list[str], line_breaks: int) -> None:
    text = "".join(phrases)
    text *= 601 // len(text) + 1
    assert verdict(page(f"<p>{text}" + "<br>" * line_breaks, "安全验证")) is None


def test_the_rules_have_a_reason_and_something_to_look_for() -> None:
    assert len({rule.reason for rule in rules()}) == len(rules())
    assert all(rule.headers or rule.urls or rule.titles or rule.markup or rule.text for rule in rules())
