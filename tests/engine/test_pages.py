"""Listing pages are read again by each shard, after its leases were granted."""

import pytest

from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.run import ItemState
from tests.engine.rig import Rig


def test_what_is_known_from_planning_is_read_again_before_it_is_written(hosted: Rig) -> None:
    """Nothing but that reading tells a drifted dataset where the service enforces nothing."""
    hosted.fill(10)
    request = hosted.request(barrier=True)
    with hosted.session(request) as session:
        session.freeze()
        session.plan()
        hosted.fake.edit("D0004", DatasetChange(metadata={"mine": 1}))
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    assert summary.counts.by_state == {ItemState.APPLIED: 9, ItemState.DRIFTED: 1}
    assert hosted.fake.metadata(hosted.fake.dataset(DatasetId("D0004"))) == {"mine": 1}


@pytest.mark.parametrize("which", ["rig", "hosted"])
def test_a_page_that_was_read_before_the_lease_is_read_again(
    which: str, request: pytest.FixtureRequest
) -> None:
    """Lease, then read: another run may have written in between, and is no stranger."""
    rig: Rig = request.getfixturevalue(which)
    rig.fill(20)
    asked = rig.request(shard_size=10)
    other = rig.request(change={"steps": [{"set": "other", "value": 1}]})
    with rig.session(asked) as session:
        session.freeze()
        first, second = session.open_shards()
        session.run_shard(first)
        assert rig.run(other).counts.by_state == {ItemState.APPLIED: 20}
        session.run_shard(second)
        summary = session.finish()
    assert summary.counts.by_state == {ItemState.APPLIED: 20}
    for record in rig.fake.datasets():
        metadata = rig.fake.metadata(record)
        assert (metadata["reviewed"], metadata["other"]) == (True, 1)
