"""The pages in a real browser."""

import time
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import Engine

from tests.gateway import rows
from tests.gateway.browsing import chromium, complaints, resize, sign_in, wait

pytestmark = pytest.mark.service


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as opened:
        yield opened


def in_view(browser: webdriver.Chrome, css: str) -> bool:
    return bool(
        browser.execute_script(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return box.top >= 0 && box.bottom <= innerHeight && box.width > 0",
            css,
        )
    )


def test_a_reader_signs_in_filters_opens_a_document_and_checks_the_evidence(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    sign_in(browser, address, key)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".watch-name")) == 5
    browser.find_element(By.CSS_SELECTOR, '.places a[href="/search"]').click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".item-sentiment"))

    # Shapes and words stand beside each other: nothing is told by colour alone.
    for label in browser.find_elements(By.CSS_SELECTOR, ".item-sentiment .sentiment"):
        assert label.text in {"正面", "中性", "负面", "待分析"}
        assert label.find_elements(By.TAG_NAME, "svg")

    # A filter applies when it is chosen.
    browser.find_element(By.CSS_SELECTOR, "select[name=sentiment] option[value=positive]").click()
    wait(browser).until(lambda b: "sentiment=positive" in b.current_url)
    wait(browser).until(
        lambda b: (
            [item.text for item in b.find_elements(By.CSS_SELECTOR, ".item h3")]
            == ["澜山银行前三季度净利润增长9.1%，不良率六连降"]
        )
    )

    wait(browser).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".chip.is-on")) == 1)
    search = browser.find_element(By.CSS_SELECTOR, ".find input")
    search.send_keys("召回", Keys.ENTER)
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, "mark.hit"))
    browser.find_element(By.CSS_SELECTOR, f'h3 a[href="/documents/{press["recall"]}"]').click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".verdict"))

    quote = browser.find_elements(By.CSS_SELECTOR, ".verdict.is-negative .quotes a")[1]
    words = quote.text
    quote.click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, "mark.is-current"))
    marked = "".join(mark.text for mark in browser.find_elements(By.CSS_SELECTOR, "mark.is-current"))
    assert marked.replace("\n", "") == words.replace("\n", "")
    wait(browser).until(lambda b: in_view(b, "mark.is-current"))
    assert browser.find_element(By.CSS_SELECTOR, ".back a").get_attribute("href").endswith("q=%E5%8F%AC%E5%9B%9E")

    # The recording plays from the sentence.
    browser.get(f"{address}/documents/{press['speech']}")
    wait(browser).until(lambda b: b.execute_script("return document.querySelector('audio').readyState") >= 1)
    link = browser.find_elements(By.CSS_SELECTOR, ".text a[data-second]")[2]
    second = float(link.get_attribute("data-second") or 0)
    assert second > 5
    link.click()
    deadline = time.monotonic() + 60
    while browser.execute_script("return document.querySelector('audio').currentTime") < second:
        assert time.monotonic() < deadline, "the player did not jump"
        time.sleep(0.1)
    assert browser.current_url.endswith(press["speech"])
    assert complaints(browser) == []


def test_a_link_with_a_key_signs_in_without_sending_it_in_an_address(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    browser.get(f"{address}/sign-in#{key}")
    wait(browser).until(lambda b: b.find_elements(By.ID, "standing"))
    assert key not in browser.current_url
    browser.back()
    assert key not in browser.current_url
    assert complaints(browser) == []


def test_phone_width_english_dark_and_a_new_company(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    resize(browser, 360, 740)
    sign_in(browser, address, key)
    for path in ("/", f"/documents/{press['recall']}", f"/documents/{press['speech']}", "/search?q=%E5%8F%AC"):
        for choice in ("lang=en&theme=dark", "lang=zh&theme=light"):
            browser.get(f"{address}{path}{'&' if '?' in path else '?'}{choice}")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 360, (path, choice)
    browser.get(f"{address}/?lang=en&theme=dark")
    assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == "dark"
    browser.find_element(By.CSS_SELECTOR, ".add summary").click()
    browser.find_element(By.ID, "name").send_keys("林知远")
    browser.find_element(By.CSS_SELECTOR, ".add button").click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".notice"))
    assert "林知远" in browser.find_element(By.CSS_SELECTOR, ".notice").text

    def matched(b: webdriver.Chrome) -> bool:
        b.refresh()
        return "星河汽车召回" in b.find_element(By.CSS_SELECTOR, "#standing").text

    wait(browser).until(matched)
    assert complaints(browser) == []


def test_a_hostile_article_runs_nothing(browser: webdriver.Chrome, address: str, key: str, database: Engine) -> None:
    script = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "星河汽车")
        quote = f"星河汽车{script}召回。"
        doc_id = rows.add_story(
            connection,
            rows.Story(
                f"星河汽车{script}",
                quote,
                source=script,
                url="javascript:document.title='owned'",
                summary=script,
                sentiment="negative",
                verdicts={"星河汽车": rows.Judgement("negative", (quote,), 1)},
            ),
        )
    sign_in(browser, address, key)
    for path in ("/", f"/documents/{doc_id}", "/search?q=%3Cscript%3E%22%3E"):
        browser.get(address + path)
        time.sleep(0.3)
        assert browser.title != "owned"
        assert not browser.find_elements(By.TAG_NAME, "img")
        assert not browser.find_elements(By.CSS_SELECTOR, 'a[href^="javascript"]')
    assert complaints(browser) == []
