"""The language model's labels without a server: base and adapter in this process, a pass over each prompt, no token generated."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.adapters import WEIGHTS, Adapter, check_base, load_adapter
from llm.analysis.prompts import build_prompt
from llm.analysis.scores import Label
from llm.dataset import Sample
from llm.evaluation.answers import ANSWERS, Kept, Wanted, about_of, claim, read_kept
from llm.inews import DatasetError
from llm.merge import base_path, base_sha256, merge_tensors, scale_of
from llm.registry import of_the_settings
from llm.training.base import no_bars_in_files
from llm.triage.answers import open_to_go_on
from llm.triage.model import label_of
from yuqing.contracts import SENTIMENTS
from yuqing.embedded.vllm import cores_have_bf16
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)

CHUNK = 32  # texts that are sorted by length together, and what an interruption costs at most


class Reader:
    """The settings' base with an adapter merged into it, as it would be served, and how it reads titles and texts.

    In bfloat16 where the CPU has instructions for it, as a server there does. `threads` of 1 where something else wants the
    cores. Raises AdapterError for an adapter of another base.
    """

    def __init__(self, settings: Settings, adapter: Adapter | None, *, threads: int | None = None) -> None:
        try:
            import torch
            from safetensors.torch import load_file
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise DatasetError(
                f"labels without a server need {error.name}", cure="pip install 'yuqing[train]'"
            ) from None
        no_bars_in_files()
        if threads:
            torch.set_num_threads(threads)
        self._settings = settings
        folder = base_path(settings)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        if adapter is not None:
            check_base(adapter, base_sha256(settings))
            # In bfloat16, as in the merged folder that a server gets: the same numbers.
            weights = dict(model.state_dict())
            merge_tensors(weights, load_file(adapter.folder / WEIGHTS), scale_of(adapter.config))
            model.load_state_dict(weights)
        self._bf16 = cores_have_bf16()
        self._model = (model if self._bf16 else model.float()).eval()

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Label]:
        """The labels of (title, text) pairs."""
        from llm.training.scoring import label_probabilities, numbers

        budget = self._settings.llm.label_text_tokens
        samples = [
            Sample(build_prompt(title, text, (), budget=budget).messages, "", False, "") for title, text in pairs
        ]
        with numbers(self._bf16):
            rows = label_probabilities(self._model, self._tokenizer, samples)
        return [label_of(np.array([row[name] for name in SENTIMENTS])) for row in rows]


def label_here(wanted: Wanted, folder: Path, settings: Settings, adapter: Adapter | None) -> dict[int, Kept]:
    """The documents' labels, from the folder or read now and kept there. Raises DatasetError, AdapterError."""
    served = {"engine": "transformers", "model": settings.llm.base, "adapter": adapter.served_name if adapter else None}
    claim(folder, about_of(wanted, served, settings))
    known = read_kept(folder / ANSWERS, len(wanted.documents))
    left = [place for place in range(len(wanted.documents)) if place not in known]
    if not left:
        return known
    read, run, began = Reader(settings, adapter), 1 + max((each.run for each in known.values()), default=0), 0.0
    with open_to_go_on(folder / ANSWERS) as file:
        began = time.monotonic()
        for start in range(0, len(left), CHUNK):
            chosen = left[start : start + CHUNK]
            labels = read([(wanted.documents[place].title, wanted.documents[place].text) for place in chosen])
            at = round(time.monotonic() - began, 3)
            for place, label in zip(chosen, labels, strict=True):
                file.write(json.dumps({"id": place, **vars(label), "run": run, "at_s": at}) + "\n")
            file.flush()
            done = start + len(chosen)
            log.info(
                "labelled", documents=done, left=len(left) - done, seconds_left=round(at / done * (len(left) - done))
            )
    return read_kept(folder / ANSWERS, len(wanted.documents))


def adapter_named(name: str | None, settings: Settings) -> Adapter | None:
    """A shipped adapter or a folder by its name; None for "base"; without a name the one that would be served."""
    if name is None:
        return of_the_settings(settings)
    return None if name == "base" else load_adapter(name)
