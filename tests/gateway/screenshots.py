"""Pictures of every page for docs/: python -m tests.gateway.screenshots [--into FOLDER] [--only BEGINNING ...] [--serve]

Starts a PostgreSQL and an object store of its own, fills them with six weeks of a made-up press, and photographs each page in
headless Chromium: Chinese and English, light and dark, desktop and phone.
`--serve` stays up and prints an address with a key.
"""

import argparse
import base64
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.gateway import month, operations, rows
from tests.gateway.browsing import chromium, resize, sign_in
from tests.gateway.conftest import RECORDING, running
from yuqing.database import session
from yuqing.embedded import services as embedded
from yuqing.embedded.supervisor import Supervisor
from yuqing.objects import ObjectStore
from yuqing.settings import load_settings

DOCS = Path(__file__).parents[2] / "docs" / "pictures"
DESKTOP, PHONE = (1360, 900), (390, 844)


@dataclass(frozen=True)
class Picture:
    """A page in one language, theme and size."""

    name: str
    path: str
    language: str = "zh"
    theme: str = "light"
    size: tuple[int, int] = DESKTOP


@contextmanager
def press_office(port: int = 35641) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A gateway over the press: its address, an analyst's key, and the named documents."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        planned = embedded.plan(
            load_settings(data_dir=folder, embedded={"postgres_port": port, "s3_port": port + 1}), ["database", "s3"]
        )
        supervisor = Supervisor(planned.services, folder / "logs", 20, None)
        supervisor.start()
        try:
            supervisor.wait_until_ready()
            changes = {"data_dir": folder, "database": {"url": planned.addresses["database"]["url"]}}
            changes["s3"] = planned.addresses["s3"]
            settings = load_settings(**changes)
            pool = session.engine(settings)
            with pool.begin() as connection:
                key = rows.add_key(connection, "品牌公关部", "admin")
                ids = rows.add_press(connection, RECORDING.read_bytes(), "品牌公关部")
                month.add_month(connection)
                operations.add_runs(connection)
                operations.add_jobs(connection)
                s3_key, content_type = connection.exec_driver_sql("SELECT s3_key, content_type FROM media").one()
            pool.dispose()
            store = ObjectStore.from_settings(settings)
            store.put_file(s3_key, RECORDING, content_type=content_type)
            operations.add_quarantine(store)
            operations.add_adapters(store)
            with running(**changes) as address:
                yield address, key, ids
        finally:
            supervisor.stop()


def pictures(ids: dict[str, str], company: str, family: str) -> list[Picture]:
    """Every page; each in both languages, both themes and both sizes at least once."""
    pages = {
        "overview": "/",
        "company": company,
        "document": f"/documents/{ids['recall']}",
        "recording": f"/documents/{ids['speech']}",
        "search": "/search?q=%E5%BF%AB%E5%85%85",
        "family": family,
        "companies": "/companies",
        "company-form": f"{company}/edit",
        "operations": "/operations",
        "queues": "/operations/queues",
        "quarantine": "/operations/quarantine",
        "adapters": "/operations/adapters",
        "usage": "/operations/usage",
        "access": "/access",
    }
    made = []
    for name, path in pages.items():
        made += [
            Picture(f"{name}-zh", path),
            Picture(f"{name}-en-dark", path, "en", "dark"),
            Picture(f"{name}-zh-phone", path, size=PHONE),
            Picture(f"{name}-en-dark-phone", path, "en", "dark", PHONE),
        ]
    return made


def photograph(browser: webdriver.Chrome, address: str, picture: Picture, folder: Path) -> Path:
    """Save one picture as WebP."""
    resize(browser, *picture.size)
    joint = "&" if "?" in picture.path else "?"
    browser.get(f"{address}{picture.path}{joint}lang={picture.language}&theme={picture.theme}")
    time.sleep(1.5)  # charts grow for 0.3 s, on a busy machine for longer
    path = folder / f"{picture.name}.webp"
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80})
    path.write_bytes(base64.b64decode(shot["data"]))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=DOCS)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--serve", action="store_true", help="stay up until interrupted")
    given = parser.parse_args()
    wanted = tuple(given.only)
    given.into.mkdir(parents=True, exist_ok=True)
    with press_office() as (address, key, ids):
        if given.serve:
            print(
                f"{address}/sign-in#{key}", *(f"{name} {doc_id}" for name, doc_id in ids.items()), sep="\n", flush=True
            )
            while True:
                time.sleep(60)
        with chromium() as browser:
            sign_in(browser, address, key)
            link = browser.find_element(By.LINK_TEXT, "星河汽车").get_attribute("href") or ""
            browser.get(link)
            family = browser.find_element(By.CSS_SELECTOR, "#families-title + .feed a").get_attribute("href") or ""
            for picture in pictures(ids, urlsplit(link).path, urlsplit(family).path):
                if f"{picture.name}.".startswith(wanted):
                    print(photograph(browser, address, picture, given.into))


if __name__ == "__main__":
    main()
