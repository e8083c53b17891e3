"""Undo of a run, of chosen datasets or fields of it, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import BulkForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection
from tasks.undo import undo_shard


class BulkUndo(BulkForm):
    """Which run is taken back, and how much of it."""

    operation = OperationName.UNDO

    undo_of: str = Field(
        default="", description="The ingestion_run_id of the run that is to be undone."
    )
    dataset_ids: list[str] = Field(
        default=[], description="Only these datasets of it; empty: all that it wrote."
    )
    fields: list[str] = Field(
        default=[],
        description="Only these metadata fields, for example organism or sample.tissue; empty: "
        "everything, data, study and files included.",
    )
    save_bytes: bool = Field(
        default=False, description="Download files that are removed by it first."
    )

    def missing(self) -> list[str]:
        return [] if self.undo_of else ["undo_of"]

    def description(self) -> JsonObject:
        return {
            "run_id": self.undo_of,
            "dataset_ids": [*self.dataset_ids] or None,
            "fields": [*self.fields] or None,
            "save_bytes": self.save_bytes,
        }

    def selected(self) -> Selection:
        return Selection(written_by=RunId(self.undo_of) if self.undo_of else None)

    def request(self, own_run_id: str) -> RunRequest:
        change = self.description() if self.undo_of else None
        return super().request(own_run_id).model_copy(update={"change": change})


@bulk_flow(OperationName.UNDO)
def bulk_undo(undo: BulkUndo) -> State[object]:
    """Undo a run: what it changed goes back, what others changed since stays.

    Datasets on which both would meet are left alone and listed for a decision. It is a run like
    any other: planned, recorded, verified, and it can be undone.
    """
    return carry_out(undo, undo_shard)


BULK = Bulk(bulk_undo, BulkUndo)
