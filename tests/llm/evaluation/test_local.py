"""Labels in this process are those of the weights that a server would be given."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.adapters import AdapterError
from llm.analysis.prompts import build_prompt
from llm.dataset import Sample
from llm.evaluation.answers import ANSWERS, Wanted
from llm.evaluation.documents import read_documents
from llm.evaluation.local import Reader, label_here
from llm.inews import DatasetError
from llm.merge import merged_path
from llm.training.scoring import label_probabilities
from tests.llm.evaluation.test_documents import ENTITIES
from tests.llm.tiny import save_tiny_model, write_adapter, write_manifest
from yuqing.embedded.vllm import cores_have_bf16
from yuqing.settings import load_settings


@pytest.mark.service
def test_an_adapter_is_read_as_it_is_served_and_a_run_goes_on(tmp_path: Path) -> None:
    base = tmp_path / "tiny"
    save_tiny_model(base)
    write_manifest(base)
    adapter = write_adapter(tmp_path / "mine", base, seed=3)
    llm = load_settings().llm.model_copy(update={"base": str(base), "label_text_tokens": 40})
    settings = load_settings(cache_dir=tmp_path / "cache").model_copy(update={"llm": llm})
    wanted = Wanted(read_documents(ENTITIES)[:40], whole=False)
    first = label_here(wanted, tmp_path / "out", settings, adapter)

    merged = merged_path(settings, adapter)
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    messages = build_prompt(wanted.documents[7].title, wanted.documents[7].text, (), budget=40).messages
    tokenizer = AutoTokenizer.from_pretrained(merged)
    (expected,) = label_probabilities(model, tokenizer, [Sample(messages, "", False, "")])
    near = 0.02 if cores_have_bf16() else 2e-4
    assert first[7].confidence == pytest.approx(max(expected.values()), abs=near)
    assert first[7].sentiment == max(expected, key=lambda label: expected[label])

    path = tmp_path / "out" / ANSWERS
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:33]) + "\n" + lines[33][:9])
    again = label_here(wanted, tmp_path / "out", settings, adapter)
    assert [each.label for each in again.values()] == [each.label for each in first.values()]
    assert {each.run for each in again.values()} == {1, 2}
    with pytest.raises(DatasetError, match="belong to another run: served"):
        label_here(wanted, tmp_path / "out", settings, None)

    other = tmp_path / "other"
    save_tiny_model(other, width=64)
    write_manifest(other)
    foreign = write_adapter(tmp_path / "foreign", other, seed=3)
    with pytest.raises(AdapterError, match="was trained on the base"):
        Reader(settings, foreign)
