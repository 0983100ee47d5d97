"""The measured figures, each with the command that printed it and its date."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from yuqing.errors import YuqingError


class Figure(BaseModel):
    """A number, its unit, and where it comes from; not `measured`: computed, documented elsewhere, or assumed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    unit: str
    command: str
    date: str
    measured: bool = True
    note: str = ""


class Figures(BaseModel):
    """All of them, and the machine on which they were measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str
    figures: dict[str, Figure]

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value


class FiguresError(YuqingError):
    """The file of figures cannot be read, or lacks one."""


@cache
def shipped() -> Figures:
    """The figures of this release."""
    return Figures.model_validate_json(files("yuqing.planning").joinpath("figures.json").read_bytes())


def load(path: Path | None) -> Figures:
    """The shipped figures, replaced where a file has others: one of the same form, or `make bench`'s lines. Raises FiguresError."""
    if path is None:
        return shipped()
    from yuqing.planning.benchmarks import from_lines

    try:
        content = path.read_text(encoding="utf-8")
        own = (
            from_lines(content, str(path)) if '"benchmark"' in content else Figures.model_validate(json.loads(content))
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise FiguresError(
            f"{path}: {where}: {problem['msg']}", cure="take yuqing/planning/figures.json as a model"
        ) from None
    except (OSError, ValueError) as error:
        raise FiguresError(f"{path} cannot be read: {error}", cure="give a JSON file") from None
    if unknown := set(own.figures) - set(shipped().figures):
        known = ", ".join(sorted(shipped().figures))
        raise FiguresError(f"{path}: {min(unknown)} is no figure of the plan", cure=f"they are {known}")
    if bad := [name for name, figure in own.figures.items() if figure.value <= 0]:
        raise FiguresError(f"{path}: {bad[0]} has to be above zero", cure="mend it")
    if missing := [name for name, figure in shipped().figures.items() if figure.measured and name not in own.figures]:
        rest = f"{', '.join(missing)}: {shipped().machine}"
        own = own.model_copy(update={"machine": f"{own.machine}; {rest}"})
    return Figures(machine=own.machine, figures={**shipped().figures, **own.figures})
