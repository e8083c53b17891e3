"""Bulk copy from one atlas to another, and promotion, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import SelectingForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import CopyOnExisting
from polly_core.models.run import OperationName
from tasks.copy import copy_shard


class BulkCopy(SelectingForm):
    """What to copy, from where to where, and what becomes of what is there already.

    ``atlas_id`` is the destination; the selection chooses in the source.
    """

    operation = OperationName.COPY

    from_atlas: str = Field(
        default="",
        description="The source: an atlas of the same service. Datasets keep their ids, unless a "
        "manifest says dataset_id (the copy) and from_dataset_id (what is copied); with such a "
        "manifest it may be the destination itself.",
    )
    existing: CopyOnExisting = Field(
        default=CopyOnExisting.FAIL,
        description="What becomes of datasets that are at the destination already: fail and skip "
        "leave them; overwrite makes them like the source; newer does so where the source was "
        "modified later; promote compares both with the last copy, writes what changed in the "
        "source alone, and leaves conflicts for a decision.",
    )
    files: bool = Field(
        default=True, description="Supplementary files come along, with their tags and links."
    )
    save_bytes: bool = Field(
        default=False,
        description="Download files of the destination that are replaced or lost, before they are.",
    )

    def missing(self) -> list[str]:
        return super().missing() + ([] if self.from_atlas else ["from_atlas"])

    def description(self) -> JsonObject:
        return {
            "from_atlas": self.from_atlas,
            "existing": self.existing.value,
            "files": self.files,
            "save_bytes": self.save_bytes,
        }


# Not "copy": a pydantic model, which Prefect makes of the parameters, has a method of that name.
@bulk_flow(OperationName.COPY)
def bulk_copy(copying: BulkCopy) -> State[object]:
    """Copy many datasets server-side, with study and supplementary files: planned, recorded,
    resumable. A dataset counts as applied when all of it is there.

    The run's outcome stands in the ledger; the final state of this flow run, its tags, name and
    artifacts show it. 'prefect flow-run retry' takes an unfinished run up where it stopped.
    """
    return carry_out(copying, copy_shard)


BULK = Bulk(bulk_copy, BulkCopy)
