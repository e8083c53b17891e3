"""Rows of the ledger as the engine sees them. Times are UTC with zone."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NewType

from pydantic import Field

from polly_core.models.catalog import DatasetId, RunId, VersionId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import (
    WRITTEN,
    Counts,
    Decision,
    ExecutionId,
    Item,
    ItemState,
    Outcome,
    Planned,
    RunOptions,
    RunSpec,
    RunState,
    StepResult,
    StopReason,
)

ShardNo = NewType("ShardNo", int)


class RunRow(Model):
    """One run."""

    run_id: RunId
    spec: RunSpec
    spec_digest: str
    options: RunOptions
    state: RunState
    stop: StopReason | None = None
    message: str = ""
    plan_digest: str | None = None
    total: int | None = None
    """Items in the frozen selection; None until it is frozen."""
    created_at: datetime
    finished_at: datetime | None = None
    seconds: float = 0.0
    """Time spent executing, summed over ended executions."""
    flow_run_ids: tuple[str, ...] = ()
    origin: RunId | None = None
    """The run that this one undoes, or repeats a part of."""
    broken: int = 0
    """Written datasets that verification found not as promised or asserted, at the run's end."""


class NewShard(Model):
    """Consecutive items to be frozen. ``pages`` are the listing links they were found on."""

    shard: ShardNo
    pages: tuple[str | None, ...] = ()
    items: tuple[Item, ...]


class ShardRow(Model):
    """One shard and who owns it."""

    run_id: RunId
    shard: ShardNo
    first_seq: int
    size: int
    pages: tuple[str | None, ...] = ()
    owner: ExecutionId | None = None
    epoch: int = 0
    done: bool = False


class Claim(Model):
    """The right to write one shard's rows: valid while owner and epoch still match."""

    run_id: RunId
    shard: ShardNo
    execution_id: ExecutionId
    epoch: int


class Pace(Model):
    """How fast an execution goes, as it says itself every few seconds."""

    rate: float
    """Items per second."""
    eta_seconds: float | None
    concurrency: int
    """Requests that may be in flight."""
    note: str
    """Why it is as slow as it is; empty when nothing holds it back."""


class ExecutionRow(Model):
    """One process executing a run. ``process`` identifies it on its host."""

    execution_id: ExecutionId
    run_id: RunId
    process: str
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    pace: Pace | None = None
    pace_at: datetime | None = None


class ItemRow(Model):
    """One item as the ledger knows it."""

    seq: int
    shard: ShardNo
    dataset_id: DatasetId
    file_name: str = ""
    row: JsonObject | None = None
    state: ItemState
    planned: Planned | None = None
    version_seen: VersionId | None = None
    version_after: VersionId | None = None
    reasons: tuple[str, ...] = ()
    inferred: bool = False
    attempt: int = 0
    """How often the write was marked as sent."""
    sent_at: datetime | None = None
    outcome_at: datetime | None = None
    verified_at: datetime | None = None
    done: tuple[StepResult, ...] = ()
    """Steps that are done, in the order they were recorded."""

    @property
    def in_doubt(self) -> bool:
        """Whether its write was sent, and nobody knows what came of it."""
        return self.state in {ItemState.SENT, ItemState.UNKNOWN}

    @property
    def wrote(self) -> bool:
        """Whether something of it was written, or may have been. Needs the plan."""
        return self.planned is not None and bool(
            self.state in WRITTEN or self.done or self.in_doubt
        )

    def item(self) -> Item:
        """The item as it was frozen."""
        return Item(
            seq=self.seq, dataset_id=self.dataset_id, file_name=self.file_name, row=self.row
        )


class PlanRow(Model):
    """What was decided for one item."""

    seq: int
    decision: Decision


class StepDone(Model):
    """One step of one item, done."""

    seq: int
    result: StepResult


class Approved(Model):
    """Somebody's consent to a plan, or to one of its waves."""

    plan_digest: str
    wave: int = 0
    """0 is the plan as a whole; waves count from 1."""
    by: str
    """As stated by whoever approved."""
    at: datetime


class Batch(Model):
    """What one transaction commits for a shard, in this order."""

    steps: tuple[StepDone, ...] = ()
    """Steps that are done of items that are not through before this."""
    outcomes: tuple[Outcome, ...] = ()
    sent: tuple[int, ...] = ()
    """Items whose write is about to be sent."""
    verified: tuple[int, ...] = ()
    freed: tuple[DatasetId, ...] = ()
    """Leases given up."""


class Wanted(StrEnum):
    """What an operator wants of a running run."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class Control(Model):
    """Live control of a run, read at every commit."""

    wanted: Wanted = Wanted.RUN
    concurrency: int | None = None


class Standing(Model):
    """The run's totals and control as of a commit."""

    counts: Counts
    control: Control = Control()


class Unsettled(Model):
    """Another run's write to a dataset, sent, whose outcome the ledger does not know."""

    run_id: RunId
    seq: int
    sent_at: datetime | None = None


class Holders(Model):
    """What came of asking for leases."""

    by_dataset: Mapping[DatasetId, RunId] = Field(default_factory=dict)
    """Datasets that could not be leased, each with the run that holds it."""
    unsettled: Mapping[DatasetId, Unsettled] = Field(default_factory=dict)
    """Datasets that were leased although a run that is no longer at it may have written to them:
    settle that write before reading (point c3)."""
