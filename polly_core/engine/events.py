"""What workers tell the shard's coordinator about an item."""

from dataclasses import dataclass
from enum import Enum

from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetId, DatasetRecord, VersionId
from polly_core.models.run import Decision, Planned, StepResult
from polly_core.operations.base import Draft, Verified


class Stage(Enum):
    """What is being done for an item; decides what a failure means.

    The value is the name of the job.
    """

    PLAN = "plan"
    DRAFT = "draft"
    SEND = "send"
    SETTLE = "settle"
    VERIFY = "verify"


@dataclass(slots=True, eq=False)
class Work:
    """One item on its way through a shard."""

    row: ItemRow
    stage: Stage
    record: DatasetRecord | None = None
    """As the shard's listing page had it; None means it has to be read by itself."""
    draft: Draft | None = None
    lost: bool = False
    """An answer was lost, here or in an earlier execution: no refusal is taken at its word."""
    sending: bool = False
    """A worker is past the last check before its write."""
    sent_at: float = 0.0
    """Clock of this process when the last write was sent."""
    sends: int = 0
    version: VersionId | None = None
    """The version our write made."""
    done: tuple[StepResult, ...] = ()
    """Steps that are done."""
    failures: int = 0
    """Reads that failed although other items got through in the meantime."""
    seen_successes: int = 0

    @property
    def seq(self) -> int:
        return self.row.seq

    @property
    def has_plan(self) -> bool:
        return self.draft is not None or self.row.planned is not None

    @property
    def planned(self) -> Planned:
        """The item's plan; only asked for once there is one."""
        planned = self.draft.planned if self.draft else self.row.planned
        assert planned is not None
        return planned

    @property
    def dataset_id(self) -> DatasetId:
        return self.row.dataset_id


@dataclass(frozen=True, slots=True)
class Decided:
    """The item was planned; ``draft`` where it is to be written."""

    work: Work
    decision: Decision
    draft: Draft | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a stored plan writes is ready."""

    work: Work
    draft: Draft


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step is done and others are left."""

    work: Work
    result: StepResult


@dataclass(frozen=True, slots=True)
class Happened:
    """All that was planned is there. ``between`` are foreign versions directly before ours,
    oldest first."""

    work: Work
    version_id: VersionId | None
    inferred: bool = False
    between: tuple[VersionId, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The item failed for good; nothing was written."""

    work: Work
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The dataset is no longer as planned; nothing was written."""

    work: Work
    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """It certainly did not happen; the same may be tried after ``wait`` seconds."""

    work: Work
    reason: str
    wait: float = 0.0
    throttled: bool = False
    """The service is alive and asks for a slower pace."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The write's answer was lost: settle."""

    work: Work
    reason: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """Settling read and did not find all of it; ``moved`` where it found someone else's write."""

    work: Work
    moved: str = ""
    done: tuple[StepResult, ...] = ()
    """Steps that it found done."""


@dataclass(frozen=True, slots=True)
class CannotSee:
    """Settling has no way to know on this service."""

    work: Work
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """Verification read what it needed."""

    work: Work
    verified: Verified


@dataclass(frozen=True, slots=True)
class NotSent:
    """The run was stopping, or the lease about to end, before the write was sent."""

    work: Work


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing can go on for any item; the run stops and can be resumed."""

    work: Work
    reason: str


Event = (
    Decided
    | Drafted
    | Stepped
    | Happened
    | Refused
    | Moved
    | Again
    | Lost
    | NotThere
    | CannotSee
    | Checked
    | NotSent
    | Halted
)
