"""Ingestions of many datasets, as a Prefect flow."""

from typing import Literal

from prefect import State
from pydantic import Field

from flows.parameters import SelectingForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import IngestionFlag, IngestSpec
from polly_core.models.run import OperationName
from tasks.ingest import ingest_shard

Said = Literal["", "yes", "no"]


class BulkIngest(SelectingForm):
    """Which datasets to index again, and what of them."""

    operation = OperationName.INGEST

    file_metadata: Said = Field(
        default="", description="Index the metadata of the datasets. Empty: as the service does."
    )
    col_metadata: Said = Field(
        default="", description="Index what is said of columns (samples). Empty: as above."
    )
    row_metadata: Said = Field(
        default="", description="Index what is said of rows (features). Empty: as above."
    )
    data_required: Said = Field(default="", description="Index the data itself. Empty: as above.")

    def description(self) -> JsonObject:
        return IngestSpec(flags=self._flags()).model_dump(mode="json")

    def _flags(self) -> dict[IngestionFlag, bool]:
        said: dict[IngestionFlag, Said] = {
            "file_metadata": self.file_metadata,
            "col_metadata": self.col_metadata,
            "row_metadata": self.row_metadata,
            "data_required": self.data_required,
        }
        return {name: wanted == "yes" for name, wanted in said.items() if wanted}


@bulk_flow(OperationName.INGEST)
def bulk_ingest(ingest: BulkIngest) -> State[object]:
    """Ask for an ingestion of many datasets as they stand, once for each, most urgent first.

    A manifest's column priority (high, medium, low) says how urgent each is; run.priority is for
    the others.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(ingest, ingest_shard)


BULK = Bulk(bulk_ingest, BulkIngest)
