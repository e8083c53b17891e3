"""Bulk deletion of datasets, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import SelectingForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import DeleteSpec
from polly_core.models.run import OperationName
from tasks.delete import delete_shard


class BulkDelete(SelectingForm):
    """Which datasets to delete."""

    operation = OperationName.DELETE

    save_bytes: bool = Field(
        default=False,
        description="Download the files that are lost into the worker's data folder first. Their "
        "addresses are kept in any case, so that undo can attach them again while the store has "
        "them.",
    )

    def description(self) -> JsonObject:
        return DeleteSpec(save_bytes=self.save_bytes).model_dump(mode="json")


@bulk_flow(OperationName.DELETE)
def bulk_delete(delete: BulkDelete) -> State[object]:
    """Delete many datasets; their versions stay, and undo or rollback brings them back.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(delete, delete_shard)


BULK = Bulk(bulk_delete, BulkDelete)
