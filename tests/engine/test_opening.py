"""Registering a run and taking it up."""

from pathlib import Path
from uuid import uuid4

import pytest

from polly_core.engine.request import RunRequest
from polly_core.errors import InvalidInput, RunMismatch, RunNotFound
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import Approval, ItemState, RunOptions, RunState, Wave
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import SET_REVIEWED, Rig

OTHER: JsonObject = {"steps": [{"set": "reviewed", "value": False}]}


def _open(rig: Rig, request: RunRequest) -> None:
    with rig.session(request):
        pass


def test_the_same_run_id_with_another_change_is_refused(rig: Rig) -> None:
    rig.fill(3)
    first = rig.request()
    rig.run(first)
    second = rig.request(change=OTHER, run_id=first.run_id)
    with pytest.raises(RunMismatch, match=first.run_id):
        _open(rig, second)
    assert len(rig.fake.writes) == 3


@pytest.mark.parametrize("selection", [Selection(ids=("D0000",)), Selection(where="`true`")])
def test_the_same_run_id_with_another_selection_is_refused(rig: Rig, selection: Selection) -> None:
    rig.fill(3)
    first = rig.request()
    _open(rig, first)
    with pytest.raises(RunMismatch, match=first.run_id):
        _open(rig, rig.request(selection=selection, run_id=first.run_id))


def test_the_same_run_again_answers_with_its_report(rig: Rig) -> None:
    rig.fill(3)
    request = rig.request()
    first = rig.run(request)
    with rig.session(request) as session:
        assert session.resumed
        assert session.finished
        assert session.open_shards() == []
        assert session.finish().counts == first.counts
    assert len(rig.fake.writes) == 3


def test_a_run_of_another_catalog_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.fill(1)
    request = rig.request()
    _open(rig, request)
    elsewhere = Rig(tmp_path, FakeCatalog("9", enforce_versions=False))
    for asked in (request, RunRequest(run_id=request.run_id)):
        with pytest.raises(RunMismatch, match="belongs to atlas 9"):
            _open(elsewhere, asked)


def test_an_unknown_run_cannot_be_taken_up(rig: Rig) -> None:
    with pytest.raises(RunNotFound):
        _open(rig, RunRequest(run_id=RunId(str(uuid4()))))


def test_a_new_run_needs_an_atlas(rig: Rig) -> None:
    request = rig.request().model_copy(update={"atlas_id": None})
    with pytest.raises(InvalidInput, match="name the atlas"):
        _open(rig, request)


def test_nothing_to_change_is_refused_and_leaves_no_run(rig: Rig) -> None:
    request = rig.request().model_copy(update={"change": None})
    with pytest.raises(InvalidInput, match="nothing is to be changed"):
        _open(rig, request)
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.runs() == []


def test_a_manifest_that_changes_nothing_is_refused_and_leaves_no_run(rig: Rig) -> None:
    """The prefix was forgotten."""
    path = rig.folder / "rows.csv"
    path.write_text("dataset_id,note\nD0000,x\n")
    selection = Selection(manifest_uri=str(path))
    request = rig.request(selection=selection).model_copy(update={"change": None})
    with pytest.raises(InvalidInput, match=r"did you mean metadata\.note\?"):
        _open(rig, request)
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.runs() == []
    # With steps the rows only say which datasets.
    _open(rig, rig.request(selection=selection))


def test_two_changes_are_one_too_many(rig: Rig) -> None:
    request = rig.request().model_copy(update={"change_uri": "/tmp/change.yaml"})
    with pytest.raises(InvalidInput, match="keep one"):
        _open(rig, request)


def _with_table(rig: Rig) -> RunRequest:
    (rig.folder / "table.csv").write_text("dataset_id,tissue\nD0000,liver\nD0001,lung\n")
    (rig.folder / "change.yaml").write_text("steps: [{join: table.csv, columns: [tissue]}]\n")
    uri = str(rig.folder / "change.yaml")
    return rig.request().model_copy(update={"change": None, "change_uri": uri})


def test_a_file_of_the_change_that_was_edited_is_refused_at_resume(rig: Rig) -> None:
    rig.fill(2)
    request = _with_table(rig)
    with rig.session(request) as session:
        session.freeze()
    (rig.folder / "table.csv").write_text("dataset_id,tissue\nD0000,heart\n")
    with pytest.raises(InvalidInput, match=r"table\.csv"):
        rig.take_up(request.run_id)
    with pytest.raises(RunMismatch):
        rig.run(request)
    assert rig.fake.writes == []


def test_once_everything_is_planned_the_change_is_not_needed(rig: Rig) -> None:
    """The stored patches are applied; the files may be gone."""
    rig.fill(2)
    request = _with_table(rig)
    with rig.session(request) as session:
        session.freeze()
        assert session.plan() is not None
    for name in ("table.csv", "change.yaml"):
        (rig.folder / name).unlink()
    summary = rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 2}
    tissues = [rig.fake.metadata(record)["tissue"] for record in rig.fake.datasets()]
    assert tissues == ["liver", "lung"]


@pytest.mark.parametrize("kind", ["ids_uri", "manifest_uri"])
def test_a_selection_file_that_was_edited_before_the_freeze_is_refused(rig: Rig, kind: str) -> None:
    rig.fill(3)
    path = rig.folder / ("ids.txt" if kind == "ids_uri" else "rows.csv")
    path.write_text("dataset_id\nD0000\n" if kind == "manifest_uri" else "D0000\n")
    request = rig.request(selection=Selection.model_validate({kind: str(path)}))
    _open(rig, request)
    path.write_text("dataset_id\nD0001\n" if kind == "manifest_uri" else "D0001\n")
    with pytest.raises(RunMismatch, match=path.name):
        rig.take_up(request.run_id)
    with pytest.raises(RunMismatch):
        rig.run(request)


def test_after_the_freeze_the_selection_file_is_not_needed(rig: Rig) -> None:
    rig.fill(3)
    path = rig.folder / "ids.txt"
    path.write_text("D0000\nD0002\n")
    request = rig.request(selection=Selection(ids_uri=str(path)))
    with rig.session(request) as session:
        session.freeze()
    path.unlink()
    assert rig.take_up(request.run_id).counts.by_state == {ItemState.APPLIED: 2}


def test_a_resume_may_use_other_options(rig: Rig) -> None:
    rig.fill(3)
    request = rig.request(concurrency=3)
    _open(rig, request)
    assert request.options is not None
    faster = request.options.model_copy(update={"concurrency": 7})
    with rig.session(request.model_copy(update={"options": faster})) as session:
        assert session.options.concurrency == 7
    with rig.session(RunRequest(run_id=request.run_id)) as session:
        assert session.options.concurrency == 7, "they are kept"


def test_what_a_resume_does_not_say_stays(rig: Rig) -> None:
    """A resume that asks for more requests in flight does not do away with the approval."""
    rig.fill(3)
    wave = Wave.parse("1")
    request = rig.request(approval=Approval.PLAN, waves=(wave,), assertions=("dataset_id",))
    _open(rig, request)
    faster = RunRequest(run_id=request.run_id, options=RunOptions(concurrency=7))
    for again in (faster, RunRequest(run_id=request.run_id)):
        with rig.session(again) as session:
            assert session.options.concurrency == 7
            assert (session.options.approval, session.options.waves) == (Approval.PLAN, (wave,))
            assert session.options.assertions == ("dataset_id",)
            assert session.options.shard_size == 20


def test_flow_runs_are_kept(rig: Rig) -> None:
    rig.fill(1)
    request = rig.request().model_copy(update={"flow_run_id": "f1"})
    _open(rig, request)
    again = RunRequest(run_id=request.run_id, flow_run_id="f2")
    summary = rig.run(again)
    assert summary.flow_run_ids == ("f1", "f2")
    assert summary.state is RunState.FINISHED


def test_the_run_id_goes_with_every_write_and_the_version_seen(rig: Rig) -> None:
    rig.fill(2)
    seen = {record.dataset_id: record.version_id for record in rig.fake.datasets()}
    request = rig.request(change=SET_REVIEWED, priority="low")
    rig.run(request)
    for call in rig.fake.writes:
        assert call.stamp.run_id == request.run_id
        assert call.stamp.priority == "low"
        assert call.stamp.expected_version_id == seen[call.dataset_id]


def test_a_service_without_preconditions_is_sent_none(hosted: Rig) -> None:
    hosted.fill(2)
    hosted.run(hosted.request())
    assert {call.stamp.expected_version_id for call in hosted.fake.writes} == {None}
