"""Ingestions: asked for once, most urgent first."""

import pytest

from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunState
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault, WriteKind
from tests.engine.rig import Rig

FLAGS: JsonObject = {"flags": {"col_metadata": True, "data_required": False}}


def _asked(rig: Rig) -> list[str]:
    return [call.dataset_id for call in rig.fake.writes if call.kind is WriteKind.TRIGGER]


def test_each_dataset_is_asked_for_once_with_flags_and_priority(either: Rig) -> None:
    either.fill(5)
    request = either.request(operation=OperationName.INGEST, change=FLAGS, priority="high")
    summary = either.run(request)
    assert summary.counts.by_state == {ItemState.APPLIED: 5}
    assert sorted(_asked(either)) == [f"D{n:04}" for n in range(5)]
    for call in either.fake.writes:
        assert call.stamp.run_id == request.run_id
        assert call.stamp.flags == FLAGS["flags"]
        assert call.stamp.priority == "high"
    assert all(len(either.fake.versions(DatasetId(f"D{n:04}"))) == 1 for n in range(5))
    assert either.run(request).counts == summary.counts
    assert len(_asked(either)) == 5


def test_a_manifest_s_priorities_go_in_batches_high_first(either: Rig) -> None:
    either.fill(60)
    kinds = ["low", "high", "", "medium"]
    rows = [f"D{n:04},{kinds[n % 4]}" for n in range(60)]
    manifest = either.folder / "m.csv"
    manifest.write_text("\n".join(["dataset_id,priority", *rows, ""]))
    request = either.request(
        operation=OperationName.INGEST,
        change={},
        selection=Selection(manifest_uri=str(manifest)),
        concurrency=1,
        priority="low",
    )
    assert either.run(request).counts.by_state == {ItemState.APPLIED: 60}
    sent = [(int(c.dataset_id[1:]) % 4, c.stamp.priority) for c in either.fake.writes]
    assert sent[:15] == [(1, "high")] * 15
    assert sorted(sent[15:45], key=str) == [(2, "low")] * 15 + [(3, "medium")] * 15
    assert sent[45:] == [(0, "low")] * 15


def test_a_priority_that_is_none_is_refused_by_item(rig: Rig) -> None:
    rig.fill(2)
    manifest = rig.folder / "m.csv"
    manifest.write_text("dataset_id,priority\nD0000,urgent\nD0001,low\n")
    request = rig.request(
        operation=OperationName.INGEST, change={}, selection=Selection(manifest_uri=str(manifest))
    )
    rig.run(request)
    row = next(row for row in rig.items(request.run_id) if row.dataset_id == "D0000")
    assert row.state is ItemState.INVALID
    assert "'urgent'" in row.reasons[0]
    assert _asked(rig) == ["D0001"]


@pytest.mark.parametrize("fault", list(Fault))
def test_a_lost_answer_is_settled_by_what_the_server_recorded(rig: Rig, fault: Fault) -> None:
    rig.fill(4)
    rig.fake.fail_write(fault, "D0001", retry_after=0.1)
    request = rig.request(operation=OperationName.INGEST, change={})
    assert rig.run(request).counts.by_state == {ItemState.APPLIED: 4}
    recorded = rig.fake.ingestions(RunId(request.run_id))
    assert sorted(one.dataset_id for one in recorded) == [f"D{n:04}" for n in range(4)]
    row = next(row for row in rig.items(request.run_id) if row.dataset_id == "D0001")
    assert not row.inferred


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_where_nothing_shows_it_stays_unknown_until_told_to_repeat(
    hosted: Rig, fault: Fault
) -> None:
    hosted.fill(4)
    hosted.fake.fail_write(fault, "D0001")
    request = hosted.request(operation=OperationName.INGEST, change=FLAGS)
    summary = hosted.run(request)
    assert summary.counts.by_state == {ItemState.APPLIED: 3, ItemState.UNKNOWN: 1}
    assert summary.state is RunState.STOPPED
    row = next(row for row in hosted.items(request.run_id) if row.dataset_id == "D0001")
    assert "--repeat-unknown" in row.reasons[0]
    again = hosted.take_up(request.run_id)
    assert again.counts.of(ItemState.UNKNOWN) == 1
    assert len(_asked(hosted)) == 4
    options = request.options.model_copy(update={"repeat_unknown": True})  # type: ignore[union-attr]
    told = hosted.run(request.model_copy(update={"options": options}))
    assert told.counts.by_state == {ItemState.APPLIED: 4}
    assert len(_asked(hosted)) == 5


def test_a_plan_keeps_flags_and_priorities_for_who_takes_it_up(rig: Rig) -> None:
    rig.fill(2)
    manifest = rig.folder / "m.csv"
    manifest.write_text("dataset_id,priority\nD0000,high\nD0001,low\n")
    request = rig.request(
        operation=OperationName.INGEST,
        change=FLAGS,
        selection=Selection(manifest_uri=str(manifest)),
        barrier=True,
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
    rig.take_up(request.run_id)
    said = {call.dataset_id: (call.stamp.priority, call.stamp.flags) for call in rig.fake.writes}
    assert said == {"D0000": ("high", FLAGS["flags"]), "D0001": ("low", FLAGS["flags"])}
