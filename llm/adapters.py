"""LoRA adapters on disk: PEFT's layout and a card that says what they were made of."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yuqing.adapters import CARD, AdapterError

__all__ = ["CARD", "CONFIG", "SHIPPED", "WEIGHTS", "Adapter", "AdapterError"]

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
SHIPPED = Path(__file__).parent / "adapters"


@dataclass(frozen=True)
class Adapter:
    """A verified adapter: its folder, PEFT's configuration, and the card."""

    name: str
    folder: Path
    config: dict[str, Any]
    card: dict[str, Any]
    digest: str

    @property
    def served_name(self) -> str:
        """Its name and the beginning of its hash: what lineage says, and its name on S3, which stands for these weights alone."""
        tail = f"-{self.digest[:8]}"
        return self.name if self.name.endswith(tail) else self.name + tail

    @property
    def prompt_version(self) -> str:
        """The prompt that it was trained with."""
        return str(self.card["prompt_version"])


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_adapter(name: str) -> Adapter:
    """The shipped adapter of this name, or the one in the folder so named. Raises AdapterError."""
    folder = Path(name) if "/" in name else SHIPPED / name
    if not (folder / CARD).is_file():
        known = ", ".join(sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))) or "none"
        raise AdapterError(f"there is no adapter {name}", cure=f"shipped are: {known}; or give a folder with a {CARD}")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        expected = str(card["sha256"])
        digest = file_digest(folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        raise AdapterError(f"the adapter in {folder} cannot be read: {error!r}", cure="restore its files") from None
    if digest != expected:
        raise AdapterError(
            f"{folder / WEIGHTS} has the sha256 {digest[:16]}…, its card says {expected[:16]}…",
            cure="restore its files",
        )
    return Adapter(folder.name, folder, config, card, digest)


# Only the document's sentiment was labelled by people; see llm/weak_labels.py for the rest.
_LABELS = {
    "sentiment": "human labels of INEWS",
    "category": "weak labels: words of the title",
    "summary": "weak labels: the title without the site's name",
    "keywords": "weak labels: TF-IDF",
    "companies": "weak labels: names from a list; the document's label where the name stands in title or lead, "
    "cue words elsewhere; risk and evidence by cue words",
}


def write_card(
    folder: Path,
    base: str,
    base_sha256: str,
    prompt_version: str,
    data: dict[str, Any],
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Write the card of the adapter that training left in `folder` (with its run.json), and return it.

    `data` says what it was trained on (name, sha256, licence and the like), `labels` who labelled each part of the answers
    (default: as for INEWS). Paths of the training machine are taken out.
    """
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    card = {
        "name": folder.name,
        "base": {"name": base, "sha256": base_sha256},
        "prompt_version": prompt_version,
        "sha256": file_digest(folder / WEIGHTS),
        "data": data,
        "labels": labels or _LABELS,
        "training": {name: run[name] for name in ("config", "samples", "full_samples", "steps", "seconds")},
        "metrics": {"dev": run["dev"]},
    }
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


def check_base(adapter: Adapter, base_sha256: str) -> None:
    """Raises AdapterError when the adapter was trained on other weights."""
    wanted = str(adapter.card.get("base", {}).get("sha256"))
    if wanted != base_sha256:
        raise AdapterError(
            f"the adapter {adapter.name} was trained on the base {wanted[:16]}…, this one is {base_sha256[:16]}…",
            cure="set YUQING_LLM__BASE to the adapter's base, or choose another adapter",
        )
