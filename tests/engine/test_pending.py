"""What is said in the log of items that did not end well."""

import logging

import pytest

from polly_core.engine.pending import TOLD_EACH, TOLD_EVERY
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.run import Allowance, ItemState
from tests.engine.rig import Rig


def test_the_first_of_a_kind_are_told_and_then_only_how_many_there_are(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all shards of the run; at DEBUG every item is told."""
    monkeypatch.setattr("polly_core.engine.pending.TOLD_EVERY", 20)
    rig.fill(50)
    for number in range(50):
        rig.fake.edit_before_write(DatasetId(f"D{number:04}"), DatasetChange(metadata={"mine": 1}))
    caplog.set_level(logging.DEBUG, "polly_core.engine.pending")
    request = rig.request(budget=Allowance.parse("100%"))
    summary = rig.run(request)
    assert summary.counts.by_state == {ItemState.DRIFTED: 50}
    records = [one for one in caplog.records if one.name == "polly_core.engine.pending"]
    loud = [one.getMessage() for one in records if one.levelno >= logging.WARNING]
    assert [": drifted " in line for line in loud] == [True] * TOLD_EACH + [False] * 3
    assert request.run_id in loud[TOLD_EACH]
    assert loud[TOLD_EACH + 1 :] == ["20 items are drifted so far", "40 items are drifted so far"]
    quiet = [one for one in records if one.levelno == logging.DEBUG]
    assert len(quiet) == 50 - TOLD_EACH
    assert TOLD_EVERY >= 1000
