"""Plans in words for a person."""

import json
from collections.abc import Collection, Sequence
from difflib import get_close_matches

from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.run import Planned

SHOWN_OPERATIONS = 3
LONGEST_VALUE = 60
SHOWN_NAMES = 12
# Of names that may have been meant, so many are remembered.
MOST_NAMES = 10_000


def actions_of(planned: Planned) -> tuple[str, ...]:
    """What a plan does beside changing metadata, in words that items have in common."""
    found = []
    if planned.seen is None:
        found.append("create" if planned.ended is None else "bring back")
    if planned.deletes:
        found.append("delete")
    if planned.triggers:
        found.append("trigger ingestion")
    if planned.study is not None and planned.seen is not None:
        study = planned.study.study_id
        found.append(f"move into study {study}" if study else "leave the study")
    if planned.data is not None or _moves_data(planned):
        found.append("replace the data" if planned.seen else "put the data in")
    if planned.attach:
        found.append(f"attach {counted(len(planned.attach), 'file')}")
    if planned.detach:
        found.append(f"detach {counted(len(planned.detach), 'file')}")
    return tuple(found)


def _moves_data(planned: Planned) -> bool:
    seen, wanted = planned.seen, planned.wanted
    return bool(seen and wanted and wanted.data_location not in {None, seen.data_location})


def counted(number: int, noun: str) -> str:
    """A number of things in words, for example ``1 file`` or ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def meant(name: str, names: Collection[str]) -> str:
    """A name that was not found among these, with the one that may have been meant."""
    close = get_close_matches(name, names, n=1)
    return f"{name} (did you mean {close[0]}?)" if close else name


def listed(names: Collection[str]) -> str:
    """Names in their order, cut where there are many."""
    more = ", …" if len(names) > SHOWN_NAMES else ""
    return ", ".join(sorted(names)[:SHOWN_NAMES]) + more


def change_text(
    actions: Sequence[str], patch: Sequence[JsonObject], data_type: tuple[str, str] | None
) -> str:
    """What is done to an item, on one line."""
    parts = [*actions, *(_operation(op) for op in patch[:SHOWN_OPERATIONS])]
    if data_type is not None:
        parts.append(f"data_type {data_type[0]!r} → {data_type[1]!r}")
    if len(patch) > SHOWN_OPERATIONS:
        parts.append(f"{len(patch) - SHOWN_OPERATIONS} more")
    return "; ".join(parts)


def _operation(op: JsonObject) -> str:
    before = _value(op["before"]) if "before" in op else "nothing"
    after = _value(op["value"]) if op["op"] != "remove" else "nothing"
    return f"{op['path']} {before} → {after}"


def _value(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
