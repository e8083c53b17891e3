"""Bulk update of metadata, also of the data type and of data files, as a Prefect flow."""

from typing import Self

from prefect import State
from pydantic import Field, model_validator

from flows.parameters import SelectingForm, SourceUri
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.engine.request import RunRequest
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from tasks.update import update_shard


class BulkUpdate(SelectingForm):
    """What to change, in which datasets, and how to go about it."""

    operation = OperationName.UPDATE

    change: JsonObject = Field(
        default={},
        description="The change itself: an object with a list of steps, as a change file has it. "
        "Or use change_uri.",
    )
    change_uri: SourceUri = Field(
        default="",
        description="A change file (YAML or JSON): s3://, https:// or a path that the worker can "
        "read. It is pinned by its hash when the run starts.",
    )

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if self.change and self.change_uri:
            raise ValueError("change and change_uri are both given; keep one of them")
        return self

    def missing(self) -> list[str]:
        has_change = self.change or self.change_uri or self.selection.manifest_uri
        needed = "one of change, change_uri or a manifest"
        return super().missing() + ([] if has_change else [needed])

    def description(self) -> JsonObject:
        return self.change

    def request(self, own_run_id: str) -> RunRequest:
        given = {"change": self.change or None, "change_uri": self.change_uri or None}
        return super().request(own_run_id).model_copy(update=given)


@bulk_flow(OperationName.UPDATE)
def bulk_update(update: BulkUpdate) -> State[object]:
    """Update the metadata of many datasets: planned, recorded, resumable.

    The run's outcome stands in the ledger; the final state of this flow run, its tags, name and
    artifacts show it. 'prefect flow-run retry' takes an unfinished run up where it stopped.
    """
    return carry_out(update, update_shard)


BULK = Bulk(bulk_update, BulkUpdate)
