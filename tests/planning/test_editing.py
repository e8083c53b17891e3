"""An edited sheet changes the edited cells alone, against the version it was exported from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.models.catalog import VersionId
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.diff import diff
from polly_core.planning.editing import Base, base_version
from polly_core.planning.steps import Evaluator, StepFailed
from tests.planning.support import empty_change, on_a_busy_machine, record
from tests.planning.test_diff import values

BASE: JsonObject = {"organism": "human", "age": 41, "sample": {"organ": "liver", "n": 3}}


def edited(row: JsonObject, current: JsonObject, base: JsonObject | None = None) -> JsonObject:
    was = Base(VersionId("v1"), BASE if base is None else base, "Bulk RNAseq")
    return Evaluator(empty_change()).evaluate(record(), current, row, base=was).metadata


SHEET: JsonObject = {
    "base_version": "v1",
    "data_type": "Bulk RNAseq",
    "metadata.organism": "human",
    "metadata.age": 41,
    "metadata.sample.organ": "liver",
    "metadata.sample.n": 3,
}


def test_what_was_not_edited_stays_as_others_made_it() -> None:
    current: JsonObject = {"organism": "mouse", "sample": "none", "new": 1}
    assert edited(SHEET, current) is current


def test_an_edit_is_made_on_what_others_made() -> None:
    current: JsonObject = {**BASE, "age": 42, "new": 1}
    made = edited({**SHEET, "metadata.organism": "Homo sapiens"}, current)
    assert made == {**current, "organism": "Homo sapiens"}


def test_removal_null_and_addition() -> None:
    row = {**SHEET, "metadata.organism": "<delete>", "metadata.age": None, "metadata.tissue": "x"}
    made = edited(row, BASE)
    assert made == {"age": None, "sample": BASE["sample"], "tissue": "x"}


def test_what_others_have_done_alike_is_done() -> None:
    current: JsonObject = {**BASE, "organism": "Homo sapiens"}
    assert edited({**SHEET, "metadata.organism": "Homo sapiens"}, current) is current
    gone: JsonObject = {"age": 41, "sample": BASE["sample"]}
    assert edited({**SHEET, "metadata.organism": "<delete>"}, gone) is gone


def test_conflicts_name_field_base_current_and_wanted_all_at_once() -> None:
    row = {**SHEET, "metadata.organism": "Homo sapiens", "metadata.age": "<delete>"}
    with pytest.raises(StepFailed) as caught:
        edited(row, {**BASE, "organism": "mouse", "age": 42})
    first, second = caught.value.reasons
    assert first == (
        'manifest row: field organism: expected "human", as in version v1 from which the sheet was '
        'exported, found "mouse" by now; the sheet wants "Homo sapiens"; export again, or empty '
        "the cell"
    )
    assert second.startswith("manifest row: field age: expected 41, as in version v1")
    assert "found 42 by now; the sheet wants nothing" in second


def test_the_data_type_is_compared_as_well() -> None:
    was = Base(VersionId("v1"), {}, "RNA")
    evaluate = Evaluator(empty_change()).evaluate
    row: JsonObject = {"base_version": "v1", "data_type": "RNA"}
    assert evaluate(record(data_type="Other"), {}, row, base=was).data_type == "Other"
    row["data_type"] = "ATAC"
    assert evaluate(record(data_type="RNA"), {}, row, base=was).data_type == "ATAC"
    with pytest.raises(StepFailed, match=r'field @data_type: expected "RNA".*found "Other"'):
        evaluate(record(data_type="Other"), {}, row, base=was)


def test_objects_in_one_cell_are_compared_member_by_member() -> None:
    row: JsonObject = {"base_version": "v1", "metadata.sample": {"organ": "kidney", "n": 3}}
    current: JsonObject = {**BASE, "sample": {"organ": "liver", "n": 4, "by": "others"}}
    assert edited(row, current)["sample"] == {"organ": "kidney", "n": 4, "by": "others"}
    with pytest.raises(StepFailed, match=r"field sample.organ: expected .*liver.*found .*lung"):
        edited(row, {"sample": {"organ": "lung"}})


@pytest.mark.parametrize(
    ("was", "cell"),
    [
        ("a\nb", "a\r\nb"),
        (3.141592653589793, 3.14159265358979),
        (3.141592653589793, 3.141592654),
        (1.0, 1),
        (5, 5.0),
        (1234567890.123456, 1234567890.12),
    ],
)
def test_what_spreadsheets_do_to_cells_is_no_edit(was: JsonValue, cell: JsonValue) -> None:
    current: JsonObject = {"a": "changed by others"}
    assert edited({"metadata.a": cell}, current, {"a": was}) is current


@pytest.mark.parametrize(
    ("was", "cell"),
    [(3.141592653589793, 3.14), ("x", "x "), (1, True), (0, None), ([1], [2]), (2.5, 2.0)],
)
def test_what_a_person_does_to_cells_is_an_edit(was: JsonValue, cell: JsonValue) -> None:
    assert edited({"metadata.a": cell}, {"a": was}, {"a": was}) == {"a": cell}


@pytest.mark.parametrize(
    ("was", "cell"), [("007", "7"), ("1.50", "1.5"), ("1234567890123456789", "1.23457E+18")]
)
def test_texts_of_digits_that_a_spreadsheet_rewrote_are_refused(was: str, cell: str) -> None:
    with pytest.raises(StepFailed, match="looks like the same as a spreadsheet rewrote it"):
        edited({"metadata.a": cell}, {"a": was}, {"a": was})
    assert edited({"metadata.a": "8"}, {"a": was}, {"a": was}) == {"a": "8"}


def test_the_base_of_a_row() -> None:
    assert base_version({"base_version": "v7"}) == "v7"
    assert base_version({"base_version": ""}) is None
    assert base_version({}) is None
    assert base_version(None) is None


fields = st.sampled_from(["a", "b", "c"])
documents: st.SearchStrategy[JsonObject] = st.dictionaries(fields, values, max_size=3)


@on_a_busy_machine
@given(documents, documents, st.dictionaries(fields, st.sampled_from(["new", "newer"])))
def test_no_edit_of_others_is_lost(
    base: JsonObject, current: JsonObject, edits: dict[str, str]
) -> None:
    """Whatever stands there by now either stays, or was what the sheet showed."""
    row: JsonObject = {f"metadata.{key}": value for key, value in edits.items()}
    try:
        made = edited(row, current, base)
    except StepFailed:
        changed = {op.path.split("/")[1] for op in diff(base, current)}
        assert changed & set(edits)
    else:
        changed = {op.path.split("/")[1] for op in diff(current, made)}
        for key in changed:
            assert made[key] == edits[key]
            assert diff(_member(base, key), _member(current, key)) == ()


def _member(document: JsonObject, key: str) -> JsonObject:
    return {key: document[key]} if key in document else {}
