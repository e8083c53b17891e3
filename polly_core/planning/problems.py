"""What is wrong with metadata, and when two problems are the same one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from polly_core.models.fieldpath import format_field
from polly_core.models.jsonvalue import JsonValue, canonical_json

Place: TypeAlias = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Problems with the same identity are the same one."""

    identity: tuple[object, ...]
    text: str


def identity_of(place: Place, value: JsonValue) -> tuple[object, ...]:
    """The place up to the first list; within a list the value instead of the position."""
    for depth, part in enumerate(place):
        if isinstance(part, int):
            inner = tuple(str(p) for p in place[depth + 1 :] if not isinstance(p, int))
            return (*place[:depth], "[]", inner, canonical_json(value))
    return tuple(place)


def where(place: Place) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{format_field([part])}" if text else format_field([part])
    return f"field {text}" if text else "the metadata"
