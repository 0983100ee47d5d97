"""Every word of the pages, in Chinese and English: a module a page, and what they share in `common`.

A string is `"key": ("中文", "English")`. `{name}` is filled in; whole numbers get their separators. English that differs with
a number is `"one document|{count} documents"`, chosen by `count`.
"""

from types import ModuleType
from typing import Literal

from gateway.pages.strings import (
    access,
    common,
    companies,
    company,
    document,
    errors,
    family,
    operations,
    overview,
    search,
    sign_in,
)

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")

_MODULES: tuple[ModuleType, ...] = (
    common,
    sign_in,
    overview,
    company,
    document,
    search,
    family,
    companies,
    operations,
    access,
    errors,
)


def _gathered() -> dict[str, tuple[str, str]]:
    gathered: dict[str, tuple[str, str]] = {}
    for module in _MODULES:
        strings: dict[str, tuple[str, str]] = module.STRINGS
        twice = gathered.keys() & strings.keys()
        assert not twice, f"{module.__name__} repeats {sorted(twice)}"
        gathered |= strings
    return gathered


_STRINGS = _gathered()


def translate(language: Language, key: str, **values: object) -> str:
    """The string in this language with its values filled in. Raises KeyError for a key that does not exist."""
    template = _STRINGS[key][LANGUAGES.index(language)]
    if "|" in template and "count" in values:
        one, many = template.split("|")
        template = one if values["count"] == 1 else many
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
    return template.format(**shown) if values else template


def known(key: str) -> bool:
    """Whether the key exists: the model's categories and risk types come from data."""
    return key in _STRINGS
