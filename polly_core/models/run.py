"""A run: its spec, its items, what was planned for each and how each ended."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NewType

from pydantic import Field

from polly_core.models.catalog import CatalogRef, DatasetId, DatasetRecord, RunId, VersionId
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model, digest
from polly_core.models.selection import Selection

ExecutionId = NewType("ExecutionId", str)


class OperationName(StrEnum):
    """What is done to each item."""

    CREATE = "create"
    UPDATE = "update"
    ROLLBACK = "rollback"
    COPY = "copy"
    INGEST = "ingest"
    DELETE = "delete"
    ATTACH = "attach"
    DETACH = "detach"
    STUDY = "study"


class ItemState(StrEnum):
    """Where an item is. The last eight are outcomes."""

    SELECTED = "selected"
    PLANNED = "planned"
    SENT = "sent"
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    INVALID = "invalid"
    DRIFTED = "drifted"
    FAILED = "failed"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


ENDED_WELL = frozenset({ItemState.APPLIED, ItemState.UNCHANGED, ItemState.SKIPPED})
NOT_WELL = frozenset(
    {
        ItemState.INVALID,
        ItemState.DRIFTED,
        ItemState.FAILED,
        ItemState.CONFLICT,
        ItemState.UNKNOWN,
    }
)
NOT_PROCESSED = frozenset({ItemState.SELECTED, ItemState.PLANNED, ItemState.SENT})
COUNTS_AGAINST_BUDGET = frozenset(
    {ItemState.INVALID, ItemState.FAILED, ItemState.CONFLICT, ItemState.UNKNOWN}
)
FINAL = (ENDED_WELL | NOT_WELL) - {ItemState.UNKNOWN}
RETRIED = frozenset({ItemState.FAILED, ItemState.INVALID, ItemState.DRIFTED})


class Verify(StrEnum):
    """``auto`` reads the history where the server cannot enforce the version; ``full`` also reads
    the metadata back; ``off`` reads nothing."""

    AUTO = "auto"
    OFF = "off"
    FULL = "full"


class OnLease(StrEnum):
    """What happens when another run holds a dataset."""

    REFUSE = "refuse"
    WAIT = "wait"


class Allowance(Model):
    """A number of items, or a percentage of the items processed after a minimum sample."""

    value: float = Field(ge=0)
    percent: bool = False
    minimum_sample: int = Field(default=100, ge=1)

    @classmethod
    def parse(cls, text: str) -> "Allowance":
        """Read ``12`` or ``2.5%``.

        Raises:
            ValueError: the text is neither.
        """
        body, percent = (text[:-1], True) if text.endswith("%") else (text, False)
        try:
            value = float(body) if percent else float(int(body))
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf") or (percent and value > 100):
            raise ValueError(f"expected a number of items or a percentage like 10%, found {text!r}")
        return cls(value=value, percent=percent)

    def exceeded(self, bad: int, processed: int) -> bool:
        """Whether ``bad`` of ``processed`` items is more than allowed."""
        if not self.percent:
            return bad > self.value
        return processed >= self.minimum_sample and bad * 100 > self.value * processed

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{int(self.value)}"


DEFAULT_BUDGET = Allowance(value=10, percent=True)
NO_TOLERANCE = Allowance(value=0)


class RunOptions(Model):
    """How a run is executed. Not part of the spec: a resume may use others. Times are seconds."""

    concurrency: int = Field(default=64, ge=1, le=1024)
    shard_size: int = Field(default=500, ge=1, le=1000)
    budget: Allowance = DEFAULT_BUDGET
    tolerate: Allowance = NO_TOLERANCE
    verify: Verify = Verify.AUTO
    on_lease: OnLease = OnLease.REFUSE
    priority: Literal["low", "medium", "high"] | None = None
    patience: float = Field(default=300.0, ge=0)
    """How long nothing may get through before the run stops, resumable."""


class RunSpec(Model):
    """What a run does, to what. Known at the start; its digest binds the run id."""

    catalog: CatalogRef
    operation: OperationName
    change: JsonObject
    """The operation's own description, as its model dumps it."""
    selection: Selection
    files: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of each file that the change refers to, by the name it is referred to."""
    change_uri: str | None = None
    """Where the change was read; the files it refers to are beside it. Not part of the digest:
    the same change at another place is the same."""

    def digest(self) -> str:
        """Hash of everything that decides what the run does."""
        return digest(self.model_dump(mode="json", exclude={"change_uri"}))


class Item(Model):
    """One dataset in one run (for attach and detach one dataset and file name)."""

    seq: int
    """Position in the frozen selection, from 0."""
    dataset_id: DatasetId
    file_name: str = ""
    row: JsonObject | None = None
    """The item's manifest row, without the columns that only select."""


class PatchOp(Model):
    """One RFC 6902 operation on the metadata, with what stood there before.

    ``before`` is not part of RFC 6902 (which tells readers to ignore unknown members); it is what
    undo and the reader of a plan need. It is absent exactly when ``op`` is ``add``.
    """

    op: Literal["add", "replace", "remove"]
    path: str
    value: JsonValue = None
    before: JsonValue = None


class Wanted(Model):
    """The versioned state a write is to make. Compared with what versions say."""

    metadata_digest: str
    data_type: str
    data_format: str
    data_location: str


class Planned(Model):
    """What is to be done to an item, decided at the version it was read at."""

    seen: DatasetRecord
    patch: tuple[PatchOp, ...] = ()
    wanted: Wanted
    side_effects: tuple[str, ...] = ()
    not_recoverable: tuple[str, ...] = ()


class Unchanged(Model):
    """The dataset is already as wanted; nothing is to be written."""

    version_seen: VersionId


class Skipped(Model):
    """The caller asked to leave such items alone."""

    reason: str


class Invalid(Model):
    """The plan refuses the item; every reason is given."""

    reasons: tuple[str, ...]
    version_seen: VersionId | None = None


Decision = Planned | Unchanged | Skipped | Invalid


class Applied(Model):
    """A write was acknowledged and made this version."""

    version_id: VersionId


class Happened(Model):
    """Our write is in the history as ``version_id``.

    ``directly_after_seen`` is False when a foreign version stands between the one seen and ours;
    ``between`` are those versions, oldest first.
    """

    version_id: VersionId
    between: tuple[VersionId, ...] = ()
    attributed: bool = False
    """The server's own record names our run; without it authorship is inferred."""


class NotHappened(Model):
    """The dataset is still at the version seen."""


class Foreign(Model):
    """Someone else changed the dataset and ours is not in the history."""

    versions: tuple[VersionId, ...] = ()
    """Versions after the one seen, oldest first; empty when the dataset is gone."""


Settled = Happened | NotHappened | Foreign


class Outcome(Model):
    """How an item ended, or went back to be tried again (state ``planned``)."""

    seq: int
    state: ItemState
    version_after: VersionId | None = None
    reasons: tuple[str, ...] = ()
    inferred: bool = False
    """Authorship of ``version_after`` was inferred from its content, not confirmed."""


class Counts(Model):
    """Items of a run by state."""

    by_state: Mapping[ItemState, int] = Field(default_factory=dict)
    verified: int = 0

    def of(self, *states: ItemState) -> int:
        """How many items are in any of these states."""
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def ended_well(self) -> int:
        return self.of(*ENDED_WELL)

    @property
    def not_well(self) -> int:
        return self.of(*NOT_WELL)

    @property
    def not_processed(self) -> int:
        return self.of(*NOT_PROCESSED)

    @property
    def processed(self) -> int:
        return self.ended_well + self.not_well

    @property
    def against_budget(self) -> int:
        return self.of(*COUNTS_AGAINST_BUDGET)


class RunState(StrEnum):
    """Where a run is."""

    SELECTING = "selecting"
    SELECTED = "selected"
    PLANNED = "planned"
    RUNNING = "running"
    STOPPED = "stopped"
    """Not finished, resumable; the reason says why."""
    FINISHED = "finished"


class StopReason(StrEnum):
    """Why a run stopped before every item was processed."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    BUDGET = "budget"
    CANNOT_PROCEED = "cannot_proceed"
    PAUSED = "paused"


class RunSummary(Model):
    """What a run came to; the JSON document of reports and of Prefect's state."""

    run_id: RunId
    operation: OperationName
    catalog: CatalogRef
    spec_digest: str
    plan_digest: str | None = None
    state: RunState
    stop: StopReason | None = None
    message: str = ""
    counts: Counts
    tolerate: Allowance = NO_TOLERANCE
    created_at: str
    """ISO 8601, UTC."""
    seconds: float = 0.0
    """Time spent executing, over all executions."""
    flow_run_ids: tuple[str, ...] = ()

    @property
    def tolerated(self) -> bool:
        """Whether what did not end well is within what the caller allowed."""
        return not self.tolerate.exceeded(self.counts.not_well, self.counts.processed)

    @property
    def exit_code(self) -> int:
        """0 ended well or tolerated, 1 not well, 3 could not go on, 4 budget, 130 stopped."""
        if self.stop is not None:
            codes = {StopReason.BUDGET: 4, StopReason.CANNOT_PROCEED: 3}
            return codes.get(self.stop, 130)
        if self.counts.not_processed:
            return 130
        return 0 if self.counts.not_well == 0 or self.tolerated else 1
