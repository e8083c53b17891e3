"""Attaching supplementary files to many datasets, as a Prefect flow."""

from typing import Literal

from prefect import State
from pydantic import Field

from flows.parameters import ManifestForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import AttachSpec
from polly_core.models.run import OperationName
from tasks.attach import attach_shard


class BulkAttach(ManifestForm):
    """Which files to attach: a manifest with a row for each."""

    operation = OperationName.ATTACH

    existing: Literal["fail", "skip", "replace"] = Field(
        default="fail",
        description="When another file of that name is attached already: fail (it stays, the item "
        "is invalid), skip, or replace it. The same file, attached just so, is left alone.",
    )
    save_bytes: bool = Field(
        default=False,
        description="Download the files that are lost into the worker's data folder first. Their "
        "addresses are kept in any case, so that undo can attach them again while the store has "
        "them.",
    )

    def description(self) -> JsonObject:
        spec = AttachSpec(existing=self.existing, save_bytes=self.save_bytes)
        return spec.model_dump(mode="json")


@bulk_flow(OperationName.ATTACH)
def bulk_attach(attach: BulkAttach) -> State[object]:
    """Attach many supplementary files, with tags and links.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(attach, attach_shard)


BULK = Bulk(bulk_attach, BulkAttach)
