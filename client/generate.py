"""Write the client's models and methods from the OpenAPI document: `PYTHONPATH=. python client/generate.py`.

A generator of our own, because it is one page: the document uses few forms of JSON Schema, and what generators for every
document make of it is a hundred files that are harder to read than the API itself.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "yuqing_client"
_HEADER = '"""{what} Made by client/generate.py from the OpenAPI document: do not edit."""\n\n'
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_JSON = "application/json"


def openapi() -> dict[str, Any]:
    """The document of this checkout's gateway; no service has to answer for it."""
    from gateway.app import create_app
    from yuqing.settings import Settings

    nowhere = Settings(database={"url": "postgresql://nobody:nothing@127.0.0.1:9/none"})
    return create_app(nowhere).openapi()


def python_type(schema: dict[str, Any], models: str = "") -> str:
    """The Python type of a JSON schema; `models` is the prefix of the models' names. Raises ValueError for an unknown form."""
    if "$ref" in schema:
        return models + str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(python_type(item, models) for item in schema["anyOf"]))
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{python_type(schema.get('items', {}), models)}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {python_type(values, models) if isinstance(values, dict) else 'Any'}]"
    if kind == "string" and schema.get("format") in ("date-time", "binary"):
        return {"date-time": "datetime", "binary": "bytes"}[schema["format"]]
    if kind is None and not set(schema) - {"title", "description", "default"}:
        return "Any"
    if kind not in _PLAIN:
        raise ValueError(f"no Python type for the schema {schema}")
    return _PLAIN[kind]


def _docstring(text: str, indent: str) -> str:
    words = text.replace("\\", "\\\\").replace('"""', "'''").strip()
    lines = [line.rstrip() for line in words.split("\n")]
    return f'{indent}"""' + f"\n{indent}".join(lines).replace(f"\n{indent}\n", "\n\n") + '"""\n'


def _models(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        if "enum" in schema:
            yield f"\n\n{name} = {python_type(schema)}\n"
            continue
        yield f"\n\nclass {name}(Model):\n" + _docstring(schema.get("description") or f"{name}.", "    ") + "\n"
        for field, form in schema.get("properties", {}).items():
            written = python_type(form)
            if field in schema.get("required", ()):
                yield f"    {field}: {written}\n"
            elif "default" in form:
                yield f"    {field}: {written} = {form['default']!r}\n"
            else:
                yield f"    {field}: {written if 'None' in written else written + ' | None'} = None\n"


def _name(parameter: str) -> str:
    return re.sub(r"\W+", "_", parameter.lower()).strip("_")


def _arguments(operation: dict[str, Any]) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Positional arguments, those with names, and how each place of the request (query, header) is filled."""
    first: list[str] = []
    named: list[str] = []
    places: dict[str, list[str]] = {"query": [], "header": [], "form": []}
    for parameter in operation.get("parameters", ()):
        name, written = _name(parameter["name"]), python_type(parameter.get("schema", {}))
        if parameter["in"] == "path":
            first.append(f"{name}: {written}")
            continue
        places[parameter["in"]].append(f"{parameter['name']!r}: {name}")
        optional = written if "None" in written else f"{written} | None"
        named.append(f"{name}: {written}" if parameter.get("required") else f"{name}: {optional} = None")
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        if kind == _JSON:
            first.append(f"body: {python_type(body['schema'], 'models.')}")
        elif kind == "multipart/form-data":
            first.append("file: Any")
            for field, form in body["schema"]["properties"].items():
                if field != "file":
                    named.append(f"{_name(field)}: {python_type(form)} | None = None")
                    places["form"].append(f"{field!r}: {_name(field)}")
        else:
            first.append("body: str | bytes")
    return first, named, places


def _sent(operation: dict[str, Any], places: dict[str, list[str]]) -> str:
    """The keyword arguments that carry a request's query, headers and body."""
    headers = [item for item in places["header"] if not item.startswith("'Idempotency-Key'")]
    parts = [f"query={{{', '.join(places['query'])}}}", f"headers={{{', '.join(headers)}}}"]
    for kind in operation.get("requestBody", {}).get("content", {}):
        if kind == _JSON:
            parts.append("json_body=body")
        elif kind == "multipart/form-data":
            parts.append(f"file=file, fields={{{', '.join(places['form'])}}}")
        else:
            parts.append(f"content=body, media_type={kind!r}")
    if len(headers) < len(places["header"]):
        parts.append("once=True")
    return ", ".join(parts)


def _method(path: str, verb: str, operation: dict[str, Any]) -> str:
    first, named, places = _arguments(operation)
    once = any("Idempotency-Key" in item for item in places["header"])
    named = [item for item in named if not (once and item.startswith("idempotency_key"))]
    address = "f" * ("{" in path) + repr(re.sub(r"{(\w+)}", r"{_segment(\1)}", path))
    good = {int(code): answer.get("content", {}) for code, answer in operation["responses"].items() if code < "3"}
    kinds = {kind for content in good.values() for kind in content}
    sent = _sent(operation, places)
    call = f"{verb.upper()!r}, {address}"
    if kinds == {"text/event-stream"}:
        answer, body = "Iterator[Event]", f"return self._events({address}, {sent})"
    elif 204 in good:
        answer, body = "None", f"self._call({call}, {{}}, {sent})"
    elif _JSON in kinds:
        types = {code: python_type(content[_JSON]["schema"], "models.") for code, content in good.items()}
        texts = ["str"] if kinds - {_JSON} else []
        answer = " | ".join(dict.fromkeys([*types.values(), *texts]))
        answers = ", ".join(f"{code}: TypeAdapter({written})" for code, written in types.items())
        body = f"found: {answer} = self._call({call}, {{{answers}}}, {sent})\n        return found"
    elif kinds == {"text/plain"}:
        answer, body = "str", f"found: str = self._call({call}, {{}}, {sent})\n        return found"
    else:  # a file
        answer, body = "AbstractContextManager[httpx.Response]", f"return self._open({call}, {sent})"
    arguments = ", ".join(["self", *first, *(["*", *named] if named else [])])
    told = operation["summary"] + "\n\n" + operation.get("description", "")
    if answer.startswith("Abstract"):
        told += "\n\nA file: `with` this call `as answer`, then `answer.iter_bytes()` or `answer.iter_lines()`."
    head = f"\n    def {operation['operationId']}({arguments}) -> {answer}:\n"
    return head + _docstring(told, "        ") + f"        {body}\n"


def generate(document: dict[str, Any]) -> dict[str, str]:
    """The generated files: name -> Python source, as `ruff format` writes it. The document alone decides it."""
    imports = (
        "from __future__ import annotations\n\nfrom datetime import datetime\nfrom typing import Any, Literal\n\n"
        + "from yuqing_client.model import Model\n"
    )
    models = _HEADER.format(what="What the operations take and give.") + imports + "".join(_models(document))
    methods = "".join(
        _method(path, verb, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()
    )
    api = (
        _HEADER.format(what="A method an operation.")
        + "from collections.abc import Iterator\nfrom contextlib import AbstractContextManager\n"
        + "from datetime import datetime\nfrom typing import Any, Literal\nfrom urllib.parse import quote\n\n"
        + "import httpx\nfrom pydantic import TypeAdapter\n\nfrom yuqing_client import models\n"
        + "from yuqing_client.transport import Event, Transport\n\n\n"
        + "def _segment(value: object) -> str:\n    return quote(str(value), safe='')\n\n\n"
        + 'class Yuqing(Transport):\n    """The API: `with Yuqing(url, key) as api`. Every method raises ApiError."""\n'
        + methods
    )
    return {"models.py": _formatted(models), "api.py": _formatted(api)}


def _formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:] == ["--openapi"]:
        print(json.dumps(openapi(), ensure_ascii=False, indent=1))
    else:
        for file, source in generate(openapi()).items():
            (FOLDER / file).write_text(source, encoding="utf-8")
