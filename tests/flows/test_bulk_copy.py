"""The copy flow: from one atlas into another, then promoted."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from flows.bulk_copy import BulkCopy, bulk_copy
from flows.catalogue import bulk_of
from flows.running import run_here
from polly_core.models.catalog import DatasetChange, DatasetId, RunId, WriteStamp
from polly_core.models.run import ItemState, OperationName, RunSummary
from tests.flows.conftest import Bench, human
from tests.support.standing import connected, snapshot

pytestmark = pytest.mark.timeout(240)
APPLIED, UNCHANGED = ItemState.APPLIED, ItemState.UNCHANGED


def _run(bench: Bench, target: str, existing: str) -> RunSummary:
    fields = {"atlas_id": target, "from_atlas": bench.atlas_id, "existing": existing}
    form = BulkCopy.model_validate({**fields, "run": {"shard_size": 10}})
    return run_here(bulk_copy, {"copying": form})


def test_staging_goes_to_production_and_is_promoted(bench: Bench) -> None:
    bench.fill(human(25))
    production = bench.atlas.new_atlas()
    assert _run(bench, production, "fail").counts.by_state == {APPLIED: 25}
    assert snapshot(bench.atlas, production) == snapshot(bench.atlas, bench.atlas_id)
    client = connected(bench.atlas, bench.atlas_id)
    try:
        client.writer.update(
            DatasetId("d0003"),
            DatasetChange(metadata={"species": "mouse"}),
            WriteStamp(run_id=RunId("99999999-9999-4999-8999-999999999999")),
        )
    finally:
        client.close()
    promoted = _run(bench, production, "promote")
    assert promoted.counts.by_state == {APPLIED: 1, UNCHANGED: 24}
    assert snapshot(bench.atlas, production)["d0003"].metadata == {"species": "mouse"}


def test_the_form_says_what_it_needs() -> None:
    bulk = bulk_of(OperationName.COPY)
    assert bulk.flow is bulk_copy
    assert set(bulk.parameters({"run": {"run_id": str(uuid4())}})) == {"copying"}
    with pytest.raises(ValidationError, match="a new run needs atlas_id, from_atlas"):
        BulkCopy()
    with pytest.raises(ValidationError, match="existing"):
        BulkCopy.model_validate({"atlas_id": "2", "from_atlas": "1", "existing": "always"})
