"""Fields that are chosen of what a run changed: by their own names, whatever the patch is about.

A patch speaks of the highest key that differs. Where a run added ``quality`` with ``x`` in it, the
operation is about ``quality``; who set ``quality.x`` takes back ``quality.x``.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from polly_core.models.fieldpath import DATA_TYPE, FieldPath, format_field
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import PatchOp, Planned
from polly_core.planning.diff import pointer_keys
from polly_core.planning.values import (
    ABSENT,
    MaybeJson,
    NotAnObject,
    drop_field,
    get_field,
    inner_keys,
    put_field,
    same,
    shown,
)


class Part(NamedTuple):
    """A field below one that a run added, removed or replaced as a whole."""

    op: PatchOp
    above: tuple[str, ...]
    """What the operation is about."""
    keys: tuple[str, ...]
    was: MaybeJson
    made: MaybeJson

    def undone(self, metadata: JsonObject) -> JsonObject:
        """The metadata with the part as it was.

        An object that it leaves empty goes too: below ``above`` none was there before. In the place
        of ``above`` itself comes what the run replaced.

        Raises:
            NotAnObject: something else stands where the part belongs.
        """
        if self.was is not ABSENT:
            return put_field(metadata, self.keys, self.was)
        metadata = drop_field(metadata, self.keys)
        for depth in range(len(self.keys) - 1, len(self.above) - 1, -1):
            if get_field(metadata, self.keys[:depth]) != {}:
                return metadata
            metadata = drop_field(metadata, self.keys[:depth])
        if self.op.op == "replace":
            return put_field(metadata, self.above, self.op.before)
        return metadata


def parts_of(patch: Iterable[PatchOp], fields: Iterable[FieldPath]) -> Iterator[Part]:
    """Chosen fields that the operations changed only as a part of something else."""
    chosen = _outermost(fields)
    for op in patch:
        above = pointer_keys(op.path)
        for keys in chosen:
            below = keys[len(above) :]
            if not below or keys[: len(above)] != above:
                continue
            was, made = _below(op.before, below), _below(op.value, below)
            if was is not made:
                yield Part(op, above, keys, was, made)


def parts_back(
    metadata: JsonObject, patch: Iterable[PatchOp], fields: Iterable[FieldPath] | None
) -> tuple[JsonObject, list[str]]:
    """The metadata with those parts as they were, and what others have changed of them since."""
    disputes: list[str] = []
    for part in parts_of(patch, fields or ()):
        found = get_field(metadata, part.keys)
        if _alike(found, part.was):
            continue
        if not _alike(found, part.made):
            disputes.append(f"{_told(part)}, found {shown(found)}")
            continue
        try:
            metadata = part.undone(metadata)
        except NotAnObject as error:
            place = format_field(error.keys)
            disputes.append(f"{_told(part)}, found {shown(error.found)} in field {place}")
    return metadata, disputes


def changes(planned: Planned, field: FieldPath) -> bool:
    """Whether a plan changes a field, something in it, or something that it is a part of."""
    if field.attribute is not None:
        return field.attribute == DATA_TYPE and _changes_type(planned)
    size = len(field.keys)
    whole = any(pointer_keys(op.path)[:size] == field.keys for op in planned.patch)
    return whole or any(parts_of(planned.patch, [field]))


def changed_fields(planned: Planned) -> Iterator[str]:
    """Names of what a plan changes; of objects also what is in them."""
    if _changes_type(planned):
        yield DATA_TYPE
    for op in planned.patch:
        keys = pointer_keys(op.path)
        yield format_field(keys)
        for value in (op.before, op.value):
            if isinstance(value, dict):
                yield from map(format_field, inner_keys(value, keys))


def _outermost(fields: Iterable[FieldPath]) -> list[tuple[str, ...]]:
    """Each of the metadata fields once, without those that are in another of them."""
    chosen = dict.fromkeys(field.keys for field in fields if field.attribute is None)
    return [
        keys for keys in chosen if not any(keys[:size] in chosen for size in range(1, len(keys)))
    ]


def _below(value: MaybeJson, keys: tuple[str, ...]) -> MaybeJson:
    return get_field(value, keys) if isinstance(value, dict) else ABSENT


def _alike(left: MaybeJson, right: MaybeJson) -> bool:
    if left is ABSENT or right is ABSENT:
        return left is right
    return same(left, right)


def _changes_type(planned: Planned) -> bool:
    seen, wanted = planned.seen, planned.wanted
    return seen is not None and wanted is not None and seen.data_type != wanted.data_type


def _told(part: Part) -> str:
    name = format_field(part.keys)
    return f"field {name}: was {shown(part.was)}, set to {shown(part.made)} by the run"
