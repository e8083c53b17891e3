"""A plan that went through a file is applied exactly: files, study, priorities, deletions."""

from pathlib import Path
from uuid import uuid4

import pytest

from polly_core.engine.planned import export_plan
from polly_core.engine.request import RunRequest
from polly_core.errors import NotFound
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, DatasetId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from polly_core.models.selection import Selection
from tests.engine.rig import Rig

D0, D1 = DatasetId("D0"), DatasetId("D1")


def _through_a_file(
    rig: Rig, operation: OperationName, change: JsonObject, *rows: str
) -> dict[ItemState, int]:
    """Plan, write the plan to a file, and apply the file as another run."""
    sheet = rig.folder / "sheet.csv"
    sheet.write_text("\n".join([*rows, ""]))
    request = rig.request(
        operation=operation,
        change=change,
        selection=Selection(manifest_uri=str(sheet)),
        barrier=True,
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
    path: Path = rig.folder / f"{operation.value}.jsonl"
    with open_ledger(rig.ledger_url) as ledger:
        export_plan(ledger, ledger.run(request.run_id), path)
    # Nothing but the file counts.
    sheet.unlink()
    applying = RunRequest(run_id=RunId(str(uuid4())), plan_file=path, barrier=True)
    return dict(rig.run(applying.model_copy(update={"atlas_id": request.atlas_id})).counts.by_state)


@pytest.fixture
def filled(either: Rig) -> Rig:
    for name in (D0, D1):
        either.fake.add(name, {"stage": "first"}, study_id="S1")
        either.fake.edit(name, DatasetChange(metadata={"stage": "second"}))
        either.fake.add_file(name, "old.txt", content=b"old")
    return either


def test_rollback_of_the_living_and_the_dead(filled: Rig) -> None:
    first, second = filled.fake.versions(D0)[-1], filled.fake.versions(D1)[0]
    filled.fake.remove(D1)
    rows = (f"D0,{first.version_id}", f"D1,{second.version_id}")
    done = _through_a_file(filled, OperationName.ROLLBACK, {}, "dataset_id,version_id", *rows)
    assert done == {ItemState.APPLIED: 2}
    stages = [filled.fake.metadata(filled.fake.dataset(one))["stage"] for one in (D0, D1)]
    assert stages == ["first", "second"]


def test_files_come_and_go(filled: Rig) -> None:
    (filled.folder / "new.txt").write_text("new")
    rows = ("dataset_id,file,file_name", "D0,new.txt,old.txt", "D1,new.txt,new.txt")
    change: JsonObject = {"existing": "replace", "save_bytes": True}
    done = _through_a_file(filled, OperationName.ATTACH, change, *rows)
    assert done == {ItemState.APPLIED: 2}
    [file] = filled.fake.files(D0)
    assert filled.fake.objects.read(file.file_location) == b"new"
    assert [one.read_bytes() for one in filled.folder.glob("saved/*/D0/old.txt")] == [b"old"]
    gone = _through_a_file(
        filled, OperationName.DETACH, {}, "dataset_id,file_name", "D1,old.txt", "D1,new.txt"
    )
    assert gone == {ItemState.APPLIED: 2}
    assert filled.fake.files(D1) == []


def test_studies_priorities_and_flags(filled: Rig) -> None:
    rows = ("dataset_id,study_id", "D0,S2", "D1,<null>")
    assert _through_a_file(filled, OperationName.STUDY, {}, *rows) == {ItemState.APPLIED: 2}
    assert [filled.fake.dataset(one).study_id for one in (D0, D1)] == ["S2", None]
    filled.fake.writes.clear()
    rows = ("dataset_id,priority", "D0,low", "D1,high")
    flags: JsonObject = {"flags": {"row_metadata": True}}
    assert _through_a_file(filled, OperationName.INGEST, flags, *rows) == {ItemState.APPLIED: 2}
    asked = {
        call.dataset_id: (call.stamp.priority, call.stamp.flags) for call in filled.fake.writes
    }
    assert asked == {
        "D0": ("low", {"row_metadata": True}),
        "D1": ("high", {"row_metadata": True}),
    }


def test_deletions(filled: Rig) -> None:
    filled.fake.remove(D1)
    done = _through_a_file(
        filled, OperationName.DELETE, {"save_bytes": True}, "dataset_id", "D0", "D1"
    )
    assert done == {ItemState.APPLIED: 1, ItemState.UNCHANGED: 1}
    with pytest.raises(NotFound):
        filled.fake.dataset(D0)
    assert [one.read_bytes() for one in filled.folder.glob("saved/*/D0/old.txt")] == [b"old"]
