"""The command on labelled documents, with a server that has faults."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from llm.analysis.client import LLMAway, LLMClient
from llm.cli import app
from llm.compare import compare
from llm.evaluation.answers import ANSWERS, Kept, Wanted, documents_per_second, read_kept
from llm.evaluation.documents import LabelledDocument, read_documents
from llm.evaluation.figures import Read, by_llm, engine_figures, paired, share
from llm.evaluation.measure import run
from llm.inews import DatasetError
from llm.lines import ensemble_of
from llm.triage import ensemble
from llm.triage.answers import parts_of, read_answers
from llm.triage.model import TriageError
from tests.llm.scripted import Scripted, scripted_server
from yuqing.endpoints import llm_endpoint
from yuqing.settings import Settings, load_settings

ENTITIES = Path(__file__).parents[2] / "data" / "entity_sentiment" / "documents.jsonl"


def _settings(server: Scripted) -> Settings:
    changes = {"url": server.url, "attempts": 1, "circuit_failures": 1, "concurrency": 4}
    return load_settings().model_copy(update={"llm": load_settings().llm.model_copy(update=changes)})


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    wanted = Wanted(read_documents(ENTITIES)[:8], whole=True)
    path = tmp_path / ANSWERS
    with scripted_server() as server:
        settings = _settings(server)
        first = run(wanted, "entities", ["llm", "triage"], tmp_path, settings)
        posts = len(server.asked) - 1  # one asks what is served
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[:5]) + "\n" + lines[5][:20], encoding="utf-8")
        server.asked.clear()
        again = run(wanted, "entities", ["llm", "triage"], tmp_path, settings)
        assert posts == 8
        assert len(server.asked) - 1 == 3
        assert np.array_equal(first.engines["llm"].probabilities, again.engines["llm"].probabilities)
        figures = engine_figures(wanted.documents, again.engines["llm"])
        with pytest.raises(DatasetError, match="belong to another run: sha256"):
            run(Wanted(wanted.documents[:7] + wanted.documents[8:] + wanted.documents[:1], whole=True), "", ["llm"],
                tmp_path, settings)  # fmt: skip
        about = wanted.documents[0]
        fewer = [replace(about, companies=about.companies[:-1]), *wanted.documents[1:]]
        with pytest.raises(DatasetError, match="belong to another run: companies_sha256"):
            run(Wanted(fewer, whole=True), "", ["llm"], tmp_path, settings)
        server.mode = "away"
        path.unlink()
        with pytest.raises(LLMAway):
            run(wanted, "entities", ["llm"], tmp_path, settings)
    # The scripted model calls every document negative, and writes each answer in the form.
    negative = sum(document.sentiment == "negative" for document in wanted.documents)
    assert figures["accuracy"] == pytest.approx(negative / 8)
    assert figures["confusion"][2] == [0, 0, negative]
    assert (figures["answered"], figures["valid_json"]) == (1.0, 1.0)
    assert figures["companies"] == sum(len(document.companies) for document in wanted.documents)
    assert figures["grounded"] == 1.0 and 0 < figures["evidence_companies"] <= 1
    low, high = figures["company_macro_f1_interval"]
    assert low <= figures["company_macro_f1"] <= high


def test_answers_out_of_form_are_counted_and_not_left_out_in_silence(tmp_path: Path) -> None:
    wanted = Wanted(read_documents(ENTITIES)[:4], whole=True)
    with scripted_server() as server:
        server.mode = "nonsense"
        with pytest.raises(DatasetError, match="no answer of the language model can be used, the first because"):
            run(wanted, "entities", ["llm"], tmp_path, _settings(server))
        known = read_kept(tmp_path / ANSWERS, 4)
        assert all(each.error and each.calls == 2 and each.valid_calls == 0 for each in known.values())
        # Three of the four answered well: the share is told.
        for place in (0, 1, 2):
            known[place] = Kept(id=place, sentiment="neutral", confidence=0.9, calls=1, valid_calls=1)
        found = by_llm(Wanted(wanted.documents, whole=False), known)
    assert found.places == [0, 1, 2]
    assert (found.further["answered"], found.further["valid_json"]) == (0.75, 0.6)


def test_the_command_writes_a_report_and_keeps_floors(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    def evaluate(*options: str) -> Any:
        given = ["evaluate", str(ENTITIES), "--engine", "triage", "--out", str(tmp_path / "run"), *options]
        return CliRunner().invoke(app, given)

    floors = tmp_path / "floors.json"
    assert isinstance(evaluate("--floors", str(floors)).exception, Exception)
    begun = evaluate("--floors", str(floors), "--raise-floors")
    assert begun.exit_code == 0 and "floors are kept" not in begun.stdout, "there were none to keep"
    kept = json.loads(floors.read_text())
    again = evaluate("--floors", str(floors))
    assert again.exit_code == 0 and "All floors are kept." in again.stdout
    kept["triage"]["accuracy"] += 0.1
    floors.write_text(json.dumps(kept))
    missed = evaluate("--floors", str(floors), "--raise-floors")
    assert missed.exit_code == 1
    assert "triage accuracy" in missed.stderr and "below its floor" in missed.stderr
    assert json.loads(floors.read_text()) == kept  # nothing moves down
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert report["below_floors"] and report["below_floors"][0] in text
    assert f"{report['engines']['triage']['company_macro_f1']:.3f}" in text
    for picture in ("confusion.png", "reliability.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
        assert f"]({picture})" in text


def test_what_cannot_be_measured_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    def evaluate(*options: str) -> str:
        given = ["evaluate", str(ENTITIES), "--out", str(tmp_path / "run"), *options]
        return str(CliRunner().invoke(app, given).exception)

    floors = tmp_path / "floors.json"
    floors.write_text(json.dumps({"llm": {"accuracy": 0.5}}))
    assert "floors for llm, which is not measured" in evaluate("--engine", "triage", "--floors", str(floors))
    assert "--whole asks a server" in evaluate("--whole", "--local")
    assert not (tmp_path / "run").exists()


def test_weights_are_taken_for_the_adapter_that_answers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, fitted = Wanted(read_documents(ENTITIES)[:3], whole=False), ensemble.Ensemble(0.5, 0.5, (0.0, 0.0, 0.0))
    with scripted_server() as server:  # which serves tests-1
        settings = _settings(server)

        def fitted_on(adapter: str) -> None:
            monkeypatch.setattr(ensemble, "_read", lambda folder: (fitted, parts_of(settings, adapter)))

        fitted_on("tests-1")
        found = run(wanted, "", ["ensemble"], tmp_path / "run", settings)
        assert found.engines.keys() == {"ensemble"} and not found.left_out
        asyncio.run(_one_line(ensemble_of(settings), settings))
        fitted_on("inews-v1-0a1b2c3d")
        found = run(wanted, "", ["ensemble"], tmp_path / "run", settings)
        assert "fitted for the adapter inews-v1-0a1b2c3d, not for tests-1" in found.left_out["ensemble"]
        with pytest.raises(TriageError, match="inews-v1-0a1b2c3d, not for tests-1"):
            ensemble_of(settings)


async def _one_line(ask: Any, settings: Settings) -> None:
    async with LLMClient(llm_endpoint(settings), settings.llm) as client:
        assert (await ask(client, {"title": "滴滴道歉", "text": "滴滴道歉。"}))["sentiment"] == "negative"


def test_answers_with_separators_of_unicode_and_one_cut_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / ANSWERS
    refused = Kept(id=0, error="无\u2028效").model_dump_json(exclude_none=True)
    answered = Kept(id=1).model_dump_json(exclude_none=True)
    path.write_bytes(f"{refused}\n{answered}\n{refused}".encode()[:-5])
    assert read_kept(path, 2).keys() == {0, 1}
    assert read_answers(path, 2).keys() == {1}


def test_a_share_and_its_interval() -> None:
    value, (low, high) = share(90, 100)
    assert value == 0.9
    assert 0.82 < low < 0.86 and 0.94 < high < 0.98  # Clopper-Pearson: .824 to .951
    assert share(5, 5) == (1.0, (1.0, 1.0))
    with pytest.raises(ValueError):
        share(0, 0)


def test_speed_counts_each_run_by_its_own_clock() -> None:
    kept = [Kept(id=k, run=1 + k // 3, at_s=[1.0, 2.0, 4.0, 0.5, 1.0][k]) for k in range(5)]
    assert documents_per_second(kept) == 1.0


def test_labels_are_compared_on_the_documents_that_both_answered() -> None:
    documents = [LabelledDocument(f"题{k}", "文", "neutral") for k in range(4)]
    neutral, negative = [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]
    new = Read([0, 1, 3], np.array([neutral, neutral, negative]), {})
    old = Read([0, 1, 2, 3], np.array([negative, neutral, neutral, neutral]), {})
    found = paired(documents, new, old)
    assert found["documents"] == 3
    assert found == compare(["neutral"] * 3, ["neutral", "neutral", "negative"], ["negative", "neutral", "neutral"])
