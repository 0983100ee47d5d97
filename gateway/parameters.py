"""Query parameters that an address does not know are refused: a filter that was misspelt must not give everything."""

import difflib
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query

from gateway.problems import bad_request

# By the function that answers: routes cannot be keys.
_known: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()


def _names(scope: Any) -> tuple[str, ...]:
    """The names of an address' query parameters, those of what it depends on among them."""
    endpoint = scope["endpoint"]
    if endpoint not in _known:
        fields = get_flat_params(scope["route"].dependant)
        _known[endpoint] = tuple(sorted(field.alias for field in fields if isinstance(field.field_info, Query)))
    return _known[endpoint]


async def known_parameters(request: Request) -> None:
    """A dependency of every address of the API. 422 names the unknown parameter and the nearest known one."""
    if not request.query_params:
        return
    names = _names(request.scope)
    for name in request.query_params:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            known = f"known are {', '.join(names)}" if names else "this address takes none"
            shown = name if len(name) <= 100 else f"{name[:100]}…"
            raise bad_request(
                f"query.{shown}", "no parameter of this address", f"did you mean {near[0]}?" if near else known
            )
