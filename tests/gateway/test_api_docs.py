"""docs/api.md leaves no operation out."""

import re
from pathlib import Path

from client.generate import openapi

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def _plain(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def test_every_operation_is_in_the_documentation() -> None:
    told = {_plain(path) for path in re.findall(r"(/(?:v1/)?[a-z0-9/_{}-]+)", DOCS.read_text(encoding="utf-8"))}
    document = openapi()
    assert {_plain(path) for path in document["paths"]} <= told


def test_every_kind_of_answer_is_explained() -> None:
    statuses = {
        status for verbs in openapi()["paths"].values() for one in verbs.values() for status in one["responses"]
    }
    explained = set(re.findall(r"\b[345]\d\d\b", DOCS.read_text(encoding="utf-8")))
    assert {status for status in statuses if status >= "400"} <= explained
