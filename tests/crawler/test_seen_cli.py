"""`yuqing seen`: what it prints, and what it says when something is wrong."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from crawler.seen import load
from crawler.seen_cli import app
from tests.crawler.seen.conftest import DAY, HOUR, History, a_site, known, page
from yuqing.cli import main
from yuqing.objects import ObjectStore
from yuqing.settings import get_settings
from yuqing.sites import Site

pytestmark = pytest.mark.service


@dataclass
class Command:
    """Runs `yuqing seen` in this process."""

    history: History
    folder: Path

    def define(self, *sites: Site) -> None:
        for site in sites:
            fields = site.model_dump(mode="json", exclude_defaults=True)
            (self.folder / f"{site.name}.yaml").write_text(yaml.safe_dump(fields, allow_unicode=True))

    def __call__(self, *arguments: str, status: int = 0) -> Any:
        answer = CliRunner().invoke(app, [*arguments, "--json"])
        assert answer.exit_code == status, answer.output
        self.stderr = answer.stderr
        return json.loads(answer.stdout)

    def fails(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        """The complaint of a command that exits with status 2."""
        with pytest.raises(SystemExit) as raised:
            main(["seen", *arguments])
        assert raised.value.code == 2
        return capsys.readouterr().err


@pytest.fixture
def command(
    environment: dict[str, str], store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    store.ensure_bucket()
    folder = tmp_path / "sites"
    folder.mkdir()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("YUQING_CRAWLER__SITES_FOLDERS", json.dumps([str(folder)]))
    get_settings.cache_clear()
    command = Command(History(store), folder)
    command.define(a_site())
    yield command
    get_settings.cache_clear()


def test_import_stats_contains_compact(command: Command, tmp_path: Path) -> None:
    history = command.history
    history.batch(3 * DAY, [1, 2])
    history.batch(2 * DAY, [3])
    history.batch(HOUR, [3, 4])
    addresses = ["http://example.cn/2", "http://example.cn/5?utm_source=x", "http://EXAMPLE.cn/5#top", "https://m.cn/6"]
    bad = [7, None, "no address", "http://[1/", ["http://example.cn/8"]]
    (tmp_path / "list.json").write_text(json.dumps([*addresses, *bad]), encoding="utf-8-sig")
    done = command("import", "one", str(tmp_path / "list.json"), status=1)
    assert {name: done[name] for name in ("entries", "new", "known", "articles", "bad")} == {
        "entries": 9, "new": 2, "known": 2, "articles": 3, "bad": 5,
    }  # fmt: skip
    assert [place for place, _ in done["first_bad"]] == [5, 6, 7, 8, 9]
    assert "entry 7: not an http(s) address: 'no address'" in command.stderr
    assert known(load(history.store, a_site()), range(9)) == {1, 2, 3, 4, 5}

    (tmp_path / "object.json").write_text(json.dumps(dict.fromkeys(addresses, "2019-01-01")))
    again = command("import", "one", str(tmp_path / "object.json"))
    assert (again["new"], again["known"], again["segment"]) == (0, 4, None)

    (one,) = command("stats")["sites"]
    assert (one["site"], one["addresses"], one["segments"], one["bytes"]) == ("one", 6, 4, 7 * 8)
    assert one["oldest"] < one["newest"]
    assert command("stats", "one") == {"addresses": 6, "sites": [one]}

    settled = command("contains", "one", "http://example.cn:80/3?spm=7#x")
    assert settled["canonical_url"] == "http://example.cn/3"
    assert settled["hash"] == f"{page(3):016x}"
    assert (settled["settled"], settled["exact"], settled["due"], len(settled["segments"])) == (True, True, False, 2)
    assert settled["first"] < settled["last"]
    assert not command("contains", "one", "http://example.cn/9", status=1)["settled"]

    merged = command("compact", "--all")
    assert (merged["merged"], merged["sites"][0]["segments_after"]) == (3, 2)
    assert command("compact", "one")["merged"] == 0
    settled = command("contains", "one", "http://example.cn/1")
    assert (settled["settled"], settled["exact"]) == (True, False)
    assert settled["first"] < settled["last"]
    assert command("stats")["addresses"] == 6


def test_a_damaged_set_does_not_keep_others_from_being_merged(command: Command) -> None:
    command.define(a_site().model_copy(update={"name": "another"}))
    key = command.history.batch(2 * DAY, [1])
    command.history.store.put("seen/another/2026/01/01/01J00000000000000000000000.u64", b"broken")
    assert [one["site"] for one in command("compact", "--all", status=1)["sites"]] == ["one"]
    assert "seen/another/2026/01/01/01J00000000000000000000000.u64 is damaged" in command.stderr
    assert key not in command.history.segments()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('["http://example.cn/1", ', "is no JSON: Expecting value: line 1"),
        (b"\xff\xfe[", "is not UTF-8 at byte 0"),
        ('"http://example.cn/1"', "is neither a JSON list nor an object"),
        ('{"urls": ["http://example.cn/1"]}', "holds no address among 1 entries; entry 1: not an http(s) address"),
        ("[]", "holds no address among 0 entries"),
        ("[" * 100_000, "is nested too deeply"),
        (f"[{'9' * 5000}]", "is no JSON"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_cannot_be_imported(
    command: Command, tmp_path: Path, content: str | bytes | None, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = command.fails(capsys, "import", "one", str(path))
    assert f"{path} {complaint}" in said
    assert "  -> " in said
    assert not command.history.segments()


def test_complaints(command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ("compact", "none"),
        ("stats", "none"),
        ("contains", "none", "http://a.cn/"),
        ("import", "none", "x"),
    ):
        said = command.fails(capsys, *arguments)
        assert "there is no site 'none'" in said
        assert "the sites are one" in said
    assert "no site was named" in command.fails(capsys, "compact")
    assert "'example.cn/1' is no address" in command.fails(capsys, "contains", "one", "example.cn/1")
    monkeypatch.setenv("YUQING_S3__ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("YUQING_S3__ATTEMPTS", "1")
    get_settings.cache_clear()
    for arguments in (("compact", "one"), ("stats",), ("contains", "one", "http://example.cn/1")):
        assert "S3 at http://127.0.0.1:9 does not answer" in command.fails(capsys, *arguments)
