"""The final state that a summary becomes."""

import pytest

from flows.states import TOLERATED, final_state
from polly_core.models.catalog import AtlasId, CatalogRef, RunId
from polly_core.models.run import (
    Allowance,
    Counts,
    ItemState,
    OperationName,
    RunState,
    RunSummary,
    StopReason,
)

RUN = "6a3f5d1e-0000-4000-8000-000000000001"


def summary_of(
    counts: dict[ItemState, int], *, tolerate: str = "0", stop: StopReason | None = None
) -> RunSummary:
    """A run that came to these counts."""
    return RunSummary(
        run_id=RunId(RUN),
        operation=OperationName.UPDATE,
        catalog=CatalogRef(api_url="http://atlas.test", atlas_id=AtlasId("9")),
        spec_digest="00",
        state=RunState.STOPPED if stop else RunState.FINISHED,
        stop=stop,
        message="the key was refused" if stop is StopReason.CANNOT_PROCEED else "",
        counts=Counts(by_state=counts),
        tolerate=Allowance.parse(tolerate),
        created_at="2026-11-22T08:00:00+00:00",
    )


GOOD = {ItemState.APPLIED: 7, ItemState.UNCHANGED: 2, ItemState.SKIPPED: 1}
MIXED = {ItemState.APPLIED: 7, ItemState.INVALID: 1, ItemState.DRIFTED: 2}
RESUME = f"; go on with: polly-bulk resume {RUN}"
HALF = {ItemState.APPLIED: 5, ItemState.PLANNED: 5}


@pytest.mark.parametrize(
    ("summary", "kind", "name", "message"),
    [
        (summary_of(GOOD), "COMPLETED", "Completed", "ok=10/10 failed=0"),
        (summary_of({}), "COMPLETED", "Completed", "ok=0/0 failed=0"),
        (summary_of(MIXED), "FAILED", "Failed", "ok=7/10 failed=3"),
        (summary_of(MIXED, tolerate="3"), "COMPLETED", TOLERATED, "ok=7/10 failed=3"),
        (summary_of(MIXED, tolerate="2"), "FAILED", "Failed", "ok=7/10 failed=3"),
        (
            summary_of(HALF, stop=StopReason.CANCELLED),
            "CANCELLED",
            "Cancelled",
            "ok=5/10 failed=0 not_processed=5 stopped=cancelled" + RESUME,
        ),
        (
            summary_of(HALF, stop=StopReason.INTERRUPTED),
            "CANCELLED",
            "Cancelled",
            "ok=5/10 failed=0 not_processed=5 stopped=interrupted" + RESUME,
        ),
        (
            summary_of(HALF, stop=StopReason.BUDGET, tolerate="100%"),
            "FAILED",
            "Failed",
            f"ok=5/10 failed=0 not_processed=5 stopped=budget; go on with: polly-bulk resume {RUN}",
        ),
        (
            summary_of(HALF, stop=StopReason.CANNOT_PROCEED),
            "FAILED",
            "Failed",
            "ok=5/10 failed=0 not_processed=5 stopped=cannot_proceed (the key was refused)"
            + RESUME,
        ),
    ],
)
def test_state(summary: RunSummary, kind: str, name: str, message: str) -> None:
    """Type, name and message; the data are the whole summary as JSON."""
    state = final_state(summary)
    assert (state.type.value, state.name) == (kind, name)
    assert state.message == f"ingestion_run_id={RUN} {message}"
    assert state.data == summary.model_dump(mode="json")
