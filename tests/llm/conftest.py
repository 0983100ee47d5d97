"""The language model's real server, started once a session, and documents that wait to be analysed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tests.own_port import own_port
from yuqing.database.models import Company, Document, MentionRow, ReprintGroup, Team
from yuqing.embedded import ports, processes, vllm
from yuqing.identity import content_hash, doc_id
from yuqing.jobs import ANALYZE, Job, defer_in_transaction
from yuqing.settings import load_settings

_KEY = "key-of-the-tests"


@dataclass(frozen=True)
class Server:
    """The environment that points a process at the server."""

    environment: dict[str, str]


@pytest.fixture(scope="session")
def llm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM with the shipped adapter merged into the base, as `yuqing up` starts it.

    TEST_LLM_URL and TEST_LLM_KEY name one that runs already, which saves the minute of its start.
    """
    if "TEST_LLM_URL" in os.environ:
        yield Server({"YUQING_LLM__URL": os.environ["TEST_LLM_URL"], "YUQING_LLM__API_KEY": os.environ["TEST_LLM_KEY"]})
        return
    port = own_port()
    log = tmp_path_factory.mktemp("llm") / "vllm.log"
    command = [sys.executable, "-m", "yuqing", "llm", "serve", "--port", str(port)]
    with log.open("wb") as output:
        child = processes.start(command, environment={"YUQING_LLM__API_KEY": _KEY}, output=output)
    url = f"http://{ports.HOST}:{port}/v1"
    settings = load_settings()
    try:
        deadline = time.monotonic() + settings.embedded.llm_start_timeout_s
        while not vllm.is_ready(url, _KEY, settings.llm.model):
            assert child.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(1)
        yield Server({"YUQING_LLM__URL": url, "YUQING_LLM__API_KEY": _KEY})
    finally:
        processes.stop(child, 15, 20)


@dataclass(frozen=True)
class News:
    """A document to be put into the database."""

    name: str
    title: str
    text: str
    companies: tuple[str, ...]
    group: str = ""


NEWS = (
    News(
        "didi",
        "滴滴下线顺风车业务并道歉",
        "滴滴今天宣布下线顺风车业务。公司就乘客遇害一事向家属道歉，并称将整改。美团没有回应。",
        ("滴滴", "美团"),
    ),
    News("gree", "格力电器捐赠一千万元抗灾", "格力电器昨日向灾区捐赠一千万元。当地政府表示感谢。", ("格力电器",)),
    News("midea", "美的集团公布年报", "美的集团公布年报，营业收入同比持平。分析师认为符合预期。", ("美的集团",)),
    News(
        "didi-again",
        "滴滴下线顺风车业务并道歉",
        "滴滴今天宣布下线顺风车业务。公司就乘客遇害一事向家属道歉，并称将整改。美团没有回应。",
        ("滴滴", "美团"),
        "didi",
    ),
    News(
        "didi-edited",
        "滴滴顺风车下线",
        "滴滴今天宣布下线顺风车业务。公司就乘客遇害一事向家属道歉。",
        ("滴滴",),
        "didi",
    ),
)


# A company in passing: what triage answers without the language model.
WEATHER = News(
    "weather",
    "周末全国大部分地区天气预报",
    "据中央气象台预报，周末全国大部分地区以晴到多云为主。市民可以通过支付宝查询实时天气。"
    "气温方面，北方白天最高气温在20度左右。南方部分地区有小雨。",
    ("支付宝",),
)


def identity(name: str) -> str:
    """The doc_id of a News by its name."""
    return doc_id("page", f"https://news.test/{name}")


def put_news(pool: Engine, news: tuple[News, ...] = NEWS) -> dict[str, int]:
    """Write the documents with their mentions and jobs as cleaning does; returns the companies' ids by name."""
    time_of = {item.name: datetime(2026, 1, 1, 8, index, tzinfo=UTC) for index, item in enumerate(news)}
    names = sorted({name for item in news for name in item.companies})
    with pool.begin() as connection:
        team = connection.execute(insert(Team).values(name="demo").returning(Team.id)).scalar_one()
        ids = {
            name: connection.execute(insert(Company).values(team_id=team, name=name).returning(Company.id)).scalar_one()
            for name in names
        }
        for item in news:
            key, group = identity(item.name), identity(item.group or item.name)
            version = content_hash(item.text)
            if not item.group:
                connection.execute(insert(ReprintGroup).values(group_id=group, first_seen=time_of[item.name]))
            connection.execute(
                insert(Document).values(
                    doc_id=key, content_hash=version, kind="page", site="test", url=f"https://news.test/{item.name}",
                    canonical_url=f"https://news.test/{item.name}", title=item.title, text=item.text,
                    first_seen=time_of[item.name], fetched_at=time_of[item.name], language="zh", segments=[],
                    group_id=group, batch_key="raw/test/1.jsonl.gz", cleaning_version="test", search="",
                )
            )  # fmt: skip
            for name in item.companies:
                start = item.text.index(name)
                spans = [{"field": "text", "start": start, "end": start + len(name), "name": name}]
                connection.execute(
                    insert(MentionRow).values(
                        doc_id=key, company_id=ids[name], content_hash=version, spans=spans, relevance=0.5
                    )
                )
            arguments = {"doc_id": key, "content_hash": version}
            defer_in_transaction(connection, [Job(ANALYZE, ANALYZE, arguments, f"{ANALYZE}:{key}:{version}")])
    return ids


def yuqing(*arguments: str, environment: dict[str, str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; both outputs are kept."""
    return subprocess.run(
        [sys.executable, "-m", "yuqing", *arguments],
        env=dict(os.environ) | environment, input=given, capture_output=True, text=True, timeout=540, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
