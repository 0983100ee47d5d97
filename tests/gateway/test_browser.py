"""The pages in a real browser: an analyst's day, every page by axe-core, the phone, the keyboard, the end of a session."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from sqlalchemy import Engine, text

from gateway.pages.vendor import FOLDERS, check
from tests.gateway import rows
from tests.gateway.browsing import chromium, complaints, resize, sign_in, wait

pytestmark = pytest.mark.service

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def opened() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(opened: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The module's browser without anybody's cookies, as a desktop."""
    resize(opened, 1280, 900)
    opened.execute_cdp_cmd("Network.clearBrowserCookies", {})
    complaints(opened)
    yield opened
    opened.get("about:blank")


def see(browser: webdriver.Chrome, css: str, words: str = "") -> WebElement:
    """The first element of this selector that shows these words; waits for it."""

    def found(b: webdriver.Chrome) -> WebElement | bool:
        script = (
            "return [...document.querySelectorAll(arguments[0])].find(e => e.innerText.includes(arguments[1])) || false"
        )
        return b.execute_script(script, css, words)  # type: ignore[no-any-return]

    return wait(browser).until(found)  # type: ignore[return-value]


def in_view(browser: webdriver.Chrome, css: str) -> bool:
    return bool(
        browser.execute_script(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return box.top >= 0 && box.bottom <= innerHeight && box.width > 0",
            css,
        )
    )


def pages(press: dict[str, str], company: int) -> list[str]:
    """Every page that an analyst reads, in a state with something on it, and states with nothing."""
    return [
        "/",
        f"/companies/{company}",
        f"/companies/{company}?from=2020-01-01&to=2020-01-31",
        f"/documents/{press['recall']}",
        f"/documents/{press['speech']}",
        f"/documents/{press['pending']}",
        f"/documents/{press['recall']}/family",
        "/search?q=%E5%8F%AC%E5%9B%9E&sentiment=negative",
        "/search?q=%E6%B2%A1%E6%9C%89%E8%BF%99%E4%B8%AA",
        f"/documents/{'0' * 32}",
    ]


def company_of(database: Engine, name: str = "星河汽车") -> int:
    with database.connect() as connection:
        found = connection.execute(text("SELECT id FROM companies WHERE name = :name"), {"name": name})
        return int(found.scalar_one())


def test_vendored_libraries_are_those_that_are_named() -> None:
    for folder in FOLDERS:
        check(folder)


def test_an_analysts_day(browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]) -> None:
    sign_in(browser, address, key)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".watch-name")) == 5
    see(browser, ".live-state.is-on", "实时")

    # Shapes and words stand beside each other: nothing is told by colour alone.
    browser.find_element(By.CSS_SELECTOR, '.places a[href="/search"]').click()
    see(browser, ".item-sentiment")
    for label in browser.find_elements(By.CSS_SELECTOR, ".item-sentiment .sentiment"):
        assert label.text in {"正面", "中性", "负面", "待分析"}
        assert label.find_elements(By.TAG_NAME, "svg")

    # A filter applies when it is chosen, becomes a chip, and goes again.
    browser.find_element(By.CSS_SELECTOR, "select[name=sentiment] option[value=positive]").click()
    see(browser, ".chip.is-on", "正面")
    assert browser.current_url.endswith("/search?sentiment=positive")
    see(browser, ".item h3", "澜山银行前三季度净利润增长9.1%")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".item h3")) == 1
    browser.find_element(By.CSS_SELECTOR, ".save input[name=name]").send_keys("好消息", Keys.ENTER)
    see(browser, ".saved li", "好消息")
    see(browser, ".chip.is-on").click()
    wait(browser).until(lambda b: b.current_url.endswith("/search"))
    see(browser, ".saved a", "好消息").click()
    see(browser, ".chip.is-on", "正面")

    # Chinese search, by the keyboard alone: "/" leads into the field, "j" to the first document.
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    browser.switch_to.active_element.send_keys("快充", Keys.ENTER)
    see(browser, "mark.hit", "快充")
    browser.find_element(By.TAG_NAME, "body").send_keys("jj")
    assert browser.switch_to.active_element.get_attribute("data-item") is not None
    see(browser, f'h3 a[href="/documents/{press["recall"]}"]').click()

    # Evidence leads to its place in the text, and the way back keeps the search.
    see(browser, ".verdict.is-negative .quotes a")
    quote = browser.find_elements(By.CSS_SELECTOR, ".verdict.is-negative .quotes a")[1]
    words = quote.text
    quote.click()
    see(browser, "mark.is-current")
    marked = "".join(mark.text for mark in browser.find_elements(By.CSS_SELECTOR, "mark.is-current"))
    assert marked.replace("\n", "") == words.replace("\n", "")
    wait(browser).until(lambda b: in_view(b, "mark.is-current"))
    back = browser.find_element(By.CSS_SELECTOR, ".crumbs a").get_attribute("href") or ""
    assert "/search?" in back
    assert "q=%E5%BF%AB%E5%85%85" in back
    see(browser, ".spotlight label", "澜山银行").click()
    dimmed = browser.find_elements(By.CSS_SELECTOR, "mark.is-negative.is-off-light")
    assert dimmed
    assert not browser.find_elements(By.CSS_SELECTOR, "mark.is-neutral.is-off-light")

    # A correction by the keyboard: "c", an arrow, Enter. It shows at once, here and everywhere.
    browser.find_element(By.TAG_NAME, "body").send_keys("c")
    assert browser.switch_to.active_element.get_attribute("value") == "negative"
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    see(browser, ".corrected", "未说明")
    see(browser, ".corrected", "模型原判")
    corrected = see(browser, ".verdict h3", "星河汽车").find_element(By.XPATH, "..")
    assert "中性" in corrected.find_element(By.CSS_SELECTOR, ".verdict-line").text
    browser.get(f"{address}/search?q=%E5%BF%AB%E5%85%85&reprints=all&sort=time")
    item = see(browser, ".item", "1.2万辆S7：").text
    assert "中性" in item.split("星河汽车")[-1]
    browser.get(f"{address}/documents/{press['recall']}")
    see(browser, ".corrected button", "撤回修正").click()
    wait(browser).until(lambda b: not b.find_elements(By.CSS_SELECTOR, ".corrected"))
    see(browser, ".verdict.is-negative", "星河汽车")

    # The company's page draws its chart, with the figures behind it; the family's page tells what was changed.
    see(browser, ".verdict h3 a", "星河汽车").click()
    see(browser, ".chart canvas")
    assert see(browser, ".kpis", "声量").is_displayed()
    browser.find_element(By.CSS_SELECTOR, ".figures-behind summary").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, ".figures-behind[open] tbody tr")) == 30
    see(browser, "#families-title + .feed a").click()
    see(browser, ".steps-table", "财经在线")
    see(browser, ".steps-table a", "对比").click()
    see(browser, ".diff ins")
    assert complaints(browser) == []


def test_a_recording_is_jumped_in_and_followed(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    sign_in(browser, address, key)
    browser.get(f"{address}/documents/{press['speech']}")
    wait(browser).until(lambda b: b.execute_script("return document.querySelector('audio').readyState") >= 1)
    link = browser.find_elements(By.CSS_SELECTOR, ".text a[data-second]")[2]
    second = float(link.get_attribute("data-second") or 0)
    assert second > 5
    link.click()
    wait(browser).until(lambda b: b.execute_script("return document.querySelector('audio').currentTime") >= second)
    playing = see(browser, ".text .is-playing")
    assert float(playing.get_attribute("data-from") or 0) >= second
    assert browser.current_url.endswith(press["speech"])
    assert complaints(browser) == []


def test_news_come_by_themselves(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str], database: Engine
) -> None:
    sign_in(browser, address, key)
    see(browser, ".live-state.is-on")
    with database.begin() as connection:
        verdicts = {"青禾乳业": rows.Judgement("negative", (), 4)}
        story = rows.Story("青禾乳业突发", "青禾乳业的消息。", hours_ago=0.01, sentiment="negative", verdicts=verdicts)
        rows.add_story(connection, story)
    see(browser, "#feed .is-new", "青禾乳业突发")
    row = see(browser, "#standing tbody tr", "青禾乳业")
    assert "严重风险" in row.text
    assert "青禾乳业突发" in row.text
    assert complaints(browser) == []


def figures(browser: webdriver.Chrome) -> list[list[str]]:
    """The table behind the company's timeline: its rows of day, documents, positive, neutral, negative."""
    return browser.execute_script(  # type: ignore[no-any-return]
        "return [...document.querySelector('.figures-behind').querySelectorAll('tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )


def offset_of_column(browser: webdriver.Chrome, chart: WebElement, place: int) -> int:
    """Pixels from the middle of the chart to the middle of a column of it."""
    found = browser.execute_script(
        "return echarts.getInstanceByDom(arguments[0]).convertToPixel({xAxisIndex: 0}, arguments[1])", chart, place
    )
    return round(float(found) - int(chart.size["width"]) / 2)


def test_drawing_over_columns_chooses_their_days(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        for ago in (5, 6, 7, 8, 12):
            told, verdicts = f"星河汽车{ago}天前的消息。", {"星河汽车": rows.Judgement("negative")}
            rows.add_story(connection, rows.Story(told, told, hours_ago=24 * ago, verdicts=verdicts))
    sign_in(browser, address, key)
    company = company_of(database)
    browser.get(f"{address}/companies/{company}?days=30&show=latest")
    chart = see(browser, ".chart[data-chart*=days]")
    see(browser, ".chart[data-chart*=days] canvas")
    before, days = figures(browser), json.loads(chart.get_attribute("data-chart") or "")["days"]
    assert len(before) == len(days) == 30

    # A click chooses nothing; from one column to another chooses both and what lies between.
    first, last = 20, 27
    start, end = offset_of_column(browser, chart, first), offset_of_column(browser, chart, last)
    ActionChains(browser).move_to_element_with_offset(chart, start, 20).click().perform()
    assert "from=" not in browser.current_url
    drag = ActionChains(browser, duration=50).move_to_element_with_offset(chart, start, 20).click_and_hold()
    drag.move_by_offset((end - start) // 2, 10).move_by_offset(end - start - (end - start) // 2, 0).perform()
    ActionChains(browser).release().perform()
    wait(browser).until(lambda b: "from=" in b.current_url)
    assert browser.current_url == (f"{address}/companies/{company}?show=latest&from={days[first]}&to={days[last]}")
    see(browser, ".chart canvas")
    chosen = before[first : last + 1]
    assert figures(browser) == chosen
    volume = sum(int(row[1]) for row in chosen)
    assert 4 <= volume < sum(int(row[1]) for row in before)
    assert see(browser, ".kpis dd.figure").text == str(volume)

    # And again within these, from the right to the left; then all days of the usual period.
    chart = see(browser, ".chart[data-chart*=days]")
    start, end = offset_of_column(browser, chart, 4), offset_of_column(browser, chart, 1)
    drag = ActionChains(browser, duration=50).move_to_element_with_offset(chart, start, 0).click_and_hold()
    drag.move_by_offset(end - start, 0).release().perform()
    wait(browser).until(lambda b: f"from={days[first + 1]}&to={days[first + 4]}" in b.current_url)
    assert figures(browser) == chosen[1:5]
    assert complaints(browser) == []


def test_a_finger_on_the_chart_scrolls_the_page(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str], database: Engine
) -> None:
    sign_in(browser, address, key)
    resize(browser, 400, 800)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser.get(f"{address}/companies/{company_of(database)}")
        chart = see(browser, ".chart[data-chart*=days]")
        see(browser, ".chart[data-chart*=days] canvas")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
        before = browser.execute_script("return scrollY")
        # Somewhat aslant, as a thumb does: over several columns.
        swipe = [(120 + 6 * step, 440 - 20 * step) for step in range(11)]
        for step, (x, y) in enumerate(swipe):
            touch = {"type": "touchMove" if step else "touchStart", "touchPoints": [{"x": x, "y": y}]}
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wait(browser).until(lambda b: b.execute_script("return scrollY") > before + 100)
        assert "from=" not in browser.current_url
        assert not browser.find_element(By.CSS_SELECTOR, ".for-mouse").is_displayed()
        assert complaints(browser) == []
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("zh", "light", 1280), ("en", "dark", 1280), ("zh", "dark", 360), ("en", "light", 360)],
)
def test_every_page_is_accessible_and_fits(
    browser: webdriver.Chrome,
    address: str,
    key: str,
    press: dict[str, str],
    database: Engine,
    language: str,
    theme: str,
    width: int,
) -> None:
    resize(browser, width, 900)
    browser.get(f"{address}/sign-in?lang={language}&theme={theme}")
    assert violations(browser) == []
    sign_in(browser, address, key, language)
    wrong = {}
    for path in pages(press, company_of(database)):
        browser.get(address + path)
        if "/companies/" in path:
            see(browser, ".chart canvas")
        assert browser.execute_script("return document.documentElement.lang")[:2] == language
        assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == theme
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
        wrong[path] = violations(browser)
        said = [line for line in complaints(browser) if "404" not in line or path.count("0") < 32]
        assert said == [], path
        hosts = browser.execute_script("return performance.getEntriesByType('resource').map(e => new URL(e.name).host)")
        assert set(hosts) <= {address.removeprefix("http://")}, path
    assert {path: found for path, found in wrong.items() if found} == {}


def violations(browser: webdriver.Chrome) -> list[str]:
    """What axe-core finds wrong with the page."""
    browser.execute_script(AXE)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations.map("
        "v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120) + ' ' + n.failureSummary).join(' | '))))"
    )
    return list(found)


def test_a_session_that_ends_leads_back_to_where_one_was(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    sign_in(browser, address, key)
    browser.get(f"{address}/search?q=%E5%8F%AC%E5%9B%9E")
    see(browser, ".item")
    browser.delete_cookie("yuqing_session")
    browser.find_element(By.CSS_SELECTOR, "select[name=sentiment] option[value=negative]").click()
    see(browser, "#sign-in")
    browser.find_element(By.ID, "key").send_keys(key, Keys.ENTER)
    see(browser, ".chip.is-on", "负面")
    see(browser, "mark.hit", "召回")


def test_a_link_with_a_key_signs_in_without_sending_it_in_an_address(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    browser.get(f"{address}/sign-in#{key}")
    see(browser, "#standing")
    assert key not in browser.current_url
    browser.back()
    assert key not in browser.current_url
    assert complaints(browser) == []


def test_a_hostile_article_runs_nothing(browser: webdriver.Chrome, address: str, key: str, database: Engine) -> None:
    script = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "星河汽车")
        connection.execute(
            text("UPDATE companies SET aliases = ARRAY[CAST(:alias AS text)]"), {"alias": f"星河{script}"}
        )
        quote = f"星河汽车{script}召回。"
        told = rows.Story(
            f"星河汽车{script}",
            quote,
            source=script,
            url="javascript:document.title='owned'",
            summary=script,
            sentiment="negative",
            keywords=(script,),
            verdicts={"星河汽车": rows.Judgement("negative", (quote,), 1)},
        )
        doc_id = rows.add_story(connection, told)
    sign_in(browser, address, key)
    paths = ("/", f"/documents/{doc_id}", f"/documents/{doc_id}/family", f"/companies/{company}")
    for path in (*paths, "/search?q=%3Cscript%3E%22%3E", "/search?source=%3Cimg+src%3Dx%3E"):
        browser.get(address + path)
        time.sleep(0.3)
        assert browser.title != "owned"
        assert not browser.find_elements(By.TAG_NAME, "img")
        assert not browser.find_elements(By.CSS_SELECTOR, 'a[href^="javascript"]')
    assert complaints(browser) == []
