"""A run: its spec, its items, what was planned for each and how each ended."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NewType

from pydantic import Field

from polly_core.models.catalog import (
    AtlasId,
    CatalogRef,
    DatasetId,
    DatasetRecord,
    RunId,
    StudyId,
    VersionId,
)
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
    UNDO = "undo"


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
WRITTEN = frozenset({ItemState.APPLIED, ItemState.CONFLICT})
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


def parse_budget(text: str) -> tuple[Allowance | None, dict[ItemState, Allowance]]:
    """Read ``10%``, ``conflict=0`` or several such, separated by commas.

    Answers:
        The budget of all bad outcomes, where one is named, and those of single outcomes.

    Raises:
        ValueError: in the words of what is wrong.
    """
    whole: Allowance | None = None
    single: dict[ItemState, Allowance] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.rpartition("=")
        if not equals:
            whole = Allowance.parse(value)
        elif name in set(NOT_WELL):
            single[ItemState(name)] = Allowance.parse(value)
        else:
            known = ", ".join(sorted(NOT_WELL))
            raise ValueError(f"expected one of {known} before '=', found {name!r}")
    return whole, single


def budget_text(whole: Allowance, single: Mapping[ItemState, Allowance]) -> str:
    """What ``parse_budget`` reads."""
    return ",".join([str(whole), *(f"{state}={one}" for state, one in single.items())])


DEFAULT_BUDGET = Allowance(value=10, percent=True)
NO_TOLERANCE = Allowance(value=0)


class Wave(Model):
    """How many of the items to be written go together: a number, or a percentage of all."""

    value: float = Field(gt=0)
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> "Wave":
        """Read ``50`` or ``10%``.

        Raises:
            ValueError: the text is neither.
        """
        found = Allowance.parse(text)
        if found.value == 0:
            raise ValueError(f"a wave has at least one item, found {text!r}")
        return cls(value=found.value, percent=found.percent)

    def size(self, total: int) -> int:
        """Items of such a wave where ``total`` are to be written; at least one."""
        return max(1, round(total * self.value / 100)) if self.percent else int(self.value)

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{int(self.value)}"


class Approval(StrEnum):
    """What waits for somebody's approval: nothing, the plan, or every wave as well."""

    NONE = "none"
    PLAN = "plan"
    WAVES = "waves"


class RunOptions(Model):
    """How a run is executed. Not part of the spec: a resume may use others. Times are seconds."""

    concurrency: int = Field(default=64, ge=1, le=1024)
    shard_size: int = Field(default=500, ge=1, le=1000)
    budget: Allowance = DEFAULT_BUDGET
    """Of all bad outcomes together."""
    budgets: Mapping[ItemState, Allowance] = Field(default_factory=dict)
    """Of one bad outcome alone, besides."""
    tolerate: Allowance = NO_TOLERANCE
    verify: Verify = Verify.AUTO
    on_lease: OnLease = OnLease.REFUSE
    priority: Literal["low", "medium", "high"] | None = None
    waves: tuple[Wave, ...] = ()
    """Sizes of the first waves; the last is repeated. None: everything at once."""
    approval: Approval = Approval.NONE
    repeat_unknown: bool = False
    """Send again what may have happened and cannot be seen (ingestions on the hosted service)."""
    assertions: tuple[str, ...] = ()
    """JMESPath that must hold for every dataset that was written; evaluated when a wave is through
    and at the end."""
    patience: float = Field(default=300.0, ge=0)
    """How long nothing may get through before the run stops, resumable."""

    def used_up(self, counts: "Counts") -> str:
        """Which budget is exceeded, in words; empty where none is."""
        bad, processed = counts.against_budget, counts.processed
        if self.budget.exceeded(bad, processed):
            return f"{bad} of {processed} items processed ended badly, the budget is {self.budget}"
        for state, allowance in self.budgets.items():
            if allowance.exceeded(counts.of(state), processed):
                return (
                    f"{counts.of(state)} of {processed} items processed are {state}, the budget "
                    f"for that is {allowance}"
                )
        return ""

    @property
    def needs_plan(self) -> bool:
        """Whether everything has to be planned before the first write."""
        return bool(self.waves) or self.approval is not Approval.NONE


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
    data_location: str | None
    """None until the step that puts the data into the atlas has given it."""


class ObjectSource(Model):
    """Where the bytes of an object that a step puts into the atlas come from."""

    uri: str
    """An absolute local path, ``s3://…`` or ``https://…``; of a copy the pinned location."""
    atlas_id: AtlasId | None = None
    """A server-side copy from this atlas; None means an upload."""
    extension: str = ""
    """What the object's key ends with, the dot included."""
    size: int | None = None
    sha256: str | None = None
    """Of a file that was read when it was planned; another content later is refused."""
    etag: str | None = None
    """What the store says of exactly this content when we upload it, where that is known."""


class FileState(Model):
    """A supplementary file as it stood, with what is needed to attach it again."""

    file_name: str
    file_format: str
    file_location: str
    """Pinned."""
    tag: str | None = None
    linked: bool = False
    """It is linked to the data, and goes when the data does."""


class FileTarget(Model):
    """A supplementary file as it is to stand."""

    file_name: str
    file_format: str
    file_location: str | None = None
    """Pinned where it is an object of the atlas already; None where ``source`` makes it."""
    tag: str | None = None
    linked: bool = False
    source: ObjectSource | None = None


class StudyTarget(Model):
    """The study a dataset is to be in; None leaves every study."""

    study_id: StudyId | None


class SourceVersion(Model):
    """What a copy was made of."""

    atlas_id: AtlasId
    dataset_id: DatasetId
    version_id: VersionId
    data_location: str | None = None
    files: tuple[FileState, ...] = ()
    """Its supplementary files, as far as they are copied."""
    kept: tuple[FileState, ...] = ()
    """Files of the destination that were equal to the source's of that name, and stay."""


class Planned(Model):
    """What is to be done to an item, decided at the version it was read at.

    Whatever is not named stays as it is. What it takes away (``seen``, ``files_before``) is kept
    for undo.
    """

    seen: DatasetRecord | None = None
    """The dataset as it stood; None where none was live."""
    creates: DatasetId | None = None
    """The id that is to live, where none was live."""
    ended: VersionId | None = None
    """Where none was live: the newest version of its earlier lives."""
    patch: tuple[PatchOp, ...] = ()
    """On the metadata seen; on nothing where none was live."""
    wanted: Wanted | None = None
    """The versioned state to be made; None where no version is to be made."""
    data: ObjectSource | None = None
    """The data file to be put into the atlas first."""
    study: StudyTarget | None = None
    deletes: bool = False
    triggers: bool = False
    """Only an ingestion is asked for."""
    priority: Literal["low", "medium", "high"] | None = None
    """Of that ingestion, where it is not the run's."""
    attach: tuple[FileTarget, ...] = ()
    detach: tuple[str, ...] = ()
    files_before: tuple[FileState, ...] = ()
    """Files that it replaces, detaches, or that go with the data or the dataset."""
    saves: tuple[str, ...] = ()
    """Names of those of them whose bytes are downloaded first."""
    source: SourceVersion | None = None
    side_effects: tuple[str, ...] = ()
    not_recoverable: tuple[str, ...] = ()

    @property
    def dataset_id(self) -> DatasetId:
        """The dataset that it is about."""
        found = self.seen.dataset_id if self.seen else self.creates
        assert found is not None
        return found

    @property
    def version_seen(self) -> VersionId | None:
        """The version that stood when it was planned."""
        return self.seen.version_id if self.seen else self.ended


class Unchanged(Model):
    """The dataset is already as wanted; nothing is to be written."""

    version_seen: VersionId | None
    """None where there is no dataset, as is wanted."""


class Skipped(Model):
    """The caller asked to leave such items alone."""

    reason: str


class Invalid(Model):
    """The plan refuses the item; every reason is given."""

    reasons: tuple[str, ...]
    version_seen: VersionId | None = None


Decision = Planned | Unchanged | Skipped | Invalid


class StepResult(Model):
    """A step of an item that is done, with what later steps and settling need of it."""

    step: str
    """``data``, ``dataset``, or ``save:``, ``object:``, ``attach:``, ``detach:`` and a file name.
    """
    location: str | None = None
    """Pinned, where the step put an object into the atlas; of saved bytes the local path."""
    sha256: str | None = None
    """Of saved bytes."""
    version_id: VersionId | None = None
    """Where the step made a version."""

    @property
    def changes_catalog(self) -> bool:
        """Whether the step changes what the catalog says; others only bring or save bytes."""
        return self.step.partition(":")[0] in {"dataset", "attach", "detach"}


class Applied(Model):
    """Every step is done. ``version_id`` is the version made, None where none is made."""

    version_id: VersionId | None = None


class Happened(Model):
    """Everything that was planned is there. ``between`` are foreign versions directly before
    ours, oldest first."""

    version_id: VersionId | None
    between: tuple[VersionId, ...] = ()
    attributed: bool = False
    """The server's own record names our run; without it authorship is inferred."""


class NotHappened(Model):
    """Something is still to be done; nothing speaks against doing it."""

    done: tuple[StepResult, ...] = ()
    """Steps found done that were not recorded."""


class Foreign(Model):
    """Someone else changed the dataset and ours is not in the history."""

    versions: tuple[VersionId, ...] = ()
    """Versions after the one seen, oldest first; empty when the dataset is gone."""
    reason: str = ""
    """What was found instead, where that is not a matter of versions."""


class Unseen(Model):
    """Whether it happened cannot be seen on this service."""

    reason: str


Settled = Happened | NotHappened | Foreign | Unseen


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
    VERIFICATION = "verification"
    """What a wave wrote is not as promised, or breaks an assertion."""
    PAUSED = "paused"
    REFUSED = "refused"
    """What was to be selected cannot be used."""


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
    broken: int = 0
    """Written datasets that break an assertion, or are not as promised, found at its end."""

    @property
    def tolerated(self) -> bool:
        """Whether what did not end well is within what the caller allowed."""
        return not self.tolerate.exceeded(self.counts.not_well, self.counts.processed)

    @property
    def exit_code(self) -> int:
        """The command line's: 0 ended well or tolerated, 1 not well, 2 refused, 3 could not go on,
        4 budget, 130 stopped."""
        if self.stop is not None:
            codes = {
                StopReason.BUDGET: 4,
                StopReason.CANNOT_PROCEED: 3,
                StopReason.VERIFICATION: 1,
                StopReason.REFUSED: 2,
            }
            return codes.get(self.stop, 130)
        if self.counts.not_processed:
            return 130
        return 0 if not self.broken and (self.counts.not_well == 0 or self.tolerated) else 1
