"""The pages over HTTP: sign-in, forged forms, hostile articles, languages."""

import html
import re
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway import sessions
from gateway.resources import session_secret
from tests.gateway import rows
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def field(page: httpx.Response, name: str = "csrf") -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def sign_in(client: httpx.Client, key: str, next_path: str = "/") -> httpx.Response:
    page = client.get("/sign-in", params={"next": next_path})
    form = {"key": key, "csrf": field(page), "next": field(page, "next")}
    return client.post("/sign-in", data=form)


@pytest.fixture
def reader(anonymous: httpx.Client, key: str) -> httpx.Client:
    """A browser that is signed in."""
    assert sign_in(anonymous, key).status_code == 303
    return anonymous


def test_pages_lead_to_the_sign_in_and_back(anonymous: httpx.Client, key: str, press: dict[str, str]) -> None:
    wanted = f"/documents/{press['recall']}?a=%E5%8F%AC"
    sent = anonymous.get(wanted)
    assert sent.status_code == 303
    page = anonymous.get(sent.headers["location"])
    assert field(page, "next") == wanted
    answer = anonymous.post("/sign-in", data={"key": key, "csrf": field(page), "next": field(page, "next")})
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    assert anonymous.get(wanted).status_code == 200


def test_the_session_cookie_is_out_of_reach(anonymous: httpx.Client, key: str) -> None:
    answer = sign_in(anonymous, key)
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("yuqing_session="))
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Max-Age=" in cookie
    assert key not in cookie


def test_sign_in_goes_nowhere_else(anonymous: httpx.Client, key: str) -> None:
    assert sign_in(anonymous, key, "https://evil.example/").headers["location"] == "/"


def test_a_wrong_key_is_told(anonymous: httpx.Client) -> None:
    answer = sign_in(anonymous, "yq_" + "A" * 43)
    assert answer.status_code == 403
    assert "这个密钥不存在" in answer.text


def test_tampered_and_old_sessions_are_refused(reader: httpx.Client, settings: Settings, database: Engine) -> None:
    assert reader.get("/").status_code == 200
    good = reader.cookies["yuqing_session"]
    secret = session_secret(settings)
    with database.connect() as connection:
        key_id = connection.execute(text("SELECT id FROM api_keys")).scalar_one()
    for bad in (
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "1.99999999999." + good.rsplit(".", 1)[1],
        "",
        "x",
        "..",
        sessions.session_token(b"another secret", key_id, int(time.time()) + 1000),
        sessions.session_token(secret, key_id, int(time.time()) - 1),
    ):
        reader.cookies.set("yuqing_session", bad, domain=reader.base_url.host)
        assert reader.get("/").status_code == 303, bad
    reader.cookies.set(
        "yuqing_session", sessions.session_token(secret, key_id, int(time.time()) + 1000), domain=reader.base_url.host
    )
    assert reader.get("/").status_code == 200
    with database.begin() as connection:
        connection.execute(text("UPDATE api_keys SET revoked_at = now()"))
    assert reader.get("/").status_code == 303


def test_forged_forms_are_refused(reader: httpx.Client, database: Engine) -> None:
    token = field(reader.get("/"))
    search = {"name": "召回", "parameters": "q=召回"}
    for csrf in ("", "x", "a.b", token[:-1] + ("A" if token[-1] != "A" else "B")):
        assert reader.post("/search/saved", data={**search, "csrf": csrf}).status_code == 403
    foreign = reader.post("/search/saved", data={**search, "csrf": token}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert reader.post("/sign-out", data={"csrf": "x"}).status_code == 403
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM saved_searches")).scalar_one() == 0
    own = {"Origin": str(reader.base_url).rstrip("/")}
    assert reader.post("/search/saved", data={**search, "csrf": token}, headers=own).status_code == 303


def test_sign_out(reader: httpx.Client) -> None:
    assert reader.post("/sign-out", data={"csrf": field(reader.get("/"))}).status_code == 303
    assert reader.get("/").status_code == 303


def test_empty_states_say_what_to_do(reader: httpx.Client) -> None:
    page = reader.get("/")
    assert "还没有关注任何公司" in page.text
    assert "yuqing crawl --all" in page.text
    assert 'href="/companies/new"' in page.text
    assert "没有符合条件的报道" in reader.get("/search?q=星河").text


def test_a_viewer_may_neither_correct_nor_save_nor_export(
    anonymous: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部", "viewer")
    sign_in(anonymous, key)
    page = anonymous.get(f"/documents/{press['recall']}")
    assert 'class="correct"' not in page.text
    company = re.search(r'id="verdict-(\d+)"', page.text)
    assert company
    correction = {"csrf": field(page), "sentiment": "positive", "reason": "x", "state": "x"}
    place = f"/documents/{press['recall']}/verdicts/{company[1]}"
    assert anonymous.post(place, data=correction).status_code == 403
    assert anonymous.post("/search/saved", data={"csrf": field(page), "name": "x"}).status_code == 403
    assert anonymous.get("/search/export").status_code == 403
    assert "/search/export" not in anonymous.get("/search").text


def test_searches_are_kept_for_the_team_and_for_nobody_else(
    reader: httpx.Client, address: str, press: dict[str, str], database: Engine
) -> None:
    search = {"csrf": field(reader.get("/search")), "name": "质量 问题", "parameters": "q=召回&risk=2&evil=1&cursor=x"}
    kept = reader.post("/search/saved", data=search)
    assert (kept.status_code, kept.headers["location"]) == (303, "/search?q=%E5%8F%AC%E5%9B%9E&risk=2")
    page = reader.get(kept.headers["location"])
    assert "质量 问题" in page.text
    assert "1.2万辆" in page.text.replace('<mark class="hit">召回</mark>', "召回")
    removal = re.search(r'action="(/search/saved/\d+/removal)"', page.text)
    assert removal
    with database.begin() as connection:
        other = rows.add_key(connection, "竞争对手")
    with httpx.Client(base_url=address, trust_env=False) as stranger:
        sign_in(stranger, other)
        theirs = stranger.get("/search")
        assert "质量 问题" not in theirs.text
        assert stranger.post(removal[1], data={"csrf": field(theirs)}).status_code == 404
        for path in (f"/documents/{press['recall']}/family", "/companies/1"):
            assert stranger.get(path).status_code == 404
    assert reader.post(removal[1], data={"csrf": field(page)}).status_code == 303
    assert "质量 问题" not in reader.get("/search").text


def test_a_correction_made_from_an_old_page_is_refused(reader: httpx.Client, press: dict[str, str]) -> None:
    page = reader.get(f"/documents/{press['recall']}")
    place = re.search(r'action="(/documents/[0-9a-f]+/verdicts/\d+)"', page.text)
    assert place
    state = field(page, "state")
    change = {"csrf": field(page), "state": state, "sentiment": "neutral", "risk_level": 1, "reason": "语气平实"}
    change["risk_types"] = "财务"
    change["quote"] = "受此消息影响，星河汽车股价当日下跌6.2%。"
    done = reader.post(place[1], data=change)
    assert (done.status_code, done.headers["location"].split("#")[0]) == (303, f"/documents/{press['recall']}")
    shown = reader.get(f"/documents/{press['recall']}").text
    assert "语气平实" in shown
    assert "受此消息影响" in re.sub("<[^>]*>", "", shown)
    again = reader.post(place[1], data=change, headers={"Accept": "text/html"})
    assert again.status_code == 412
    assert "别人刚刚改过" in again.text
    for wrong in ({"reason": "x" * 501}, {"sentiment": "good"}, {"quote": "没有这句话"}, {"risk_types": "天气"}):
        fresh = field(reader.get(f"/documents/{press['recall']}"), "state")
        assert reader.post(place[1], data={**change, "state": fresh, **wrong}).status_code == 422, wrong


def test_the_export_of_a_search_holds_its_filters(reader: httpx.Client, press: dict[str, str]) -> None:
    answer = reader.get("/search/export?q=召回&sentiment=negative&format=csv&reprints=all")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="documents.csv"'
    assert answer.text.count("召回1.2万辆S7") == 3
    assert "澜山银行前三季度" not in answer.text


def test_periods_are_days_of_the_reader(reader: httpx.Client, press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        company = connection.execute(text("SELECT id FROM companies WHERE name = '星河汽车'")).scalar_one()
        moment = "2026-03-08 23:30:00+08"
        connection.execute(text("UPDATE documents SET published_at = :moment"), {"moment": moment})
    path = f"/companies/{company}?from=2026-03-08&to=2026-03-08"
    assert "1.2万辆" in reader.get(path).text
    reader.cookies.set("yuqing_zone", "Pacific/Auckland")
    assert "1.2万辆" not in reader.get(path).text
    assert "1.2万辆" in reader.get(path.replace("03-08", "03-09")).text
    for zone in ("Mars/Base", "../../etc/passwd", "posix/UTC", "x" * 300):
        reader.cookies.set("yuqing_zone", zone)
        assert reader.get(path).status_code == 200
    bounds = ("from=0001-01-01", "to=0001-01-01", "vs=99999999999")
    for wrong in (*bounds, "from=2026-03-09&to=2026-03-08", "from=x", "days=0", "vs=x", "show=all"):
        assert reader.get(f"/companies/{company}?{wrong}").status_code == 422, wrong
    assert reader.get("/search?risk=01").status_code == 200


def test_a_company_is_unusual_where_the_overview_says_so(reader: httpx.Client, key: str, database: Engine) -> None:
    hour = datetime.now(UTC).hour
    ahead = (10 - hour + 12) % 24 - 12  # it is ten in the morning there
    reader.cookies.set("yuqing_zone", f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT")
    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "星河汽车")
        # Ten every morning: since yesterday's midnight, 34 hours ago, 20 as in any 48 hours.
        for day in range(14):
            for number in range(10):
                story = rows.Story(f"星河汽车早报{day}之{number}", "星河汽车。", hours_ago=24 * day + 7)
                rows.add_story(connection, story)
    page = reader.get(f"/companies/{company}?days=2").text
    assert "高于平时" not in page
    assert '<dd class="figure">20</dd>' in page
    with database.begin() as connection:
        # In the last seven times 24 hours, but before the midnight six days ago.
        for number in range(30):
            rows.add_story(connection, rows.Story(f"星河汽车急报{number}", "星河汽车。", hours_ago=6 * 24 + 20))
    assert "声量明显高于平时" in reader.get("/?days=7").text
    assert "高于平时 1.4 倍" in reader.get(f"/companies/{company}?days=7").text
    for days in (1, 2, 8, 300):
        assert reader.get(f"/?days={days}").status_code == 200, days
        assert reader.get(f"/companies/{company}?days={days}").status_code == 200, days


def test_an_empty_period_leads_to_the_newest_documents(reader: httpx.Client, key: str, database: Engine) -> None:
    reader.cookies.set("yuqing_zone", "UTC")
    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "星河汽车")
        off = rows.add_company(connection, "公关部", "澜山银行")
        none = rows.add_company(connection, "公关部", "林知远")
        rows.add_story(connection, rows.Story("星河汽车与澜山银行", "星河汽车。", hours_ago=24 * 170, sentiment=None))
        rows.add_story(connection, rows.Story("星河汽车年报", "星河汽车。", hours_ago=24 * 158 + 1, sentiment=None))
        connection.execute(text("UPDATE companies SET enabled = false WHERE id = :off"), {"off": off})
    newest = (datetime.now(UTC) - timedelta(days=158, hours=1)).date()
    bounds = f"from={newest - timedelta(days=29)}&amp;to={newest}"
    overview = reader.get("/").text
    assert f'href="/search?{bounds}"' in overview
    assert "已 158 天没有报道" in overview
    assert overview.count("历史不足一周") == 1  # 林知远, of whom nothing was ever written
    assert "2 家公司" in overview
    assert "澜山银行" not in overview.split('id="first"')[0]
    assert "无风险" not in overview
    assert "星河汽车年报" in reader.get(f"/search?{html.unescape(bounds)}").text
    page = reader.get(f"/companies/{company}").text
    assert f'href="/companies/{company}?{bounds}"' in page
    assert "已 158 天没有报道" in page
    assert "历史不足一周" not in page
    assert "换一个更长的时段" not in page
    there = reader.get(f"/companies/{company}?{html.unescape(bounds)}").text
    assert "待分析 2 篇" in there
    assert "无风险" not in there
    assert "最新的报道是" not in there
    assert "换一个更长的时段" in reader.get(f"/companies/{none}").text
    listed = reader.get("/companies").text
    assert "澜山银行" in listed
    assert "待分析 2 篇" in listed
    assert "几秒后数字会更新" in reader.get(f"/companies?saved={company}").text
    assert "几秒后数字会更新" not in reader.get(f"/companies?saved={off}").text


def test_links_of_a_page_keep_its_period(reader: httpx.Client, press: dict[str, str], database: Engine) -> None:
    with database.connect() as connection:
        ids = dict(connection.execute(text("SELECT name, id FROM companies")).tuples().all())
    today = datetime.now(UTC).date()
    bounds = f"from={today - timedelta(days=60)}&to={today + timedelta(days=1)}"
    page = html.unescape(reader.get(f"/companies/{ids['星河汽车']}?{bounds}").text)
    words = re.findall(r'href="(/search[?]company=[0-9]+&q=[^"]*)"', page)
    assert words
    assert all(link.endswith(bounds) for link in words)
    in_rows = re.findall(r'class="chip"><a href="(/companies/[^"]*)"', page)
    assert in_rows
    assert all(link.endswith(bounds) for link in in_rows)
    assert re.search(r'class="chip"><a href="/companies/[0-9]+[?]days=7"', reader.get("/?days=7").text)
    found = html.unescape(reader.get(f"/search?{bounds}").text)
    assert re.search(rf'class="chip"><a href="/companies/[0-9]+[?]{bounds}"', found)
    assert "全文</span>" in found
    assert "全文</span>" not in page


def test_a_correction_needs_no_reason_and_names_its_author(reader: httpx.Client, press: dict[str, str]) -> None:
    page = reader.get(f"/documents/{press['recall']}")
    assert 'value="模型误判了语气">' not in page.text.replace('<option value="模型误判了语气">', "")
    place = re.search(r'action="(/documents/[0-9a-f]+/verdicts/\d+)"', page.text)
    assert place
    change = {"csrf": field(page), "state": field(page, "state"), "sentiment": "neutral", "reason": " "}
    assert reader.post(place[1], data=change).status_code == 303
    shown = reader.get(f"/documents/{press['recall']}").text
    assert re.search("测试 于 [^：]* 修正：未说明", shown)
    assert "key:yq_" not in shown


def test_rivals_are_named_only_where_there_are_some(reader: httpx.Client, key: str, database: Engine) -> None:
    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "星河汽车")
        rows.add_story(connection, rows.Story("星河汽车年报", "星河汽车。"))
    alone = reader.get(f"/companies/{company}").text
    assert "家中" not in alone
    assert 'id="rivals-title"' not in alone
    with database.begin() as connection:
        others = [rows.add_company(connection, "公关部", f"对手{number}号") for number in range(6)]
    path = f"/companies/{company}?" + "&".join(f"vs={other}" for other in others)
    assert "只显示前 5 家" in reader.get(path).text
    assert "在 6 家中" in reader.get(path).text
    assert "只显示前 5 家" not in reader.get(path.removesuffix(f"&vs={others[-1]}") + "&vs=99999999").text


def test_mistakes_are_told_in_the_readers_language(reader: httpx.Client, key: str, database: Engine) -> None:
    accept = {"Accept": "text/html"}
    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "星河汽车")
    for wrong, told in (
        ("from=2026-03-09&to=2026-03-08", "开始日期在结束日期之后。"),
        ("from=x", "日期有误，请写成"),
        ("from=2026-02-30", "日期有误，请写成"),
        ("from=0001-01-01", "年份应在 1900 到 2200 之间"),
    ):
        for path in (f"/companies/{company}", "/search"):
            page = reader.get(f"{path}?{wrong}", headers=accept)
            assert (page.status_code, told in page.text) == (422, True), (path, wrong, page.text)
            assert "query." not in page.text.split("<h1>")[1]
    assert "这里需要“管理员”权限" in reader.get("/access", headers=accept).text
    token = field(reader.get("/companies/new"))
    form = {"csrf": token, "name": "星河汽车", "query": ""}
    assert "团队已经关注“星河汽车”" in reader.post("/companies/new", data=form).text
    mistaken = {**form, "query": "星河 AND (召回"}
    assert "第 8 个字处：这个括号没有闭合" in reader.post("/companies/new", data=mistaken).text
    assert "第 8 个字处：这个括号没有闭合" in reader.post("/companies/preview", data=mistaken).text
    reader.cookies.set("yuqing_lang", "en")
    assert "this parenthesis is never closed" in reader.post("/companies/preview", data=mistaken).text


def test_languages_and_themes(reader: httpx.Client, press: dict[str, str]) -> None:
    path = f"/documents/{press['recall']}"
    assert 'lang="zh-CN"' in reader.get(path).text
    answer = reader.get(path, params={"lang": "en", "theme": "dark", "x": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?x=1")
    english = reader.get(path).text
    assert 'lang="en" data-theme="dark"' in english
    assert "Verdicts" in english
    assert "Product quality" in english
    reader.cookies.delete("yuqing_lang")
    assert 'lang="en"' in reader.get(path, headers={"Accept-Language": "en-GB,en;q=0.9"}).text
    assert reader.get("/", params={"lang": "xx"}).status_code == 200


def test_errors_are_pages_for_browsers(reader: httpx.Client) -> None:
    accept = {"Accept": "text/html,*/*"}
    missing = reader.get(f"/documents/{'0' * 32}", headers=accept)
    assert missing.status_code == 404
    assert "没有找到" in missing.text
    assert missing.headers["x-request-id"] in missing.text
    assert reader.get("/nowhere", headers=accept).headers["content-type"].startswith("text/html")
    assert reader.get("/search", params={"q": "。。"}, headers=accept).status_code == 422


def test_a_link_from_another_site_is_loaded_once_more(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert "refresh" in answer.text
    assert anonymous.get("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


OWN_SCRIPT = r'<script src="/static/(vendor/)?[a-z.]+\.js\?v=[0-9a-f]{12}" defer>'
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_a_hostile_article_stays_text(reader: httpx.Client, database: Engine) -> None:
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "星河汽车")
        quote = f"星河汽车{SCRIPT}召回。"
        story = rows.Story(
            f"星河汽车{SCRIPT}",
            f"{quote}\n\n\"'><svg onload=alert(1)>",
            source=SCRIPT,
            author=SCRIPT,
            url="javascript:alert(1)//",
            parent_url="data:text/html,<script>alert(1)</script>",
            summary=SCRIPT,
            category=SCRIPT,
            keywords=(SCRIPT,),
            sentiment="negative",
            verdicts={"星河汽车": rows.Judgement("negative", (quote,), 2, (SCRIPT,))},
        )
        doc_id = rows.add_story(connection, story)
        connection.execute(text("UPDATE companies SET name = name || :script"), {"script": SCRIPT})
    for path in ("/", f"/documents/{doc_id}", "/search?q=%3Cscript%3E", "/search?q=召回", f"/search?source={SCRIPT}"):
        page = reader.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "<svg onload" not in page.text
        assert "javascript:" not in page.text
        assert 'href="data:' not in page.text
        assert all(re.fullmatch(OWN_SCRIPT, tag) for tag in re.findall(r"<script[^>]*>", page.text))
        assert not re.search(r"<[^>]*\s(style|on[a-z]+)\s*=", re.sub(r'"[^"]*"', '""', page.text))
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in reader.get(f"/documents/{doc_id}").text


def test_evidence_is_marked_where_it_stands(reader: httpx.Client, press: dict[str, str]) -> None:
    page = reader.get(f"/documents/{press['recall']}").text
    links = re.findall(r'href="#(evidence-\d+-\d+)"', page)
    assert len(links) == 3
    for anchor in links:
        assert page.count(f'id="{anchor}"') == 1
    assert re.search('<span class="mention" data-of="[0-9]+" title="星河汽车">', page)
    ungrounded = reader.get(f"/documents/{press['ungrounded']}").text
    assert "没有可核对的证据" in ungrounded
    assert "模型还没有读到这篇" in reader.get(f"/documents/{press['pending']}").text


def test_evidence_of_an_earlier_version_is_quoted_but_not_marked(
    reader: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE documents SET text = '正文换了', content_hash = 'f' || substr(content_hash, 2)")
        )
    page = reader.get(f"/documents/{press['recall']}").text
    assert "其中两起引发了车辆起火" in page
    assert 'href="#evidence' not in page
    assert "依据的是较早的版本" in page


def test_the_recording_is_for_readers_of_the_document(
    reader: httpx.Client, address: str, press: dict[str, str], database: Engine
) -> None:
    page = reader.get(f"/documents/{press['speech']}").text
    media = re.search(r'src="(/media/[0-9a-f]{64})"', page)
    assert media
    assert 'data-second="' in page
    assert httpx.get(address + media[1], trust_env=False).status_code == 303
    with database.begin() as connection:
        other = rows.add_key(connection, "竞争对手")
    with httpx.Client(base_url=address, trust_env=False) as client:
        sign_in(client, other)
        assert client.get(media[1]).status_code == 404
        assert client.get(f"/documents/{press['speech']}").status_code == 404
        assert "星河汽车" not in client.get("/").text


def test_reprints_are_listed_only_when_asked_for(reader: httpx.Client, press: dict[str, str]) -> None:
    assert reader.get("/search").text.count('class="item"') == len(press) - 2
    assert reader.get("/search?reprints=all").text.count('class="item"') == len(press)
