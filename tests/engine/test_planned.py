"""Plans: behind a barrier, in files, and applied as new runs."""

import json
from pathlib import Path

import pytest

from polly_core.engine.planned import export_plan, plan_of
from polly_core.engine.request import RunRequest
from polly_core.errors import InvalidInput, RunMismatch
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, DatasetId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState
from polly_core.planning.plan import PlanFooter
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig

CHANGE: JsonObject = {
    "steps": [
        {"set": "reviewed", "value": True, "when": "metadata.n != `1`"},
        {"rename": "organism", "to": "species", "when": "metadata.n == `3`"},
        {"map": "n", "vocabulary": {"x": 1}, "unmatched": "fail", "when": "metadata.n == `2`"},
    ]
}
PLANNED = {ItemState.PLANNED: 4, ItemState.UNCHANGED: 1, ItemState.INVALID: 1}
APPLIED = {ItemState.APPLIED: 4, ItemState.UNCHANGED: 1, ItemState.INVALID: 1}


def _planned(rig: Rig) -> tuple[RunRequest, Path, PlanFooter]:
    """A planned run of six datasets in three shards, and its file."""
    rig.fill(6)
    request = rig.request(change=CHANGE, barrier=True, shard_size=2)
    with rig.session(request) as session:
        session.freeze()
        plan = session.plan()
        assert plan is not None
        assert session.run.state is RunState.PLANNED
    path = rig.folder / "plan.jsonl"
    with open_ledger(rig.ledger_url) as ledger:
        footer = export_plan(ledger, ledger.run(request.run_id), path)
    assert footer.plan_digest == plan.digest
    return request, path, footer


def _new_run(rig: Rig, path: Path) -> RunRequest:
    asked = rig.request(barrier=True, shard_size=4)
    return asked.model_copy(update={"change": None, "plan_file": path, "atlas_id": "9"})


def test_planning_writes_nothing_and_says_what_is_to_come(rig: Rig) -> None:
    request, _, footer = _planned(rig)
    assert rig.fake.writes == []
    with open_ledger(rig.ledger_url) as ledger:
        run = ledger.run(request.run_id)
        assert ledger.counts(run.run_id).by_state == PLANNED
        assert run.plan_digest == footer.plan_digest == plan_of(ledger, run).digest
    assert footer.items == 6
    assert footer.summary.counts["planned"] == 4


def test_planning_again_changes_nothing(rig: Rig) -> None:
    request, _, footer = _planned(rig)
    reads = rig.fake.reads
    with rig.session(RunRequest(run_id=request.run_id)) as session:
        plan = session.plan()
    assert plan is not None
    assert plan.digest == footer.plan_digest
    assert rig.fake.reads == reads


def test_a_plan_is_applied_as_it_stands(rig: Rig) -> None:
    """What is edited between planning and applying has drifted and is left alone."""
    request, _, _ = _planned(rig)
    rig.fake.edit("D0004", DatasetChange(metadata={"n": 4, "mine": 1}))
    summary = rig.take_up(request.run_id)
    assert summary.counts.by_state == {
        ItemState.APPLIED: 3,
        ItemState.DRIFTED: 1,
        ItemState.UNCHANGED: 1,
        ItemState.INVALID: 1,
    }
    assert rig.fake.metadata(rig.fake.dataset(DatasetId("D0004"))) == {"n": 4, "mine": 1}


def test_a_file_is_a_run_of_its_own(rig: Rig) -> None:
    first, path, footer = _planned(rig)
    second = _new_run(rig, path)
    summary = rig.run(second)
    assert summary.run_id != first.run_id
    assert summary.counts.by_state == APPLIED
    assert summary.plan_digest == footer.plan_digest
    assert {call.stamp.run_id for call in rig.fake.writes} == {second.run_id}
    record = rig.fake.dataset(DatasetId("D0003"))
    assert rig.fake.metadata(record) == {"species": "human", "n": 3, "reviewed": True}


def test_a_file_taken_up_after_a_stop(rig: Rig) -> None:
    _, path, _ = _planned(rig)
    request = _new_run(rig, path)
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        session.run_shard(session.open_shards()[0])
    path.unlink()
    summary = rig.take_up(request.run_id)
    assert summary.counts.by_state == APPLIED
    assert len(rig.fake.writes) == 4


def test_a_file_for_another_catalog_is_refused(rig: Rig, tmp_path: Path) -> None:
    _, path, _ = _planned(rig)
    elsewhere = Rig(tmp_path, FakeCatalog("9", enforce_versions=False))
    elsewhere.fill(6)
    with pytest.raises(RunMismatch, match="planned for atlas 9"):
        elsewhere.run(_new_run(elsewhere, path))
    assert elsewhere.fake.writes == []


@pytest.mark.parametrize("part", ["a value", "a line", "the end"])
def test_an_edited_file_is_refused(rig: Rig, part: str) -> None:
    _, path, _ = _planned(rig)
    lines = path.read_text().splitlines(keepends=True)
    if part == "a value":
        number = next(n for n, line in enumerate(lines) if n and "/reviewed" in line)
        lines[number] = lines[number].replace("true", "false")
    elif part == "a line":
        del lines[2]
    else:
        lines.pop()
    path.write_text("".join(lines))
    request = _new_run(rig, path)
    with pytest.raises(InvalidInput, match=r"plan\.jsonl"):
        rig.run(request)
    assert rig.fake.writes == []
    with open_ledger(rig.ledger_url) as ledger:
        assert request.run_id not in {run.run_id for run in ledger.runs()}


def test_a_file_of_other_items_is_not_adopted(rig: Rig) -> None:
    """The run id is known, with the same spec, but the selection found other datasets then."""
    _, path, _ = _planned(rig)
    rig.fake.add("E0000", {"n": 9})
    streaming = rig.request(change=CHANGE, shard_size=2)
    with rig.session(streaming) as session:
        session.freeze()
    mixed = _new_run(rig, path).model_copy(update={"run_id": streaming.run_id})
    with pytest.raises(RunMismatch, match="not those of run"):
        rig.run(mixed)
    assert rig.fake.writes == []


def test_the_file_names_each_dataset_and_its_patch(rig: Rig) -> None:
    _, path, _ = _planned(rig)
    rows = [json.loads(line) for line in path.read_text().splitlines()][1:-1]
    assert [row["dataset_id"] for row in rows] == [f"D{n:04}" for n in range(6)]
    assert [row["decision"] for row in rows] == [
        *("planned", "unchanged", "invalid"),
        *("planned", "planned", "planned"),
    ]


def test_the_change_is_evaluated_once(rig: Rig) -> None:
    """Resuming applies the stored patch, even where the metadata object reads the same."""
    request, _, _ = _planned(rig)
    with open_ledger(rig.ledger_url) as ledger:
        planned = {row.seq: row.planned for row in ledger.items(RunId(request.run_id))}
    rig.take_up(request.run_id)
    for row in rig.items(request.run_id):
        assert row.planned == planned[row.seq]
