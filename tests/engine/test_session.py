"""A run from selection to summary."""

import pytest

from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState, RunState
from tests.engine.rig import Rig


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("which", ["rig", "hosted"])
def test_every_dataset_is_updated_once(
    which: str, barrier: bool, request: pytest.FixtureRequest
) -> None:
    rig: Rig = request.getfixturevalue(which)
    rig.fill(50)
    summary = rig.run(rig.request(barrier=barrier))
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == {ItemState.APPLIED: 50}
    assert summary.exit_code == 0
    for position in range(50):
        dataset_id = DatasetId(f"D{position:04}")
        assert len(rig.fake.versions(dataset_id)) == 2
        assert rig.fake.metadata(rig.fake.dataset(dataset_id)) == {
            "organism": "human",
            "n": position,
            "reviewed": True,
        }
    assert {call.stamp.run_id for call in rig.fake.writes} == {summary.run_id}


def test_a_second_application_writes_nothing(rig: Rig) -> None:
    rig.fill(30)
    rig.run(rig.request())
    written = len(rig.fake.writes)
    summary = rig.run(rig.request())
    assert summary.counts.by_state == {ItemState.UNCHANGED: 30}
    assert len(rig.fake.writes) == written
