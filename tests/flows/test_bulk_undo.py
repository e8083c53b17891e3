"""The undo flow: nothing but the run has to be named."""

from uuid import uuid4

import pytest

from flows.bulk_undo import BulkUndo, bulk_undo
from flows.running import run_here
from polly_core.errors import RunNotFound
from polly_core.models.run import ItemState, RunSummary
from tests.flows.conftest import Bench, human
from tests.support.standing import snapshot

pytestmark = pytest.mark.timeout(240)


def _undo(undo_of: str, **fields: object) -> RunSummary:
    form = BulkUndo.model_validate({"undo_of": undo_of, **fields})
    return run_here(bulk_undo, {"undo": form})


def test_the_atlas_is_that_of_the_run(bench: Bench) -> None:
    bench.fill(human(6))
    done = bench.update()
    part = _undo(done.run_id, dataset_ids=["d0001"], fields=["species"])
    assert part.counts.by_state == {ItemState.APPLIED: 1}
    whole = _undo(done.run_id)
    assert whole.catalog == done.catalog
    assert whole.counts.by_state == {ItemState.APPLIED: 6}
    metadata = [found.metadata for found in snapshot(bench.atlas, bench.atlas_id).values()]
    assert metadata == list(human(6).values())


def test_a_run_that_is_not_there_is_named(bench: Bench) -> None:
    missing = str(uuid4())
    with pytest.raises(RunNotFound, match=missing):
        _undo(missing)
