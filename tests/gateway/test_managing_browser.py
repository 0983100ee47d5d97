"""Operations, companies and keys in a real browser: an operator's and an administrator's day, with the keyboard too."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import Engine, text

from tests.gateway import operations, rows
from tests.gateway.browsing import chromium, complaints, resize, sign_in, wait
from tests.gateway.test_managing_pages import PAGES
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service

AXE = Path(__file__).parent / "axe" / "axe.min.js"


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def admin(database: Engine, key: str) -> str:
    """An administrator's key of the team 公关部."""
    with database.begin() as connection:
        return rows.add_key(connection, "公关部", "admin")


def shown(browser: webdriver.Chrome, css: str) -> str:
    """The text of the element, once it is there; asked in one step, because htmx may replace it at any moment."""
    script = "return document.querySelector(arguments[0])?.innerText"
    return str(wait(browser).until(lambda b: b.execute_script(script, css)))


def test_a_company_is_previewed_while_typing_and_watched(
    browser: webdriver.Chrome, address: str, key: str, press: dict[str, str]
) -> None:
    sign_in(browser, address, key)
    browser.find_element(By.CSS_SELECTOR, '.places a[href="/companies"]').click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".companies-table"))
    browser.find_element(By.CSS_SELECTOR, 'a[href="/companies/new"]').click()
    wait(browser).until(lambda b: b.find_elements(By.ID, "company-form"))
    browser.find_element(By.ID, "name").send_keys("林知远")
    # The recall and its two reprints name him.
    wait(browser).until(lambda b: "3" in shown(b, ".preview-count"))
    assert "林知远" in shown(browser, "#preview .chips")
    query = browser.find_element(By.ID, "query")
    query.send_keys("召回 AND (电池 OR")
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".query-error mark"))
    query.send_keys(" 快充)")
    wait(browser).until(lambda b: not b.find_elements(By.CSS_SELECTOR, ".query-error"))
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".preview-count"))
    browser.find_element(By.CSS_SELECTOR, "#company-form .primary").click()
    assert "林知远" in shown(browser, ".notice")

    def matched(b: webdriver.Chrome) -> bool:
        b.get(f"{address}/companies")
        (row,) = [
            each for each in b.find_elements(By.CSS_SELECTOR, ".companies-table tbody tr") if "林知远" in each.text
        ]
        return row.find_element(By.CSS_SELECTOR, ".num").text == "3"

    wait(browser).until(matched)
    assert complaints(browser) == []


def test_what_is_in_quarantine_is_read_and_replayed(
    browser: webdriver.Chrome, address: str, admin: str, store: ObjectStore, database: Engine
) -> None:
    store.ensure_bucket()
    operations.add_quarantine(store)
    sign_in(browser, address, admin)
    browser.get(f"{address}/operations/quarantine?stage=cleaning")
    browser.find_element(By.CSS_SELECTOR, ".quarantine .lead-cell a").click()
    assert "5000 characters" in shown(browser, ".record h3")
    browser.find_element(By.CSS_SELECTOR, ".record summary").click()
    assert "林知远" in shown(browser, ".record .log")
    browser.back()
    wait(browser).until(lambda b: b.find_elements(By.NAME, "key"))
    browser.find_element(By.NAME, "key").click()
    browser.find_element(By.CSS_SELECTOR, "form[action^='/operations/quarantine/replays'] .primary").click()
    # The page follows the clean to its end by itself.
    wait(browser).until(lambda b: "/operations/tasks/clean/" in b.current_url)
    wait(browser).until(lambda b: "已完成" in shown(b, "#task .state"))
    browser.get(f"{address}/operations/quarantine?stage=cleaning")
    assert browser.find_element(By.CSS_SELECTOR, ".quarantine tbody .num").text == "1"
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM documents")).scalar_one() == 1
    assert complaints(browser) == []


def test_a_key_is_made_used_and_revoked(browser: webdriver.Chrome, address: str, admin: str) -> None:
    sign_in(browser, address, admin)
    browser.find_element(By.CSS_SELECTOR, '.places a[href="/access"]').click()
    wait(browser).until(lambda b: b.find_elements(By.ID, "new-key"))
    browser.find_element(By.ID, "key-name").send_keys("日报脚本")
    browser.find_element(By.CSS_SELECTOR, "#new-key input[value=analyst]").click()
    browser.find_element(By.CSS_SELECTOR, "#new-key .primary").click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".new-key"))
    made = browser.find_element(By.CSS_SELECTOR, ".new-key").get_attribute("value") or ""

    def answer() -> httpx.Response:
        return httpx.get(f"{address}/v1/keys/current", headers={"Authorization": f"Bearer {made}"}, trust_env=False)

    assert answer().json()["scope"] == "analyst"
    browser.get(f"{address}/access")
    assert made not in browser.page_source
    (row,) = [each for each in browser.find_elements(By.CSS_SELECTOR, ".keys-table tbody tr") if made[:10] in each.text]
    row.find_element(By.CSS_SELECTOR, ".pop summary").click()
    row.find_element(By.CSS_SELECTOR, ".danger").click()
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".notice"))
    assert answer().status_code == 401
    assert made[:10] not in shown(browser, ".keys-table")
    assert complaints(browser) == []


def test_with_the_keyboard_alone(
    browser: webdriver.Chrome, address: str, admin: str, database: Engine, press: dict[str, str]
) -> None:
    with database.begin() as connection:
        jobs = operations.add_jobs(connection)
    sign_in(browser, address, admin)

    def press_keys(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    def tab_to(css: str) -> None:
        for _ in range(120):
            if browser.execute_script("return document.activeElement?.matches(arguments[0])", css):
                return
            press_keys(Keys.TAB)
        raise AssertionError(f"{css} cannot be reached with Tab")

    # To the companies, into the form, and the company is watched; what has the focus can be seen.
    tab_to('.places a[href="/companies"]')
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    press_keys(Keys.ENTER)
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".companies-table"))
    tab_to('a[href="/companies/new"]')
    press_keys(Keys.ENTER)
    wait(browser).until(lambda b: b.execute_script("return document.activeElement.id") == "name")
    press_keys("周以宁")
    tab_to("#company-form .primary")
    press_keys(Keys.ENTER)
    assert "周以宁" in shown(browser, ".notice")
    # j and k walk the rows.
    press_keys("j")
    first = browser.execute_script("return document.activeElement.textContent")
    press_keys("j")
    assert browser.execute_script("return document.activeElement.textContent") != first
    # A failed job is put back.
    browser.get(f"{address}/operations/queues?status=failed")
    tab_to(".jobs .row-action button")
    press_keys(Keys.SPACE)
    wait(browser).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".notice"))
    with database.connect() as connection:
        status = "SELECT CAST(status AS text) FROM procrastinate_jobs WHERE id = :job"
        assert connection.execute(text(status), {"job": jobs["failed"]}).scalar_one() == "todo"
    # A menu opens with the keyboard and closes with Escape.
    browser.get(f"{address}/access")
    tab_to(".keys-table .pop summary")
    press_keys(Keys.ENTER)
    tab_to(".keys-table .danger")
    press_keys(Keys.ESCAPE)
    assert browser.execute_script("return document.activeElement.matches('.keys-table .pop summary')")
    assert complaints(browser) == []


def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(
    browser: webdriver.Chrome,
    address: str,
    admin: str,
    database: Engine,
    store: ObjectStore,
    press: dict[str, str],
) -> None:
    operations.add_quarantine(store)
    operations.add_adapters(store)
    with database.begin() as connection:
        runs, jobs = operations.add_runs(connection), operations.add_jobs(connection)
        company = connection.execute(text("SELECT id FROM companies ORDER BY id LIMIT 1")).scalar_one()
    names = {"company": company, "run": runs["caixin"], "job": jobs["failed"]}
    axe = AXE.read_text(encoding="utf-8")
    run = (
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(found =>"
        " done(found.violations.map(each => each.id + ' ' + each.nodes.map(node => node.target).join(' '))))"
    )
    sign_in(browser, address, admin)
    browser.set_script_timeout(60)
    for path in PAGES:
        for choice, width in (
            ("lang=zh&theme=light", 1280),
            ("lang=en&theme=dark", 1280),
            ("lang=en&theme=light", 360),
        ):
            resize(browser, width, 800)
            browser.get(f"{address}{path.format(**names)}{'&' if '?' in path else '?'}{choice}")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (path, choice)
            time.sleep(0.1)
            browser.execute_script(axe)
            assert browser.execute_async_script(run) == [], (path, choice)
    assert complaints(browser) == []
