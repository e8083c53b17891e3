"""Bulk update of metadata, also of the data type, as a Prefect flow."""

from typing import Self

from prefect import State, flow
from pydantic import Field, model_validator

from flows.parameters import ExecutionForm, Form, SelectionForm
from flows.skeleton import Job, carry_out, own_run_id, run_name, two_shards
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from tasks.credentials import surroundings
from tasks.update import update_shard


class BulkUpdate(Form):
    """What to change, in which datasets, and how to go about it."""

    atlas_id: str = Field(default="", description="The atlas whose datasets are updated.")
    change: JsonObject = Field(
        default={},
        description="The change itself: an object with a list of steps, as a change file has it. "
        "Or use change_uri.",
    )
    change_uri: str = Field(
        default="",
        description="A change file (YAML or JSON): s3://, https:// or a path that the worker can "
        "read. It is pinned by its hash when the run starts.",
    )
    selection: SelectionForm = Field(default=SelectionForm(), description="Which datasets.")
    run: ExecutionForm = Field(default=ExecutionForm(), description="How to go about it.")
    credentials: str = Field(
        default="",
        description="Name of a 'Polly Credentials' block; empty: the worker's environment.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.change and self.change_uri:
            raise ValueError("change and change_uri are both given; keep one of them")
        has_change = self.change or self.change_uri or self.selection.manifest_uri
        if not self.run.run_id and not (self.atlas_id and has_change):
            raise ValueError(
                "a new run needs atlas_id and one of change, change_uri or a manifest; "
                "to take up a run give its run.run_id"
            )
        return self

    def request(self, own_run_id: str) -> RunRequest:
        """What the core is asked to do, as the run of this id unless one is given."""
        return RunRequest(
            run_id=RunId(self.run.run_id or own_run_id),
            atlas_id=AtlasId(self.atlas_id) if self.atlas_id else None,
            operation=OperationName.UPDATE,
            change=self.change or None,
            change_uri=self.change_uri or None,
            selection=self.selection.selection(),
            options=self.run.options(),
            barrier=self.run.plan_first,
            flow_run_id=own_run_id,
        )


@flow(
    name="bulk-update",
    flow_run_name=run_name("update"),
    task_runner=two_shards(),
    retries=0,
    persist_result=True,
    result_serializer="json",
)
def bulk_update(update: BulkUpdate) -> State[object]:
    """Update the metadata of many datasets: planned, recorded, resumable.

    The run's outcome stands in the ledger; the final state of this flow run, its tags, name and
    artifacts show it. 'prefect flow-run retry' takes an unfinished run up where it stopped.
    """
    return carry_out(
        Job(
            request=update.request(own_run_id()),
            surroundings=surroundings(update.credentials),
            shard_task=update_shard,
        )
    )
