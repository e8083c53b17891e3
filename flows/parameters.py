"""Parameters that every bulk flow shares. The form that Prefect draws of them is their manual.

Empty text stands for "not given": Prefect's form is clumsy about values that may be absent.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from polly_core.engine.request import RunRequest
from polly_core.models.catalog import AtlasId, DatasetId, RunId, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import (
    DEFAULT_BUDGET,
    Allowance,
    Approval,
    OnLease,
    OperationName,
    RunOptions,
    Verify,
    Wave,
    budget_text,
    parse_budget,
)
from polly_core.models.selection import Selection
from polly_core.planning.asserting import Assertions
from polly_core.transport.sources import PATTERN, without_secrets


class Form(BaseModel):
    """Base of the parameter models: unknown fields are refused, so that a typo is seen."""

    # Pydantic would repeat what it refuses, secrets as well.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


SourceUri = Annotated[
    str,
    AfterValidator(without_secrets),
    # Prefect's server and form look at the schema, before they keep anything.
    Field(json_schema_extra={"pattern": PATTERN}),
]


def uuid_text(text: str) -> str:
    """A UUID as everybody writes it; nothing stays nothing."""
    return str(UUID(text)) if text else text


class SelectionForm(Form):
    """Which datasets. Name at most one source; none means every dataset of the atlas."""

    where: str = Field(
        default="",
        description="JMESPath filter over dataset_id, data_type, study_id, last_modified_at and "
        "metadata, for example metadata.organism == 'human'. May be added to any source.",
    )
    study: str = Field(default="", description="All datasets of this study.")
    ids: list[str] = Field(
        default=[], description="These dataset ids. For more than a few use ids_uri."
    )
    ids_uri: SourceUri = Field(
        default="",
        description="A file with one dataset id per line: s3://, https:// or a path that the "
        "worker can read.",
    )
    manifest_uri: SourceUri = Field(
        default="",
        description="A manifest (CSV, TSV or JSONL) with a dataset_id column. With no change "
        "given, its metadata.* columns are the change.",
    )
    failures_of: str = Field(
        default="", description="The items of this run that failed, were invalid or had drifted."
    )

    def selection(self) -> Selection:
        """The selection as the core knows it."""
        return Selection(
            where=self.where or None,
            study=StudyId(self.study) if self.study else None,
            ids=tuple(DatasetId(found) for found in self.ids) or None,
            ids_uri=self.ids_uri or None,
            manifest_uri=self.manifest_uri or None,
            failures_of=RunId(self.failures_of) if self.failures_of else None,
        )


# Not among the run's recorded options.
_OF_FLOW_RUN = frozenset({"run_id", "plan_first", "yes", "approval_timeout", "spread"})


class ExecutionForm(Form):
    """How the run is executed. The defaults suit most runs."""

    run_id: str = Field(
        default="",
        description="The ingestion_run_id. Empty: the id of this flow run. The id of a run that "
        "did not finish takes that run up where it stopped; everything else may then be empty.",
    )
    plan_first: bool = Field(
        default=True,
        description="Plan and validate every dataset before the first write. Off: each shard is "
        "planned and applied in its turn, which starts writing sooner.",
    )
    yes: bool = Field(
        default=False,
        description="Needed when plan_first is off: yes, write before everything is planned.",
    )
    concurrency: int = Field(
        default=64, ge=1, le=1024, description="Most requests in flight to the service."
    )
    shard_size: int = Field(
        default=500, ge=1, le=1000, description="Datasets handled by one task run."
    )
    budget: str = Field(
        default="10%",
        description="Stop when more than this many datasets end badly: a number, or a percentage "
        "of those processed (counted from the hundredth on). Of one kind besides: "
        "10%,conflict=0,invalid=5%.",
    )
    tolerate: str = Field(
        default="0",
        description="Up to this many bad ends (a number or a percentage) the flow run still "
        "completes, as CompletedWithErrors.",
    )
    verify: Verify = Field(
        default=Verify.AUTO,
        description="auto reads the version history back where the server cannot enforce "
        "versions; full also reads the metadata back; off reads nothing.",
    )
    on_lease: OnLease = Field(
        default=OnLease.REFUSE,
        description="When another run holds a dataset: refuse it, or wait for it.",
    )
    patience: float = Field(
        default=300.0,
        ge=0,
        description="Seconds that nothing may get through before the run stops, resumable.",
    )
    priority: Literal["", "low", "medium", "high"] = Field(
        default="", description="Ingestion priority; empty leaves it to the service."
    )
    waves: str = Field(
        default="",
        description="First this many, verified, then the next, for example 5,50,10%: the last "
        "size is repeated. Empty: everything at once.",
    )
    approval: Approval = Field(
        default=Approval.NONE,
        description="What waits for somebody's approval: nothing, the plan, or every wave too.",
    )
    approval_timeout: float = Field(
        default=86400.0, gt=0, description="Seconds to wait for an approval; then it stops."
    )
    repeat_unknown: bool = Field(
        default=False,
        description="Ask again for ingestions whose answer was lost, where the service does not "
        "show whether they were asked for.",
    )
    assertions: list[str] = Field(
        default=[],
        description="JMESPath (as in the filter) that must hold for every dataset that was "
        "written, for example metadata.organism == 'Homo sapiens'. One that does not hold stops "
        "further waves and fails the flow run.",
    )

    spread: int = Field(
        default=0,
        ge=0,
        description="Datasets per child flow run, for several workers, for example 20000. 0: this "
        "flow run does it all itself. Needs a ledger in PostgreSQL and the deployment "
        "bulk-block/block.",
    )

    _is_uuid = field_validator("run_id")(uuid_text)

    @field_validator("tolerate")
    @classmethod
    def _is_allowance(cls, text: str) -> str:
        return str(Allowance.parse(text))

    @field_validator("budget")
    @classmethod
    def _is_budget(cls, text: str) -> str:
        whole, single = parse_budget(text)
        return budget_text(whole or DEFAULT_BUDGET, single)

    @field_validator("waves")
    @classmethod
    def _are_waves(cls, text: str) -> str:
        return ",".join(str(wave) for wave in waves_of(text))

    @field_validator("assertions")
    @classmethod
    def _are_expressions(cls, texts: list[str]) -> list[str]:
        return list(Assertions(texts).texts)

    @model_validator(mode="after")
    def _consent(self) -> Self:
        if not self.plan_first and not self.yes:
            raise ValueError(
                "plan_first is off: datasets would be written before all are planned; "
                "set yes to true if that is wanted"
            )
        if not self.plan_first and (self.waves or self.approval is not Approval.NONE):
            raise ValueError("waves and approval need a plan first; set plan_first to true")
        return self

    def options(self) -> RunOptions | None:
        """The options as the core knows them, those alone that were given; None when none was.

        A run that is taken up keeps its own otherwise.
        """
        given = self.model_fields_set - _OF_FLOW_RUN
        if not given:
            return None
        whole, single = parse_budget(self.budget)
        values: dict[str, object] = {
            "concurrency": self.concurrency,
            "shard_size": self.shard_size,
            "budget": whole or DEFAULT_BUDGET,
            "tolerate": Allowance.parse(self.tolerate),
            "verify": self.verify,
            "on_lease": self.on_lease,
            "priority": self.priority or None,
            "patience": self.patience,
            "waves": waves_of(self.waves),
            "approval": self.approval,
            "repeat_unknown": self.repeat_unknown,
            "assertions": tuple(self.assertions),
        }
        chosen = {name: values[name] for name in given}
        if "budget" in given:
            chosen["budgets"] = single
        return RunOptions.model_validate(chosen)


def waves_of(text: str) -> tuple[Wave, ...]:
    """Read ``5,50,10%``.

    Raises:
        ValueError: one of them is no size.
    """
    return tuple(Wave.parse(part.strip()) for part in text.split(",") if part.strip())


def _shared_last(schema: JsonObject) -> None:
    """What is particular to an operation stands before what all have."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for name in ("run", "credentials"):
        properties[name] = properties.pop(name)


class BulkForm(Form, ABC):
    """Base of the flows' parameter models. A run that is taken up needs its id alone."""

    model_config = ConfigDict(json_schema_extra=_shared_last)
    operation: ClassVar[OperationName]

    atlas_id: str = Field(default="", description="The atlas whose datasets are written.")
    run: ExecutionForm = Field(default=ExecutionForm(), description="How to go about it.")
    credentials: str = Field(
        default="",
        description="Name of a 'Polly Credentials' block; empty: the worker's environment.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [] if self.run.run_id else self.missing()
        if missing:
            raise ValueError(
                f"a new run needs {', '.join(missing)}; to take up a run give its run.run_id"
            )
        return self

    @abstractmethod
    def missing(self) -> list[str]:
        """What a new run needs and is not given, in the form's words."""

    @abstractmethod
    def description(self) -> JsonObject:
        """What is to be done, as the operation's model in the core reads it."""

    @abstractmethod
    def selected(self) -> Selection:
        """Which items."""

    def request(self, own_run_id: str) -> RunRequest:
        """What the core is asked to do, as the run of this id unless one is given."""
        return RunRequest(
            run_id=RunId(self.run.run_id or own_run_id),
            atlas_id=AtlasId(self.atlas_id) if self.atlas_id else None,
            operation=self.operation,
            change=self.description() if self.atlas_id else None,
            selection=self.selected(),
            options=self.run.options(),
            barrier=self.run.plan_first,
            flow_run_id=own_run_id,
        )


class SelectingForm(BulkForm):
    """The same, for operations on datasets that are there."""

    selection: SelectionForm = Field(default=SelectionForm(), description="Which datasets.")

    def missing(self) -> list[str]:
        return [] if self.atlas_id else ["atlas_id"]

    def selected(self) -> Selection:
        return self.selection.selection()


class ManifestForm(BulkForm):
    """The same, for operations whose items are the rows of a manifest."""

    manifest_uri: SourceUri = Field(
        default="",
        description="A manifest (CSV, TSV, JSONL or Parquet): s3://, https:// or a path that the "
        "worker can read. Relative paths in it are relative to it.",
    )

    def missing(self) -> list[str]:
        given = {"atlas_id": self.atlas_id, "manifest_uri": self.manifest_uri}
        return [name for name, value in given.items() if not value]

    def selected(self) -> Selection:
        return Selection(manifest_uri=self.manifest_uri or None)
