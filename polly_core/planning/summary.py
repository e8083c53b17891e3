"""What a plan comes to: counts, fields, identical changes, reasons; in bounded memory."""

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from pydantic import Field

from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject, Model, canonical_json
from polly_core.models.run import Decision, Invalid, Item, PatchOp, Planned, Skipped, Unchanged
from polly_core.planning.diff import op_json
from polly_core.planning.wording import actions_of, change_text

MAX_DISTINCT = 1000
SHOWN_GROUPS = 100
_FOUND = ", found "
"""Stands in a reason between what was expected, which items share, and what an item had instead."""

KeyT = TypeVar("KeyT", bound=Hashable)


class ChangeGroup(Model):
    """Items for which exactly the same is to be done."""

    count: int
    example: DatasetId
    patch: tuple[JsonObject, ...]
    """RFC 6902 operations with what stood there before."""
    data_type: tuple[str, str] | None = None
    actions: tuple[str, ...] = ()
    """What is done beside the metadata: create, delete, a study, files."""
    """Before and after, where it changes."""

    def text(self) -> str:
        """What is done to these items, on one line."""
        return change_text(self.actions, self.patch, self.data_type)


class Tally(Model):
    """Items that share a text: a side effect, a reason."""

    text: str
    count: int
    example: DatasetId


class FieldTally(Model):
    """How many items get a field added, replaced or removed. ``@data_type`` stands for it."""

    path: str
    add: int = 0
    replace: int = 0
    remove: int = 0


class PlanSummary(Model):
    """What a plan comes to. Lists are ordered by count, largest first, then by text."""

    counts: dict[str, int] = Field(default_factory=dict)
    """Items by decision: planned, unchanged, skipped, invalid."""
    fields: tuple[FieldTally, ...] = ()
    groups: tuple[ChangeGroup, ...] = ()
    ungrouped: int = 0
    """Planned items that are in none of ``groups``."""
    side_effects: tuple[Tally, ...] = ()
    not_recoverable: tuple[Tally, ...] = ()
    reasons: tuple[Tally, ...] = ()
    """Why items are invalid."""
    skips: tuple[Tally, ...] = ()
    """Why items are skipped."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class _Groups(Generic[KeyT]):
    """Counts and first example by key; keys above the bound are not kept."""

    def __init__(self) -> None:
        self._counts: Counter[KeyT] = Counter()
        self._examples: dict[KeyT, DatasetId] = {}

    def add(self, key: KeyT, example: DatasetId) -> bool:
        """Count; True where the key is new and was kept."""
        if key in self._examples:
            self._counts[key] += 1
            return False
        if len(self._examples) >= MAX_DISTINCT:
            return False
        self._counts[key] = 1
        self._examples[key] = example
        return True

    def largest(self) -> list[tuple[KeyT, int, DatasetId]]:
        ranked = sorted(self._counts.items(), key=lambda found: (-found[1], str(found[0])))
        return [(key, count, self._examples[key]) for key, count in ranked[:SHOWN_GROUPS]]


class _Reasons:
    """Reasons that differ in nothing but what was found are one."""

    def __init__(self) -> None:
        self._groups: _Groups[str] = _Groups()
        self._first: dict[str, str] = {}
        self._differing: set[str] = set()

    def add(self, reason: str, example: DatasetId) -> None:
        """Count one."""
        expected = reason.partition(_FOUND)[0]
        if self._groups.add(expected, example):
            self._first[expected] = reason
        elif self._first.get(expected, reason) != reason:
            self._differing.add(expected)

    def tallies(self) -> tuple[Tally, ...]:
        """Each with what the first one found."""
        return tuple(
            Tally(text=self._text(expected), count=count, example=example)
            for expected, count, example in self._groups.largest()
        )

    def _text(self, expected: str) -> str:
        first = self._first[expected]
        found = first.removeprefix(expected).removeprefix(_FOUND)
        if not found or expected not in self._differing:
            return first
        return f"{expected}{_FOUND}for example {found}"


def decision_name(decision: Decision) -> str:
    """``planned``, ``unchanged``, ``skipped`` or ``invalid``."""
    return type(decision).__name__.lower()


class PlanTally:
    """Takes decisions one by one and says what they come to. Not thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._fields: dict[str, Counter[str]] = {}
        self._changes: _Groups[bytes] = _Groups()
        self._patches: dict[bytes, ChangeGroup] = {}
        self._side_effects: _Groups[str] = _Groups()
        self._not_recoverable: _Groups[str] = _Groups()
        self._reasons = _Reasons()
        self._skips: _Groups[str] = _Groups()

    def add(self, item: Item, decision: Decision) -> None:
        """Count one item."""
        self._counts[decision_name(decision)] += 1
        match decision:
            case Planned():
                self._add_planned(item.dataset_id, decision)
            case Invalid():
                for reason in decision.reasons:
                    self._reasons.add(reason, item.dataset_id)
            case Skipped():
                self._skips.add(decision.reason, item.dataset_id)
            case Unchanged():
                pass

    def _add_planned(self, dataset_id: DatasetId, planned: Planned) -> None:
        for text in planned.side_effects:
            self._side_effects.add(text, dataset_id)
        for text in planned.not_recoverable:
            self._not_recoverable.add(text, dataset_id)
        data_type = _type_change(planned)
        # Every new dataset's metadata is its own; there is nothing identical to be shown.
        changed = planned.patch if planned.seen else ()
        patch, actions = tuple(map(op_json, changed)), actions_of(planned)
        key = canonical_json([*patch, data_type, *actions])
        if self._changes.add(key, dataset_id):
            self._patches[key] = ChangeGroup(
                count=1, example=dataset_id, patch=patch, data_type=data_type, actions=actions
            )
        self._count_fields(changed, data_type is not None)

    def _count_fields(self, patch: tuple[PatchOp, ...], data_type_changes: bool) -> None:
        touched = [(op.path, op.op) for op in patch]
        if data_type_changes:
            touched.append(("@data_type", "replace"))
        for path, kind in touched:
            if path in self._fields or len(self._fields) < MAX_DISTINCT:
                self._fields.setdefault(path, Counter())[kind] += 1

    def summary(self) -> PlanSummary:
        """What was added so far."""
        groups = tuple(
            self._patches[key].model_copy(update={"count": count})
            for key, count, _ in self._changes.largest()
        )
        fields = [FieldTally(path=path, **counts) for path, counts in self._fields.items()]
        return PlanSummary(
            counts=dict(sorted(self._counts.items())),
            fields=tuple(sorted(fields, key=lambda f: (-(f.add + f.replace + f.remove), f.path))),
            groups=groups,
            ungrouped=self._counts["planned"] - sum(group.count for group in groups),
            side_effects=_tallies(self._side_effects),
            not_recoverable=_tallies(self._not_recoverable),
            reasons=self._reasons.tallies(),
            skips=_tallies(self._skips),
        )


def _type_change(planned: Planned) -> tuple[str, str] | None:
    if planned.seen is None or planned.wanted is None:
        return None
    before, after = planned.seen.data_type, planned.wanted.data_type
    return None if before == after else (before, after)


def _tallies(groups: _Groups[str]) -> tuple[Tally, ...]:
    return tuple(
        Tally(text=text, count=count, example=example) for text, count, example in groups.largest()
    )
