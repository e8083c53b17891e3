"""Removing supplementary files of many datasets, as a Prefect flow."""

from typing import Literal

from prefect import State
from pydantic import Field

from flows.parameters import ManifestForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import DetachSpec
from polly_core.models.run import OperationName
from tasks.detach import detach_shard


class BulkDetach(ManifestForm):
    """Which files to remove: a manifest with columns dataset_id and file_name."""

    operation = OperationName.DETACH

    absent: Literal["fail", "skip"] = Field(
        default="fail", description="When there is no such file: fail, or skip it."
    )
    save_bytes: bool = Field(
        default=False,
        description="Download the files that are lost into the worker's data folder first. Their "
        "addresses are kept in any case, so that undo can attach them again while the store has "
        "them.",
    )

    def description(self) -> JsonObject:
        return DetachSpec(missing=self.absent, save_bytes=self.save_bytes).model_dump(mode="json")


@bulk_flow(OperationName.DETACH)
def bulk_detach(detach: BulkDetach) -> State[object]:
    """Remove many supplementary files; undo attaches them again.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(detach, detach_shard)


BULK = Bulk(bulk_detach, BulkDetach)
