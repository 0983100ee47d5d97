"""Debian's Chromium without a window, for the tests and the pictures."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu --window-size=1280,900 --lang=zh-CN "
    "--hide-scrollbars --force-prefers-reduced-motion --autoplay-policy=no-user-gesture-required"
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """It may ask no host but ours, and what it logs is kept."""
    driver = shutil.which("chromedriver")
    assert driver is not None, "chromedriver is not installed (apt install chromium chromium-driver)"
    options = webdriver.ChromeOptions()
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def wait(browser: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    """Patient: a busy machine is no failure."""
    return WebDriverWait(browser, 60)


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Warnings and errors of the console since the last call."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] in ("WARNING", "SEVERE")]


def resize(browser: webdriver.Chrome, width: int, height: int) -> None:
    """As a phone or a desktop of this size would show it."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def sign_in(browser: webdriver.Chrome, address: str, key: str, language: str = "zh") -> None:
    """Through the form, up to the overview."""
    browser.get(f"{address}/sign-in?lang={language}")
    browser.find_element(By.ID, "key").send_keys(key)
    browser.find_element(By.CSS_SELECTOR, "#sign-in .primary").click()
    wait(browser).until(lambda b: b.find_elements(By.ID, "standing"))
