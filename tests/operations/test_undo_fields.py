"""Chosen fields and chosen datasets of an undo: each by its own name, and none in silence."""

import pytest

from polly_core.engine.overview import overview
from polly_core.errors import InvalidInput
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.fieldpath import FieldPath, parse_field
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import Item, ItemState, OperationName, RunSummary, Skipped
from polly_core.models.selection import Selection
from polly_core.operations.choosing import parts_back
from polly_core.operations.undo import Undo, Undone
from polly_core.planning.diff import diff
from tests.engine.rig import Rig


def _metadata(rig: Rig, dataset_id: str = "D0000") -> JsonObject:
    return rig.fake.metadata(rig.fake.dataset(DatasetId(dataset_id)))


def _update(rig: Rig, **fields: object) -> str:
    steps = [{"set": name.replace("_", "."), "value": value} for name, value in fields.items()]
    return rig.run(rig.request(change={"steps": steps})).run_id  # type: ignore[dict-item]


def _undo(rig: Rig, run_id: str, *fields: str, **how: object) -> RunSummary:
    change: JsonObject = {"run_id": run_id, **how}  # type: ignore[dict-item]
    if fields:
        change["fields"] = [*fields]
    request = rig.request(
        operation=OperationName.UNDO,
        change=change,
        selection=Selection(written_by=run_id),
        barrier=True,
    )
    return rig.run(request)


def _paths(*names: str) -> tuple[FieldPath, ...]:
    return tuple(map(parse_field, names))


def _undoings(rig: Rig, run_id: str) -> list[str]:
    with open_ledger(rig.ledger_url) as ledger:
        row = ledger.find_run(run_id)
        return [link.run_id for link in overview(ledger, row).led_to]


def test_a_field_of_an_object_that_the_run_added_goes_alone(either: Rig) -> None:
    either.fill(2)
    before = _metadata(either)
    done = _update(either, quality_x=1, quality_deep_y=2, disease="zzz")
    assert _undo(either, done, "quality.x").counts.by_state == {ItemState.APPLIED: 2}
    assert _metadata(either) == {**before, "quality": {"deep": {"y": 2}}, "disease": "zzz"}
    # Where nothing of it is left, what held it goes too: it was not there before.
    assert _undo(either, done, "quality.deep.y").counts.by_state == {ItemState.APPLIED: 2}
    assert _metadata(either) == {**before, "disease": "zzz"}
    assert _undo(either, done, "quality.x").counts.by_state == {ItemState.UNCHANGED: 2}


def test_what_others_put_beside_it_stays_and_what_they_changed_is_for_a_decision(
    either: Rig,
) -> None:
    either.fill(2)
    done = _update(either, quality_x=1)
    for name, quality in (("D0000", {"x": 1, "theirs": True}), ("D0001", {"x": 7})):
        metadata: JsonObject = {**_metadata(either, name), "quality": quality}  # type: ignore[dict-item]
        either.fake.edit(name, DatasetChange(metadata=metadata))
    undone = _undo(either, done, "quality.x")
    assert undone.counts.by_state == {ItemState.APPLIED: 1, ItemState.INVALID: 1}
    assert _metadata(either)["quality"] == {"theirs": True}
    [reasons] = [row.reasons for row in either.items(undone.run_id) if row.reasons]
    assert reasons == (
        "needs a decision: field quality.x: was nothing, set to 1 by the run, found 7",
    )


@pytest.mark.parametrize(
    ("before", "after", "now", "fields", "back"),
    [
        ({"q": {"x": 1, "y": 2}}, {}, {}, ("q.x",), {"q": {"x": 1}}),
        ({"q": {"x": 1, "y": 2}}, {}, {"q": {"z": 3}}, ("q.x",), {"q": {"z": 3, "x": 1}}),
        ({"q": {"x": 1}}, {}, {"q": {"x": 1}}, ("q.x",), {"q": {"x": 1}}),
        ({"q": 5}, {"q": {"x": 1, "y": 2}}, None, ("q.x",), {"q": {"y": 2}}),
        ({"q": 5}, {"q": {"x": 1, "y": 2}}, None, ("q.x", "q.y"), {"q": 5}),
        ({}, {"q": {"a": {"b": 1}}}, None, ("q.a", "q.a.b", "q.a"), {}),
        ({}, {"q": {"a": {"b": 1}}}, {}, ("q.a.b",), {}),
        ({}, {"q": {"a": 1, "e": {}}}, None, ("q.a",), {"q": {"e": {}}}),
        # What is chosen as a whole is not looked at again.
        ({}, {"q": {"a": 1}}, None, ("q", "q.a"), {"q": {"a": 1}}),
        ({}, {"q": {"a": 1}}, None, ("other.a", "q.b", "@data_type"), {"q": {"a": 1}}),
    ],
)
def test_parts_of_what_was_changed_as_a_whole_go_back(
    before: JsonObject,
    after: JsonObject,
    now: JsonObject | None,
    fields: tuple[str, ...],
    back: JsonObject,
) -> None:
    found = parts_back(after if now is None else now, diff(before, after), _paths(*fields))
    assert found == (back, [])


def test_a_part_has_no_place_where_something_else_stands() -> None:
    patch = diff({"q": {"x": 1}}, {"q": 5})
    found = parts_back({"q": 5}, patch, _paths("q.x"))
    assert found == (
        {"q": 5},
        ["field q.x: was 1, set to nothing by the run, found 5 in field q"],
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (("diseas",), r"changed no field diseas \(did you mean disease\?\)"),
        (("disease", "quality.z"), r"changed no field quality.z \("),
        (("@study_id",), "changed no field @study_id; it changed disease, quality, quality.x;"),
        (("@data_type",), "changed no field @data_type"),
        (("one", "two"), "changed no field one, two; it changed"),
    ],
)
def test_a_field_that_the_run_did_not_change_is_refused_by_name(
    rig: Rig, fields: tuple[str, ...], told: str
) -> None:
    rig.fill(2)
    done = _update(rig, quality_x=1, disease="zzz")
    with pytest.raises(InvalidInput, match=told):
        _undo(rig, done, *fields)
    with open_ledger(rig.ledger_url) as ledger:
        assert ledger.runs_of_origin(ledger.find_run(done).run_id) == []


def test_a_field_is_looked_for_in_the_chosen_datasets_only(rig: Rig) -> None:
    rig.fill(2)
    change: JsonObject = {
        "steps": [
            {"set": "organism", "value": "x"},
            {"set": "note", "value": 1, "when": "metadata.n == `1`"},
        ]
    }
    done = rig.run(rig.request(change=change)).run_id
    with pytest.raises(InvalidInput, match="changed no field note"):
        _undo(rig, done, "note", dataset_ids=["D0000"])
    assert _undo(rig, done, "note").counts.of(ItemState.APPLIED) == 1


def test_a_creation_or_a_deletion_has_no_fields_to_be_undone(rig: Rig) -> None:
    rig.fill(1)
    done = rig.run(rig.request(operation=OperationName.DELETE, change={})).run_id
    with pytest.raises(InvalidInput, match="changed no field of a dataset that lived"):
        _undo(rig, done, "organism")
    # Beside edits of the same run, it is passed over.
    [row] = rig.items(done)
    assert row.planned is not None
    undone = Undone(planned=row.planned, state=row.state)
    item = Item(seq=0, dataset_id=row.dataset_id, row=undone.model_dump(mode="json"))
    found = Undo(_paths("organism")).plan(rig.fake, item, None)
    assert found == Skipped(reason="the run deleted it, which fields alone cannot take back")


def test_a_dataset_that_the_run_did_not_write_is_refused_by_name(either: Rig) -> None:
    either.fill(2)
    either.fake.add("D0002", {"reviewed": True})
    done = _update(either, reviewed=True)
    told = r"did not write D0002 \(unchanged in it\), D9999 \(not in the run\)"
    with pytest.raises(InvalidInput, match=told):
        _undo(either, done, dataset_ids=["D9999", "D0000", "D0002"])
    assert _undo(either, done, dataset_ids=["D0000"]).counts.total == 1


def test_only_a_run_that_wrote_something_has_undone_another(rig: Rig) -> None:
    rig.fill(2)
    done = _update(rig, reviewed=True)
    request = rig.request(
        operation=OperationName.UNDO,
        change={"run_id": done},
        selection=Selection(written_by=done),
        barrier=True,
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
    assert _undoings(rig, done) == []
    undone = rig.take_up(request.run_id)
    assert undone.counts.by_state == {ItemState.APPLIED: 2}
    assert _undo(rig, done).counts.by_state == {ItemState.UNCHANGED: 2}
    assert _undoings(rig, done) == [request.run_id]
