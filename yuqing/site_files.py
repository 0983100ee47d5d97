"""The files of sites: read, validated, and complained about by file, line, field and cure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from yuqing.errors import YuqingError
from yuqing.sites import Site


class SiteError(YuqingError):
    """A site's file cannot be used; the message names the file, the line and the field, the cure how to mend it."""


def load_sites(folders: Iterable[Path]) -> dict[str, Site]:
    """Read every *.yaml of the folders into {name: Site}, sorted by name.

    Raises SiteError for a folder that does not exist, a file that breaks the schema, and two files of one name.
    """
    sites: dict[str, Site] = {}
    origins: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SiteError(
                f"the sites folder {folder} does not exist",
                cure="correct crawler.sites_folders in the settings",
            )
        for path in sorted(folder.glob("*.yaml")):
            site = load_site(path)
            if site.name in sites:
                raise SiteError(
                    f"{path}: the site {site.name!r} is already defined in {origins[site.name]}",
                    cure="give one of the two another name, or remove it",
                )
            sites[site.name], origins[site.name] = site, path
    return dict(sorted(sites.items()))


def load_site(path: Path) -> Site:
    """Read one site's YAML file; raises SiteError that names file, line, field and cure."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as problem:
        raise SiteError(
            f"{path} cannot be read: {problem.strerror}",
            cure="check its path and permissions",
        ) from problem
    except UnicodeDecodeError as problem:
        raise SiteError(f"{path} is not UTF-8: {problem.reason}", cure="save it as UTF-8") from problem
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(problem, "problem", None) or str(problem)
        raise SiteError(
            f"{path}{line}: not valid YAML: {reason}",
            cure="put patterns in single quotes and indent with spaces; docs/crawler.md has a full example",
        ) from problem
    if not isinstance(data, dict) or root is None:
        raise SiteError(
            f"{path}: not a mapping of fields",
            cure="docs/crawler.md has a full example",
        )
    try:
        return Site.model_validate(data)
    except ValidationError as problem:
        raise SiteError("\n".join(_complaints(path, root, problem)), cure=_cure(problem)) from problem


def _complaints(path: Path, root: yaml.Node, problem: ValidationError) -> Iterator[str]:
    for error in problem.errors(include_url=False):
        location = error["loc"]
        field = ".".join(str(part) for part in location) or "the site"
        message = error["msg"].removeprefix("Value error, ")
        given = error.get("input")
        value = f" (given: {given!r})" if isinstance(given, str | int | float) and error["type"] != "missing" else ""
        yield f"{path}, line {_line(root, location)}: {field}: {message}{value}"


def _cure(problem: ValidationError) -> str:
    if any(error["type"] == "extra_forbidden" for error in problem.errors()):
        return f"the fields of a site are: {', '.join(Site.model_fields)}; docs/crawler.md explains each"
    return "correct the fields named; docs/crawler.md explains each, with a full example"


def _line(root: yaml.Node, location: tuple[Any, ...]) -> int:
    """The line (from 1) of the deepest part of the location that the file has."""
    node, line = root, root.start_mark.line
    for part in location:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    found, line = value, key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return line + 1
