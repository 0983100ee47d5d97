"""The files of sites: read, validated, and complained about by file, line, field and cure."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from yuqing.errors import YuqingError
from yuqing.sites import Site

_SECRET = ("headers", "cookies", "proxies")  # what stands there is repeated nowhere
_VERIFIED = re.compile(r"^verified:(?:[ \t]+[^\s#]+)?", re.MULTILINE)


class SiteError(YuqingError):
    """A site's file cannot be used; the message names the file, the line and the field, the cure how to mend it."""


@dataclass(frozen=True)
class SiteFile:
    """A site and the file that defines it."""

    site: Site
    path: Path


def load_sites(folders: Iterable[Path]) -> dict[str, Site]:
    """Read every *.yaml of the folders into {name: Site}, sorted by name; raises SiteError as read_site_files does."""
    return {name: file.site for name, file in read_site_files(folders).items()}


def read_site_files(folders: Iterable[Path]) -> dict[str, SiteFile]:
    """Read every *.yaml of the folders into {name: SiteFile}, sorted by name.

    Raises SiteError for folders that do not exist, files that break the schema and files of one name: one error that
    has the complaints of all files, each with its cure.
    """
    files, broken = sort_site_files(folders)
    if broken:
        raise together(broken.values())
    return files


def sort_site_files(folders: Iterable[Path]) -> tuple[dict[str, SiteFile], dict[str, SiteError]]:
    """Every *.yaml of the folders: ({name: SiteFile}, {the file's name without its ending: what is wrong with it}).

    Raises SiteError for folders that do not exist and for two files of one name, of which nobody knows which one counts.
    """
    files: dict[str, SiteFile] = {}
    broken: dict[str, SiteError] = {}
    unusable: list[SiteError] = []
    for folder in folders:
        if not folder.is_dir():
            unusable.append(
                SiteError(
                    f"the sites folder {folder} does not exist", cure="correct crawler.sites_folders in the settings"
                )
            )
            continue
        for path in sorted(folder.glob("*.yaml")):
            try:
                site = load_site(path)
            except SiteError as problem:
                broken[path.stem] = together([broken[path.stem], problem]) if path.stem in broken else problem
                continue
            if site.name in files:
                unusable.append(
                    SiteError(
                        f"{path}: the site {site.name!r} is already defined in {files[site.name].path}",
                        cure="give one of the two another name, or remove it",
                    )
                )
            else:
                files[site.name] = SiteFile(site, path)
    if unusable:
        raise together([*unusable, *broken.values()])
    return dict(sorted(files.items())), broken


def together(problems: Collection[SiteError]) -> SiteError:
    """One error that has the complaints of all."""
    if len(problems) == 1:
        return next(iter(problems))
    return SiteError(
        f"{len(problems)} site files cannot be used\n" + "\n".join(str(problem) for problem in problems),
        cure="docs/crawler.md explains every field, with a full example",
    )


def load_site(path: Path) -> Site:
    """Read one site's YAML file; raises SiteError with all complaints: file, line, field and cure of each."""
    try:
        return parse_site(path.read_text(encoding="utf-8-sig"), path)
    except OSError as problem:
        raise SiteError(
            f"{path} cannot be read: {problem.strerror}", cure="check its path and permissions"
        ) from problem
    except UnicodeDecodeError as problem:
        raise SiteError(f"{path} is not UTF-8: {problem.reason}", cure="save it as UTF-8") from problem


def parse_site(text: str, path: Path) -> Site:
    """The site that a file's text defines; `path` is for the complaints. Raises SiteError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: a date such as 2026-13-45
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(problem, "problem", None) or str(problem)
        raise SiteError(
            f"{path}{line}: not valid YAML: {reason}",
            cure="put patterns in single quotes and indent with spaces; docs/crawler.md has a full example",
        ) from problem
    except RecursionError as problem:
        raise SiteError(f"{path}: nested too deeply for a site", cure="docs/crawler.md has a full example") from problem
    if not isinstance(data, dict) or root is None:
        raise SiteError(f"{path}: not a mapping of fields", cure="docs/crawler.md has a full example")
    # PyYAML takes the last of two keys of one name and drops the first without a word.
    complaints = [
        f"{path}, line {line}: {field}: stands here a second time; only one of the two would count"
        for field, line in _repeated(root, "", set())
    ]
    try:
        site = Site.model_validate(data)
    except ValidationError as problem:
        complaints += _complaints(path, root, problem)
    if complaints:
        raise SiteError(
            "\n".join(complaints), cure="correct the fields named; docs/crawler.md explains each, with a full example"
        )
    site._file = path
    return site


def _repeated(node: yaml.Node, prefix: str, visited: set[int]) -> Iterator[tuple[str, int]]:
    """(field, line) of every key that a mapping has twice; what aliases refer to (themselves, even) is read once."""
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        known: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in known:
                yield prefix + name, key.start_mark.line + 1
            known.add(name)
            yield from _repeated(value, f"{prefix}{name}.", visited)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, f"{prefix}{number}.", visited)


def _complaints(path: Path, root: yaml.Node, problem: ValidationError) -> Iterator[str]:
    for error in problem.errors(include_url=False):
        location = error["loc"]
        field = ".".join(str(part) for part in location) or "the site"
        message = error["msg"].removeprefix("Value error, ")
        given = error.get("input")
        value = f" (given: {given!r})" if isinstance(given, str | int | float) and error["type"] != "missing" else ""
        if location and location[0] in _SECRET:
            value = ""
        if error["type"] == "missing":
            message = "is missing"
        elif error["type"] == "extra_forbidden":
            message, value = _unknown(location), ""
        elif error["type"] == "literal_error":
            near = difflib.get_close_matches(str(given), _choices(error), n=1)
            message = f"must be one of {', '.join(_choices(error))}" + (f"; did you mean {near[0]}?" if near else "")
        elif error["type"] == "tuple_type":
            message = "must be a list; write each item on a line of its own, after a dash"
        yield f"{path}, line {_line(root, location)}: {field}: {message}{value}"


def _choices(error: Any) -> list[str]:
    return [part.strip(" '") for part in str(error["ctx"]["expected"]).replace(" or ", ", ").split(",")]


def _unknown(location: tuple[Any, ...]) -> str:
    """What to say of a field that does not exist: the nearest of those that do, or all of them."""
    model: type[BaseModel] | None = Site
    for part in location[:-1]:
        if isinstance(part, str) and model:
            field = next((each for name, each in model.model_fields.items() if part in (name, each.alias)), None)
            model = _model(field.annotation) if field else None
    if model is None:
        return "there is no such field"
    names = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), names, n=1)
    return "there is no such field; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}")


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model within a field's type: tuple[Model, ...], Model | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part))), None)


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


def set_verified(path: Path, day: date) -> None:
    """Write `verified: <day>` into a site's file: that one line changes, or is added; comments and order stay.

    The file is replaced as a whole. Raises SiteError when it cannot be written, or is laid out so that the line would not
    count.
    """
    try:
        text = path.read_bytes().decode()
        site = parse_site(text.removeprefix("\ufeff"), path)
        changed, count = _VERIFIED.subn(f"verified: {day}", text, count=1)
        if not count:
            end = "\r\n" if "\r\n" in text else "\n"
            changed = f"{text}{'' if text.endswith(end) else end}verified: {day}{end}"
        if parse_site(changed.removeprefix("\ufeff"), path) != site.model_copy(update={"verified": day}):
            raise SiteError(f"{path}: the line `verified` was not found", cure=f"write `verified: {day}` by hand")
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(changed.encode())
            shutil.copymode(path, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as problem:
        raise SiteError(
            f"{path} cannot be written: {problem.strerror}",
            cure="shipped sites may belong to somebody else: copy the file into a folder of crawler.sites_folders",
        ) from problem
