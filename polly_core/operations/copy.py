"""Bulk copy within an atlas and from one atlas to another, and promotion."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetId, DatasetRecord
from polly_core.models.operations import CopyOnExisting, CopySpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, StepResult, Unchanged
from polly_core.operations.base import Draft, Drift, live
from polly_core.operations.copying import Copying, ObjectsMissing
from polly_core.operations.promotion import (
    Changes,
    LastCopy,
    UndoneCopy,
    changes,
    differing,
    disputed,
    here_then,
    last_copy_in,
    there_then,
    undone_copy_in,
)
from polly_core.operations.sides import Side, last_ended, side_of
from polly_core.operations.transition import Transition

FROM_COLUMN = "from_dataset_id"
"""Of a manifest: which dataset of the source is copied, where it has another id."""

NEW = "new: not at the destination yet"
CHANGED_HERE = "changed here since the last copy: the destination becomes like it"
OVERWRITES = "the destination becomes like the source"
REVIVES = "a deleted dataset of the destination lives again"
CHANGED_THERE = (
    "changed there since the last copy and not here: left alone; --existing overwrite takes the "
    "source's state"
)
GONE_THERE = (
    "deleted there since the last copy and not changed here: left alone; --existing overwrite "
    "copies it again"
)
UNDONE = (
    "its last copy was undone by run {run_id}, and it has not changed here since: left alone; "
    "--existing overwrite copies it again"
)
GONE_HERE = "gone here since the last copy: what is at the destination is left alone"
_DECIDE = (
    "; decide: make them equal, or copy these with --existing overwrite (earlier versions stay in "
    "the history) or leave them out"
)
CONFLICT = f"needs a decision: conflict: changed here and there since the last copy{_DECIDE}"
CONFLICT_DELETED = (
    "needs a decision: conflict: changed here and deleted there since the last copy; decide: copy "
    "these with --existing overwrite, or leave them out"
)
NO_BASE = (
    "needs a decision: conflict: here and there differ, and no copy between them is recorded"
    f"{_DECIDE}"
)
ONTO_ITSELF = (
    "it would be copied onto itself: source and destination are one atlas; name another dataset in "
    f"the manifest's column {FROM_COLUMN}"
)
EXISTS = (
    "it is at the destination already; nothing was copied. Leave it out, or choose what becomes of "
    "it: --existing skip, overwrite, newer or promote"
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two sides of one item."""

    item: Item
    source: Side
    target: Side | None
    last: LastCopy | None
    """The last that was not taken back."""
    undone: UndoneCopy | None
    """A later one."""


class CopyDatasets(Transition):
    """Makes datasets of the destination like those of the source, with study and files.

    What is planned is the source's state then: its version and objects stay readable, so what
    becomes of the source meanwhile changes nothing.
    """

    calls_to_plan = True

    def __init__(
        self, spec: CopySpec, source: Reader, *, across: bool, saved_in: Path | None = None
    ) -> None:
        """Take the source; ``across`` says that it is another atlas than the destination."""
        super().__init__(saved_in=saved_in)
        self._spec = spec
        self._source = source
        self._across = across

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        source_id = source_of(item)
        if source_id == item.dataset_id and not self._across:
            return Invalid(reasons=(ONTO_ITSELF,))
        last = last_copy_in(item.row, source_id)
        if record is None or record.dataset_id != source_id:
            record = live(self._source, source_id)
        there = live(reader, item.dataset_id)
        if record is None:
            return self._gone(source_id, there, last)
        early = self._without_looking(record, there)
        if early is not None:
            return early
        source = side_of(self._source, record, files=self._spec.files)
        target = side_of(reader, there) if there else None
        undone = undone_copy_in(item.row, source_id)
        return self._decide(reader, _Pair(item, source, target, last, undone))

    def draft(
        self,
        reader: Reader,
        planned: Planned,
        record: DatasetRecord | None,  # noqa: ARG002 - the listing is the source's
        done: tuple[StepResult, ...],
    ) -> Draft | Drift:
        return super().draft(reader, planned, None, done)

    @property
    def _promotes(self) -> bool:
        return self._spec.existing is CopyOnExisting.PROMOTE

    def _gone(
        self, source_id: DatasetId, there: DatasetRecord | None, last: LastCopy | None
    ) -> Unchanged | Skipped | Invalid:
        if self._promotes and last is not None:
            return Skipped(reason=GONE_HERE) if there else Unchanged(version_seen=None)
        seen = there.version_id if there else None
        reason = f"dataset {source_id} is not in atlas {self._spec.from_atlas}; remove it"
        return Invalid(reasons=(reason,), version_seen=seen)

    def _without_looking(
        self, record: DatasetRecord, there: DatasetRecord | None
    ) -> Skipped | Invalid | None:
        """What is decided by the destination's being there."""
        if there is None:
            return None
        match self._spec.existing:
            case CopyOnExisting.FAIL:
                return Invalid(reasons=(EXISTS,), version_seen=there.version_id)
            case CopyOnExisting.SKIP:
                return Skipped(reason="it is at the destination already")
            case CopyOnExisting.NEWER if record.last_modified_at <= there.last_modified_at:
                return Skipped(reason="the destination was modified last, or at the same time")
            case _:
                return None

    def _decide(self, reader: Reader, pair: _Pair) -> Draft | Unchanged | Skipped | Invalid:
        dataset_id, target = pair.item.dataset_id, pair.target
        version_seen = target.record.version_id if target else None
        known = pair.last.objects if pair.last else {}
        copying = Copying(
            pair.source,
            target,
            self._spec.from_atlas,
            across=self._across,
            known=known,
            removable=self._removable(pair),
        )
        ended = None if target else last_ended(reader, dataset_id)
        try:
            planned = copying.planned(dataset_id, ended, save_bytes=self._spec.save_bytes)
        except ObjectsMissing as error:
            return Invalid(reasons=error.reasons, version_seen=version_seen)
        if planned is None:
            return Unchanged(version_seen=version_seen)
        refused = self._judged(pair) if self._promotes else None
        if refused is not None:
            return refused
        told = self._side_effects(pair, planned)
        planned = planned.model_copy(update={"side_effects": told})
        return Draft(planned, pair.source.metadata if planned.patch else None)

    def _removable(self, pair: _Pair) -> Collection[str]:
        """Files of the destination that leave it where the source has them not."""
        if pair.target is None or not self._spec.files:
            return ()
        if not self._promotes:
            return pair.target.files.keys()
        # Others are not the copy's business: somebody may have attached them there.
        return {file.file_name for file in pair.last.files} if pair.last else ()

    def _judged(self, pair: _Pair) -> Skipped | Invalid | None:
        """Why a promotion leaves the item alone."""
        source, target, last = pair.source, pair.target, pair.last
        if pair.undone is not None and not self._changed_here(source, pair.undone.made):
            return Skipped(reason=UNDONE.format(run_id=pair.undone.run_id))
        if last is None:
            return _no_base(source, target) if target else None
        here = self._changed_here(source, last)
        if target is None:
            return Invalid(reasons=(CONFLICT_DELETED,)) if here else Skipped(reason=GONE_THERE)
        then = there_then(last, target.record.dataset_id)
        there = changes(target, then, names=self._names(source, last))
        if there and not here:
            return Skipped(reason=CHANGED_THERE)
        return _conflict(source, target, last, disputed(here, there)) if there else None

    def _changed_here(self, source: Side, last: LastCopy) -> Changes:
        return changes(source, here_then(last), names=self._names(source, last))

    def _names(self, source: Side, last: LastCopy) -> set[str]:
        """Of files that are the copy's business."""
        if not self._spec.files:
            return set()
        return {*source.files, *(file.file_name for file in last.files)}

    def _side_effects(self, pair: _Pair, planned: Planned) -> tuple[str, ...]:
        target = pair.target
        if target is None:
            return (NEW, REVIVES) if planned.ended is not None else (NEW,)
        found = [CHANGED_HERE if pair.last is not None and self._promotes else OVERWRITES]
        if planned.study is not None:
            found.append(
                "it leaves its study, as the source is in none"
                if planned.study.study_id is None
                else "it goes into the study of the source"
            )
        attached = {file.file_name for file in planned.attach}
        found.extend(
            f"file {name!r} is removed: the source has none of that name" for name in planned.detach
        )
        found.extend(
            f"file {file.file_name!r} goes with the data it is linked to"
            for file in planned.files_before
            if file.file_name not in {*attached, *planned.detach}
        )
        if attached & target.files.keys():
            found.append("files of the same name are replaced")
        return tuple(found)


def source_of(item: Item) -> DatasetId:
    """Which dataset of the source is copied."""
    named = (item.row or {}).get(FROM_COLUMN)
    return DatasetId(str(named)) if named else item.dataset_id


def _conflict(source: Side, target: Side, last: LastCopy, changed: str) -> Invalid:
    said = (
        f"here version {source.record.version_id} (copied was {last.source.version_id}), there "
        f"version {target.record.version_id} (the copy was {last.version_id}); changed {changed}"
    )
    return Invalid(reasons=(CONFLICT, said), version_seen=target.record.version_id)


def _no_base(source: Side, target: Side) -> Invalid:
    said = (
        f"here version {source.record.version_id}, there version {target.record.version_id}; "
        f"different are {differing(source, target)}"
    )
    return Invalid(reasons=(NO_BASE, said), version_seen=target.record.version_id)
