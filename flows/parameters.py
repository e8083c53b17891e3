"""Parameters that every bulk flow shares. The form that Prefect draws of them is their manual.

Empty text stands for "not given": Prefect's form is clumsy about values that may be absent.
"""

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from polly_core.models.catalog import DatasetId, RunId, StudyId
from polly_core.models.run import Allowance, OnLease, RunOptions, Verify
from polly_core.models.selection import Selection


class Form(BaseModel):
    """Base of the parameter models: unknown fields are refused, so that a typo is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    ids_uri: str = Field(
        default="",
        description="A file with one dataset id per line: s3://, https:// or a path that the "
        "worker can read.",
    )
    manifest_uri: str = Field(
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
        "of those processed (counted from the hundredth on).",
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

    @field_validator("run_id")
    @classmethod
    def _is_uuid(cls, text: str) -> str:
        return str(UUID(text)) if text else text

    @field_validator("budget", "tolerate")
    @classmethod
    def _is_allowance(cls, text: str) -> str:
        return str(Allowance.parse(text))

    @model_validator(mode="after")
    def _consent(self) -> Self:
        if not self.plan_first and not self.yes:
            raise ValueError(
                "plan_first is off: datasets would be written before all are planned; "
                "set yes to true if that is wanted"
            )
        return self

    def options(self) -> RunOptions | None:
        """The options as the core knows them; None when none was given.

        A run that is taken up then keeps its own.
        """
        if not self.model_fields_set - {"run_id", "plan_first", "yes"}:
            return None
        return RunOptions(
            concurrency=self.concurrency,
            shard_size=self.shard_size,
            budget=Allowance.parse(self.budget),
            tolerate=Allowance.parse(self.tolerate),
            verify=self.verify,
            on_lease=self.on_lease,
            priority=self.priority or None,
            patience=self.patience,
        )
