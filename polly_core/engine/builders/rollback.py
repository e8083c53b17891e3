"""Bulk rollback. What the ledger knows of studies, and of before a run, goes with the items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polly_core.engine.builders.base import Built, Found, Workshop
from polly_core.engine.builders.manifestrows import placed
from polly_core.errors import InvalidInput, RunMismatch
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.operations import RollbackSpec
from polly_core.models.run import ItemState
from polly_core.models.selection import SelectionKind
from polly_core.operations.goal import RECORDED, VERSION_COLUMN, Before, Recorded
from polly_core.operations.rollback import Rollback


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` where nothing says to which version, ``RunMismatch`` for a run of
    another catalog."""
    spec = workshop.description(RollbackSpec)
    _require_a_goal(workshop, spec)
    recall = _Recall(workshop, spec.before_run)
    name_rows = placed(workshop.spec.selection)
    return Built(
        Rollback(spec, saved_in=workshop.saved_in),
        workshop.ports.reader,
        enrich=lambda found: recall(name_rows(found)),
    )


def _require_a_goal(workshop: Workshop, spec: RollbackSpec) -> None:
    selection = workshop.spec.selection
    has_rows = selection.kind in {SelectionKind.MANIFEST, SelectionKind.FAILURES}
    if spec.as_of is None and spec.back is None and spec.before_run is None and not has_rows:
        raise InvalidInput(
            "nothing says to which version to go back: give --as-of, --back or --before-run, or a "
            f"manifest with a {VERSION_COLUMN} column"
        )


class _Recall:
    """Adds to items what the ledger knows of their datasets."""

    def __init__(self, workshop: Workshop, before_run: RunId | None) -> None:
        self._ledger: Ledger = workshop.ledger
        self._catalog = workshop.spec.catalog
        self._run_id = before_run
        if before_run is None:
            return
        earlier = self._ledger.run(before_run)
        if earlier.spec.catalog != self._catalog:
            raise RunMismatch(
                f"run {before_run} was on {earlier.spec.catalog}, this is {self._catalog}; what "
                "stood before it is not here"
            )

    def __call__(self, found: Sequence[Found]) -> Sequence[Found]:
        ids = {one.dataset_id for one in found}
        studies = self._ledger.studies_seen(self._catalog, ids)
        before = self._before(ids)
        return [
            replace(
                one,
                row={
                    **(one.row or {}),
                    RECORDED: Recorded(
                        studies=studies.get(one.dataset_id, {}), before=before.get(one.dataset_id)
                    ).model_dump(mode="json"),
                },
            )
            for one in found
        ]

    def _before(self, ids: set[DatasetId]) -> Mapping[DatasetId, Before]:
        if self._run_id is None:
            return {}
        first: dict[DatasetId, ItemRow] = {}
        for row in self._ledger.items(self._run_id, dataset_ids=ids):
            first.setdefault(row.dataset_id, row)
        nothing = Before(problem=f"run {self._run_id} did not touch it")
        return {
            one: _standing(self._run_id, first[one]) if one in first else nothing for one in ids
        }


def _standing(run_id: RunId, row: ItemRow) -> Before:
    """How a dataset stood when a run came to it."""
    seen = row.planned.seen if row.planned else None
    if seen is not None:
        return Before(version_id=seen.version_id, study_id=seen.study_id, has_study=True)
    if row.planned is not None:
        return Before(
            problem=f"it was not there before run {run_id}, which made it; polly-bulk undo "
            f"{run_id} deletes it"
        )
    if row.version_seen is not None:
        return Before(version_id=row.version_seen)
    if row.state is ItemState.UNCHANGED:
        return Before(problem=f"it was deleted already before run {run_id}")
    return Before(problem=f"run {run_id} did not get to see it")
