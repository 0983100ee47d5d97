"""The engines of an evaluation, each measured on the same labelled documents."""

import json
from collections.abc import Sequence
from pathlib import Path

from llm.evaluation.answers import ABOUT, Wanted, ask_server
from llm.evaluation.figures import Read, TriageError, by_ensemble, by_llm, by_triage
from llm.evaluation.report import Evaluation
from llm.inews import DatasetError
from yuqing.settings import Settings

ENGINES = ("triage", "llm", "ensemble")


def run(
    wanted: Wanted,
    name: str,
    engines: Sequence[str],
    folder: Path,
    settings: Settings,
    *,
    local: bool = False,
    adapter: str | None = None,
) -> Evaluation:
    """Measure these of ENGINES; the language model's answers are kept in the folder. `local`, `adapter`: as in the command.

    Raises LLMAway, LLMRefused, AdapterError; DatasetError when no answer can be used, or the folder is another run's.
    """
    read: dict[str, Read] = {}
    left_out, about = {}, {}
    needs = {"triage", "llm", "ensemble"} if "ensemble" in engines else set(engines)
    if "triage" in needs:
        read["triage"] = by_triage(wanted.documents)
    if "llm" in needs:
        if local:
            from llm.evaluation.local import adapter_named, label_here

            kept = label_here(wanted, folder, settings, adapter_named(adapter, settings))
        else:
            kept = ask_server(wanted, folder, settings)
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        try:
            read["llm"] = by_llm(wanted, kept)
        except ValueError:
            reason = next(iter(kept.values())).error
            raise DatasetError(f"no answer of the language model can be used, the first because {reason}") from None
    if "ensemble" in engines:
        try:
            read["ensemble"] = by_ensemble(read["triage"], read["llm"], settings, about["served"]["adapter"])
        except TriageError as error:
            left_out["ensemble"] = str(error)
    shown = {each: read[each] for each in ENGINES if each in read and each in engines}
    return Evaluation(name, wanted.documents, shown, left_out, about)
