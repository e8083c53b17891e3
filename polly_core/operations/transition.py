"""Executes, settles and verifies any planned transition of a dataset, step by step.

*Ours happened* (architecture §3): a version after the one seen holds exactly what was wanted; the
dataset is gone, after it was seen; the file's pinned location and tag are ours; the study is the
wanted one. A server that records ingestions names our run besides.
"""

from functools import cached_property
from pathlib import Path

from polly_core.catalog.ports import Ports, Reader
from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetRecord, RunId, WriteStamp
from polly_core.models.jsonvalue import digest
from polly_core.models.run import (
    Applied,
    Invalid,
    Item,
    Planned,
    Settled,
    Skipped,
    StepResult,
    Unchanged,
)
from polly_core.operations import proving, settling
from polly_core.operations.base import Draft, Drift, Verified, Written
from polly_core.operations.drifting import drift_of, files_drift
from polly_core.operations.fetching import Fetcher
from polly_core.operations.keeping import save
from polly_core.operations.stepping import DATASET, SAVE, do_step, left, result_of, version_made
from polly_core.planning.diff import apply_patch


class Transition:
    """What every operation shares; a subclass plans.

    By itself it does what is planned already, as a plan file or a resume has it.
    """

    _saved_in: Path | None = None

    calls_to_plan = False

    def __init__(self, *, saved_in: Path | None = None) -> None:
        """Take the folder below which each run saves the bytes it is told to save."""
        self._saved_in = saved_in

    @cached_property
    def _fetcher(self) -> Fetcher:
        """Of the bytes that items bring along."""
        return Fetcher()

    def plan(
        self,
        reader: Reader,  # noqa: ARG002 - for those who plan
        item: Item,
        record: DatasetRecord | None,  # noqa: ARG002
    ) -> Draft | Unchanged | Skipped | Invalid:
        raise InvalidInput(f"dataset {item.dataset_id} is not in the plan; plan again")

    def draft(
        self,
        reader: Reader,
        planned: Planned,
        record: DatasetRecord | None,
        done: tuple[StepResult, ...],
    ) -> Draft | Drift:
        if result_of(done, DATASET) is None:
            drift = drift_of(reader, planned, record, done)
        else:
            drift = files_drift(reader, planned, done)
        if drift is not None:
            return drift
        if planned.wanted is None or (not planned.patch and planned.seen is not None):
            return Draft(planned, None, done)
        before = reader.metadata(planned.seen) if planned.seen else {}
        metadata = apply_patch(before, planned.patch)
        found = digest(metadata)
        if found != planned.wanted.metadata_digest:
            raise InvalidInput(
                f"dataset {planned.dataset_id}: the plan's patch on version "
                f"{planned.version_seen} gives metadata {found[:12]}, the plan says "
                f"{planned.wanted.metadata_digest[:12]}; plan again"
            )
        return Draft(planned, metadata, done)

    def apply(self, ports: Ports, draft: Draft, stamp: WriteStamp) -> StepResult | Applied:
        steps = left(draft.planned, draft.done)
        if not steps:
            return Applied(version_id=version_made(draft.done))
        result = self._do(ports, draft, steps[0], stamp)
        if len(steps) > 1:
            return result
        made = result.version_id or version_made(draft.done)
        return Applied(version_id=made)

    def _do(self, ports: Ports, draft: Draft, step: str, stamp: WriteStamp) -> StepResult:
        planned = draft.planned
        if not step.startswith(SAVE):
            return do_step(ports, self._fetcher, draft, step, stamp)
        if self._saved_in is None:
            raise InvalidInput(f"dataset {planned.dataset_id}: there is no folder to save files to")
        folder = self._saved_in / stamp.run_id
        return save(ports.reader, planned, step.removeprefix(SAVE), folder)

    def settle(
        self, reader: Reader, planned: Planned, done: tuple[StepResult, ...], run_id: RunId
    ) -> Settled:
        return settling.settle(reader, planned, done, run_id)

    def verify(self, reader: Reader, written: Written, *, full: bool) -> Verified:
        return proving.verify(reader, written, full=full)
