import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.evaluation.documents import content_digest, document_of
from llm.evaluation.floors import Floors, misses, raised, read_floors, write_floors
from llm.inews import DatasetError

FIGURES = {"llm": {"accuracy": 0.8, "ece": 0.05, "documents": 100, "labels": {}}}
SHARES = st.floats(0, 1)


@given(SHARES, SHARES, SHARES, SHARES)
def test_floors_never_move_back_and_a_raised_one_is_kept(
    floor: float, most: float, accuracy: float, ece: float
) -> None:
    floors: Floors = {"llm": {"accuracy": floor, "ece_most": most}}
    figures = {"llm": {"accuracy": accuracy, "ece": ece}}
    found = raised(floors, figures)
    assert found["llm"]["accuracy"] == max(floor, accuracy)
    assert found["llm"]["ece_most"] == min(most, ece)
    assert len(misses(floors, figures)) == (accuracy < floor) + (ece > most)
    assert len(misses(found, figures)) == len(misses(floors, figures))


def test_a_floor_without_its_figure_names_the_nearest() -> None:
    with pytest.raises(DatasetError, match=r"llm.acuracy.*did you mean accuracy\?"):
        misses({"llm": {"acuracy": 0.5}}, FIGURES)
    with pytest.raises(DatasetError, match="floors for triage, which is not measured"):
        misses({"triage": {"accuracy": 0.5}}, FIGURES)
    floors: Floors = {"llm": {"accuracy": 0.7}, "ensemble": {"accuracy": 0.9}}
    assert misses(floors, FIGURES, {"ensemble": "there are no weights"}) == [
        "ensemble was not measured, because there are no weights"
    ]
    assert raised(floors, FIGURES)["ensemble"] == floors["ensemble"]


def test_floors_of_other_documents_and_of_other_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "floors.json"
    company = {"name": "滴滴", "sentiment": "negative", "evidence": ["滴滴道歉"], "risk": 2}
    record = {"title": "题", "text": "滴滴道歉。美团没有。", "sentiment": "negative", "companies": [company]}
    documents = [document_of(record, "1")]
    assert read_floors(path, documents) == {}
    write_floors(path, raised({}, FIGURES), documents)
    floors = {"llm": {"documents": 100, "accuracy": 0.8, "ece_most": 0.05}}
    assert read_floors(path, documents) == floors
    with pytest.raises(DatasetError, match="other documents"):
        read_floors(path, [document_of({**record, "title": "另题"}, "1")])
    changes: tuple[dict[str, Any], ...] = (
        {"sentiment": "neutral"},
        {"evidence": ["道歉"]},
        {"risk": 3},
        {"risk": None},
    )
    relabelled = [{**record, "sentiment": "neutral"}, *({**record, "companies": [company | each]} for each in changes)]
    for each in relabelled:
        assert content_digest([document_of(each, "1")]) == content_digest(documents)
        with pytest.raises(DatasetError, match="labels of these documents are others"):
            read_floors(path, [document_of(each, "1")])
    path.write_text(json.dumps(floors))
    assert read_floors(path, [document_of(relabelled[0], "1")]) == floors, "a file without digests is for any documents"
    for text in ("{", json.dumps([1]), json.dumps({"llm": {"accuracy": "high"}}), json.dumps({"llm": 1})):
        path.write_text(text)
        with pytest.raises(DatasetError, match="cannot be read"):
            read_floors(path, documents)
