"""Bulk rollback, as a Prefect flow."""

from prefect import State
from pydantic import Field

from flows.parameters import SelectingForm
from flows.skeleton import Bulk, bulk_flow, carry_out
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from tasks.rollback import rollback_shard


class BulkRollback(SelectingForm):
    """Which datasets to roll back, and to what.

    Name one of as_of, back and before_run; with none of them a manifest's column version_id says
    it for each dataset.
    """

    operation = OperationName.ROLLBACK

    as_of: str = Field(
        default="",
        description="To the version that was current at this time, with its zone, for example "
        "2026-11-21T18:00:00+01:00.",
    )
    back: int = Field(default=0, ge=0, description="So many versions back; 0: not this way.")
    before_run: str = Field(
        default="",
        description="To the version before this run. With no datasets selected: all that the run "
        "wrote, deleted ones included.",
    )
    save_bytes: bool = Field(
        default=False,
        description="Download the files that are lost into the worker's data folder first. Their "
        "addresses are kept in any case, so that undo can attach them again while the store has "
        "them.",
    )

    def missing(self) -> list[str]:
        goals = (self.as_of, self.back, self.before_run, self.selection.manifest_uri)
        has_goal = any(goals) or self.selection.failures_of
        needed = "one of as_of, back, before_run or a manifest"
        return super().missing() + ([] if has_goal else [needed])

    def description(self) -> JsonObject:
        return {
            "as_of": self.as_of or None,
            "back": self.back or None,
            "before_run": self.before_run or None,
            "save_bytes": self.save_bytes,
        }


@bulk_flow(OperationName.ROLLBACK)
def bulk_rollback(rollback: BulkRollback) -> State[object]:
    """Make many datasets what they were at an earlier version; deleted ones come back.

    Nothing is removed from the history: each rollback is a new version.

    The run's outcome stands in the ledger; 'prefect flow-run retry' takes an unfinished run up
    where it stopped.
    """
    return carry_out(rollback, rollback_shard)


BULK = Bulk(bulk_rollback, BulkRollback)
