"""Detaching by a manifest: what goes is kept, what is not there is said."""

from pathlib import Path

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault, WriteKind
from tests.engine.rig import Rig

D0 = DatasetId("D0000")


def _detach(rig: Rig, *rows: str, change: JsonObject | None = None) -> RunSummary:
    manifest = rig.folder / "m.csv"
    manifest.write_text("\n".join(["dataset_id,file_name", *rows, ""]))
    request = rig.request(
        operation=OperationName.DETACH,
        change=change or {},
        selection=Selection(manifest_uri=str(manifest)),
    )
    return rig.run(request)


def _names(rig: Rig) -> list[str]:
    return [file.file_name for file in rig.fake.files(D0)]


def test_named_files_go_and_others_stay(either: Rig) -> None:
    either.fill(1)
    kept = {
        name: either.fake.add_file("D0000", name, tag="t", linked=name == "b.csv")
        for name in ("a.csv", "b.csv", "c.csv")
    }
    summary = _detach(either, "D0000,a.csv", "D0000,b.csv")
    assert summary.counts.by_state == {ItemState.APPLIED: 2}
    assert _names(either) == ["c.csv"]
    for row in either.items(summary.run_id):
        assert row.planned is not None
        [state] = row.planned.files_before
        before = kept[row.file_name]
        assert (state.file_location, state.tag) == (before.file_location, "t")
        assert state.linked == (row.file_name == "b.csv")


@pytest.mark.parametrize(("missing", "state"), [("fail", "invalid"), ("skip", "skipped")])
def test_a_file_that_is_not_there(rig: Rig, missing: str, state: str) -> None:
    rig.fill(1)
    rig.fake.add_file("D0000", "a.csv")
    summary = _detach(rig, "D0000,b.csv", change={"missing": missing})
    assert summary.counts.by_state == {ItemState(state): 1}
    [row] = rig.items(summary.run_id)
    assert ("'a.csv'" in row.reasons[0]) == (missing == "fail")
    assert _names(rig) == ["a.csv"]


def test_bytes_are_saved_first(either: Rig) -> None:
    either.fill(1)
    either.fake.add_file("D0000", "a.csv", content=b"bytes")
    summary = _detach(either, "D0000,a.csv", change={"save_bytes": True})
    [row] = either.items(summary.run_id)
    assert row.state is ItemState.APPLIED
    assert row.done[0].location is not None
    assert Path(row.done[0].location).read_bytes() == b"bytes"


@pytest.mark.parametrize("fault", list(Fault))
def test_faults_with_many_files_of_one_dataset(either: Rig, fault: Fault) -> None:
    either.fill(1)
    names = [f"f{n}.txt" for n in range(30)]
    for name in names:
        either.fake.add_file("D0000", name)
    either.fake.fail_write(fault, "D0000", kind=WriteKind.DETACH, retry_after=0.1)
    summary = _detach(either, *(f"D0000,{name}" for name in names))
    assert summary.counts.by_state == {ItemState.APPLIED: 30}
    assert _names(either) == []


def test_a_file_that_someone_removes_meanwhile_is_not_ours(either: Rig) -> None:
    either.fill(1)
    either.fake.add_file("D0000", "a.csv")
    either.fake.before_write("D0000", lambda: either.fake.remove_file("D0000", "a.csv"))
    summary = _detach(either, "D0000,a.csv")
    assert summary.counts.by_state == {ItemState.DRIFTED: 1}


def test_rows_without_a_name_and_no_manifest_are_refused(rig: Rig) -> None:
    rig.fill(1)
    with pytest.raises(InvalidInput, match="file_name"):
        _detach(rig, "D0000,")
    with pytest.raises(InvalidInput, match="--manifest"):
        rig.run(rig.request(operation=OperationName.DETACH, change={}))
