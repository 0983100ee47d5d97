"""Company-level sentiment keeps its floors, which only rise: floors.json."""

import json
from pathlib import Path

import pytest

from llm.entity.evaluate import evaluate, load
from llm.inews import DatasetError

DOCUMENTS = Path(__file__).parents[2] / "data" / "entity_sentiment" / "documents.jsonl"
FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text(encoding="utf-8"))


def test_the_documents_are_what_their_description_says() -> None:
    documents = load(DOCUMENTS)
    assert len(documents) >= 120
    assert len({document.id for document in documents}) == len(documents)
    assert {document.part for document in documents} == {"dev", "test"}
    for document in documents:
        assert 2 <= len(document.companies) <= 4
        for each in document.companies:
            assert each.evidence
            names = (each.company.name, *each.company.aliases)
            assert any(name in document.text for name in names), (document.id, names)
    for line in DOCUMENTS.read_text(encoding="utf-8").splitlines():
        for company in json.loads(line)["companies"]:
            assert company["sentiment"] in company["readings"]


def test_the_rules_alone_are_better_than_the_documents_label() -> None:
    test = [document for document in load(DOCUMENTS) if document.part == "test"]
    found, floor = evaluate(test), FLOORS["rules"]
    assert found["macro_f1"] >= floor["macro_f1"]
    copied = max(found["copied_human"], found["copied_triage"])
    assert found["macro_f1"] - copied >= floor["gain"]
    assert found["evidence"]["companies"] >= floor["evidence_companies"]
    assert found["evidence"]["quotes"] >= floor["evidence_quotes"]
    assert found["evidence"]["grounded"] >= floor["grounded"]
    assert found["ece"] <= floor["ece_most"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text(DOCUMENTS.read_text(encoding="utf-8").splitlines()[0] + '\n{"id": 1}\n')
    with pytest.raises(DatasetError, match="line 2"):
        load(broken)
