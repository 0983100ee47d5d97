"""The Python client: made from the OpenAPI document of this checkout, and good for an integrator's whole day."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from yuqing_client import ApiError, Yuqing, every, models

from client import generate
from tests.gateway import rows
from tests.gateway.conftest import RECORDING, address, key, press  # noqa: F401 - fixtures
from yuqing.objects import ObjectStore


def test_the_client_is_that_of_the_document() -> None:
    document = generate.openapi()
    for name, source in generate.generate(document).items():
        written = (generate.FOLDER / name).read_text(encoding="utf-8")
        assert written == source, f"{name} is stale: PYTHONPATH=. python client/generate.py"
    operations = {operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()}
    assert operations <= set(vars(Yuqing)) and len(operations) >= 35


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"$ref": "#/components/schemas/Thing"}, "Thing"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "datetime | None"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list[Literal['a', 'b']]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"title": "Anything"}, "Any"),
    ],
)
def test_types(schema: dict[str, Any], written: str) -> None:
    assert generate.python_type(schema) == written


def test_an_unknown_form_is_no_type() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        generate.python_type({"oneOf": []})


def test_it_can_be_installed_alone(tmp_path: Path) -> None:
    source = Path(generate.__file__).parent
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = tmp_path / "source"
    subprocess.run(["cp", "-r", source, copy], check=True)
    subprocess.run([*command, "--target", tmp_path / "installed", copy], check=True)
    found = {file.name for file in (tmp_path / "installed" / "yuqing_client").iterdir()}
    assert {"__init__.py", "api.py", "models.py", "transport.py", "py.typed"} <= found


class Unwell(BaseHTTPRequestHandler):
    """Two refusals, then an answer; notes what came."""

    asked: list[dict[str, str]] = []

    def do_GET(self) -> None:
        """Refuse, or answer."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(dict(self.headers))
        good = len(self.asked) > 2
        data = b"[]" if good else b"<html>a proxy's page</html>"
        self.send_response(200 if good else 503)
        self.send_header("Content-Type", "application/json" if good else "text/html")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def do_PATCH(self) -> None:
        """The same."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def unwell() -> Iterator[Yuqing]:
    """A client of a server that refuses twice."""
    Unwell.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unwell)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Yuqing(f"http://127.0.0.1:{server.server_port}", "yq_x", trust_env=False) as client:
        yield client
    server.shutdown()


def test_what_may_be_sent_twice_is_sent_again(unwell: Yuqing) -> None:
    assert unwell.list_companies() == []
    assert len(Unwell.asked) == 3
    Unwell.asked = []
    with pytest.raises(ApiError) as refused:  # an edit may have been done
        unwell.update_company(1, models.ChangedCompany(enabled=False), if_match="*")
    assert (refused.value.status, refused.value.kind, len(Unwell.asked)) == (503, "about:blank", 1)
    assert "a proxy's page" in refused.value.detail
    Unwell.asked = []
    with pytest.raises(ApiError, match="does not know such an answer"):  # 200, where a company is made with 201
        unwell.create_company(models.NewCompany(name="星河汽车"))
    assert len({headers["Idempotency-Key"] for headers in Unwell.asked}) == 1
    assert len(Unwell.asked) == 3


@pytest.mark.service
def test_an_integrators_day(
    address: str,  # noqa: F811
    key: str,  # noqa: F811
    press: dict[str, str],  # noqa: F811
    database: Engine,
    store: ObjectStore,
    tmp_path: Path,
) -> None:
    with database.begin() as connection:
        admin = rows.add_key(connection, "公关部", "admin")
    with Yuqing(address, key, trust_env=False) as api, Yuqing(address, admin, trust_env=False) as office:
        # Companies.
        made = api.create_company(models.NewCompany(name="林知远", aliases=["林总"]))
        read = api.read_company(made.id)
        edited = api.update_company(made.id, models.ChangedCompany(enabled=False), if_match=read.etag or "")
        assert (edited.enabled, edited.aliases) == (False, ["林总"])
        with pytest.raises(ApiError) as stale:
            api.update_company(made.id, models.ChangedCompany(enabled=True), if_match=read.etag or "")
        assert (stale.value.status, stale.value.kind) == (412, "urn:yuqing:problem:changed-meanwhile")
        assert stale.value.cure and stale.value.request_id
        assert api.preview_company(models.NewCompany(name="星河汽车")).documents > 0
        with api.export_companies() as answer:
            table = answer.read()
        assert api.import_companies(table).unchanged == len(api.list_companies())
        # Documents.
        company = next(item for item in api.list_companies() if item.name == "星河汽车")
        page = api.list_documents(company=company.id, sentiment="negative", limit=1)
        assert page.items and page.items[0].companies
        everything = list(every(api.list_documents, limit=2))
        assert len(everything) == len({item.doc_id for item in everything}) > 5
        assert {item.doc_id for item in every(api.search_documents, q="召回")} <= {item.doc_id for item in everything}
        document = api.read_document(press["recall"])
        assert document.verdicts and document.text
        with api.export_documents(format="jsonl", text=True) as answer:
            assert sum(1 for _ in answer.iter_lines()) >= len(everything)
        # Verdicts and their correction.
        verdict = api.read_verdict(press["recall"], company.id)
        change = models.ChangedVerdict(risk_level=4, reason="有起火事故")
        corrected = api.correct_verdict(press["recall"], company.id, change, if_match=verdict.etag or "")
        assert (corrected.risk_level, corrected.sentiment) == (4, verdict.sentiment)
        assert [line.reason for line in api.read_verdict_history(press["recall"], company.id)] == ["有起火事故"]
        api.withdraw_correction(press["recall"], company.id, models.Withdrawal(reason="看错了"), if_match="*")
        assert api.list_verdicts(company.id).items
        # Trends, live, recordings.
        assert api.read_volume(company=company.id, interval="day").series
        names = [event.name for event in api.stream_events(company=company.id, wait=0, last_event_id="0-0")]
        assert {"document", "verdict"} <= set(names)
        sha256 = api.read_document(press["speech"]).recordings[0].sha256
        with api.read_media(sha256) as answer:
            assert answer.read() == RECORDING.read_bytes()
        subtitles = api.read_transcript(sha256, response_format="srt")
        assert isinstance(subtitles, str) and "-->" in subtitles
        spoken = api.read_transcript(sha256, response_format="verbose_json")
        assert isinstance(spoken, models.VerboseTranscript) and spoken.segments
        with RECORDING.open("rb") as file:
            known = api.create_transcription(file)
        assert isinstance(known, models.PlainTranscript) and known.text == spoken.text
        waits = api.create_transcription(b"ID3" + bytes(100), wait=0)
        assert isinstance(waits, models.TranscriptionState) and waits.status == "queued"
        assert [item.sha256 for item in every(api.list_transcriptions, limit=1)] == [waits.sha256, sha256]
        # Keys.
        with pytest.raises(ApiError, match="admin"):
            api.list_keys()
        new = office.create_key(models.KeyToMake(name="日报", scope="viewer"))
        assert office.revoke_key(new.id) is None
        assert {line.action for line in every(office.list_audit_log, limit=3)} >= {"key.create", "verdict.correct"}
        assert api.livez().strip() == "ok"
