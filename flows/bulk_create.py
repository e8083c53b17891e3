"""Bulk creation of datasets from a manifest, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import ManifestForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import CreateSpec, OnExisting
from polly_core.models.run import OperationName
from tasks.create import create_shard


class BulkCreate(ManifestForm):
    """Which datasets to create: a manifest with a row for each, and what its rows leave open."""

    operation = OperationName.CREATE

    existing: OnExisting = Field(
        default=OnExisting.FAIL,
        description="When a dataset of this id is there already: fail (nothing is written to "
        "it), skip it, update (always a new version), or update-if-different (only where "
        "metadata, data, data type, study or files differ).",
    )
    data_type: str = Field(default="", description="Data type of rows that name none.")
    study_id: str = Field(default="", description="Study of rows that name none.")
    sample_field: str = Field(
        default="sample_ids",
        description="Metadata field that lists sample ids. Where a row has it, it must agree with "
        "the columns of its GCT file or the observations of its h5ad file. Empty: not compared.",
    )

    def description(self) -> JsonObject:
        described = {
            "existing": self.existing,
            "data_type": self.data_type or None,
            "study_id": self.study_id or None,
            "sample_field": self.sample_field,
        }
        return CreateSpec.model_validate(described).model_dump(mode="json")


@bulk_flow(OperationName.CREATE)
def bulk_create(create: BulkCreate) -> State[object]:
    """Create many datasets with data, metadata and files: inspected, recorded, resumable.

    Every data file is looked into before anything is uploaded. The run's outcome stands in the
    ledger; 'prefect flow-run retry' takes an unfinished run up where it stopped.
    """
    return carry_out(create, create_shard)


BULK = Bulk(bulk_create, BulkCreate)
