"""LoRA adapters on disk: PEFT's layout and a card that says what they were made of."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yuqing.errors import YuqingError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "card.json"
SHIPPED = Path(__file__).parent / "adapters"


class AdapterError(YuqingError):
    """An adapter is missing, damaged, or made for another base model."""


@dataclass(frozen=True)
class Adapter:
    """A verified adapter: its folder, PEFT's configuration, and the card."""

    name: str
    folder: Path
    config: dict[str, Any]
    card: dict[str, Any]
    digest: str

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


def check_base(adapter: Adapter, base_sha256: str) -> None:
    """Raises AdapterError when the adapter was trained on other weights."""
    wanted = str(adapter.card.get("base", {}).get("sha256"))
    if wanted != base_sha256:
        raise AdapterError(
            f"the adapter {adapter.name} was trained on the base {wanted[:16]}…, this one is {base_sha256[:16]}…",
            cure="set YUQING_LLM__BASE to the adapter's base, or choose another adapter",
        )
