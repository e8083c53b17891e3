"""Moves of many datasets between studies, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import SelectingForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from tasks.study import study_shard


class BulkStudy(SelectingForm):
    """Which datasets to move, and into which study."""

    operation = OperationName.STUDY

    study_id: str = Field(
        default="",
        description="The study they go into. Empty: a manifest's column study_id says it for each.",
    )
    leave: bool = Field(default=False, description="Take them out of any study instead.")

    def description(self) -> JsonObject:
        return {"study_id": self.study_id or None, "leave": self.leave}


@bulk_flow(OperationName.STUDY)
def bulk_study(study: BulkStudy) -> State[object]:
    """Move many datasets into a study, or out of any; no version is made.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(study, study_shard)


BULK = Bulk(bulk_study, BulkStudy)
