"""/documents/{doc_id}/family: a text's way through the media, and what each reprint changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.api.documents import DocId
from gateway.api.trends import MAXIMUM_STEPS
from gateway.pages import comparison
from gateway.pages.overview import SignedIn
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import not_found
from gateway.queries.families import Spread, Step, spread
from gateway.queries.reading import GroupMember, group_of, wordings
from gateway.resources import gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

# The drawing's own units; it is stretched to its column.
WIDTH, HEIGHT, EDGE = 760, 150, 10


@dataclass(frozen=True)
class Dot:
    """A document on the drawing: hours to the right, reach upwards."""

    x: float
    y: float
    step: Step


def dots(family: Spread) -> list[Dot]:
    """The steps in the drawing's units."""
    hours = max(family.steps[-1].hours_after, 0.1)
    return [
        Dot(
            round(EDGE + (WIDTH - 2 * EDGE) * step.hours_after / hours, 1),
            round(HEIGHT - EDGE - (HEIGHT - 3 * EDGE) * step.reach / max(family.reach, 0.1), 1),
            step,
        )
        for step in family.steps
    ]


def _most_changed(members: Sequence[GroupMember], known: Sequence[str], first: str) -> str | None:
    """The reprint that there is most to see of; any other document when none was changed."""
    made = {member.doc_id: member.changes for member in members if member.changes and member.doc_id in known}
    if made:
        return max(made, key=lambda each: 1 - made[each].kept + made[each].added + 0.1 * made[each].title)
    return next((each for each in known if each != first), None)


@router.get("/documents/{doc_id}/family")
async def family(
    request: Request,
    doc_id: DocId,
    caller: SignedIn,
    other: Annotated[str | None, Query(alias="with", pattern="^[0-9a-f]{32}$")] = None,
) -> Response:
    """The timeline, and `with` beside the document that had it first."""
    gateway, team_id = gateway_of(request), caller.team_id
    async with gateway.reading.connect() as connection:
        found = await spread(connection, team_id, doc_id, gateway.weights, limit=MAXIMUM_STEPS)
        if found is None:
            raise not_found(f"document {doc_id}")
        members, _ = await group_of(connection, team_id, doc_id, found.group_id)
        changes = {member.doc_id: member for member in members}
        known = [step.doc_id for step in found.steps]
        first = known[0]
        wanted = other or (doc_id if doc_id != first else _most_changed(members, known, first))
        texts = await wordings(connection, team_id, [first, wanted] if wanted else [first])
    if other is not None and (other not in texts or other not in known):
        raise not_found(f"document {other} in this family")
    before, after = texts[first], texts.get(wanted or "")
    title = text = None
    if after is not None:
        title = await asyncio.to_thread(comparison.compare, before.title, after.title)
        text = await asyncio.to_thread(comparison.compare, before.text, after.text)
    drawn = dots(found)
    return render(
        request,
        "family.html",
        caller=caller,
        doc_id=doc_id,
        family=found,
        members=changes,
        first=first,
        wanted=wanted,
        steps={step.doc_id: step for step in found.steps},
        original=before,
        title=title,
        text=text,
        cut=max(len(before.text), len(after.text) if after else 0) > comparison.COMPARED_CHARACTERS,
        dots=drawn,
        path_of="M"
        + "".join(f"{dot.x} {dot.y}" if number == 0 else f"H{dot.x}V{dot.y}" for number, dot in enumerate(drawn)),
        width=WIDTH,
        height=HEIGHT,
        edge=EDGE,
    )
