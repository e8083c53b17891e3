import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.steps import StepFailed
from tests.planning.support import evaluate, evaluator, result

TABLE = "acc,disease,n:json\nGSE1,cancer,3\nGSE2,,4\n7,flu,\n"


def joined(options: str, metadata: JsonObject, table: str = TABLE) -> JsonObject:
    return result(f"steps: [{{join: t.csv, {options}}}]", metadata, {"t.csv": table})


def test_takes_columns_by_the_id_of_the_dataset() -> None:
    assert joined("key: acc", {"x": 1}) == {"x": 1, "disease": "cancer", "n": 3}
    assert joined("key: acc, columns: [n]", {}) == {"n": 3}
    assert joined("key: acc, columns: {disease: a.b}", {}) == {"a": {"b": "cancer"}}


def test_takes_columns_by_a_field() -> None:
    assert joined("key: acc, field: accession", {"accession": 7}) == {
        "accession": 7,
        "disease": "flu",
    }


def test_an_empty_cell_changes_nothing() -> None:
    before: JsonObject = {"a": "GSE2", "disease": "kept"}
    assert joined("key: acc, field: a", before) == {**before, "n": 4}


def test_a_key_that_is_not_in_the_table() -> None:
    assert joined("key: acc, field: a", {"a": "nope"}) == {"a": "nope"}
    with pytest.raises(
        StepFailed, match=r"field a: expected a value of column acc of t.csv, found"
    ):
        joined("key: acc, field: a, unmatched: fail", {"a": "nope"})


def test_a_key_that_is_none_or_missing() -> None:
    with pytest.raises(StepFailed, match="expected a text or a whole number as key"):
        joined("key: acc, field: a", {"a": ["x"]})
    with pytest.raises(StepFailed, match="field a: expected it to exist"):
        joined("key: acc, field: a", {"b": 1})


def test_columns_may_be_the_data_type() -> None:
    text = "steps: [{join: t.tsv, columns: {kind: '@data_type'}}]"
    table = "dataset_id\tkind\nGSE1\tSingle cell\n"
    assert evaluate(text, {}, {"t.tsv": table}).data_type == "Single cell"


def test_json_lines_keep_their_types_and_null() -> None:
    table = '{"dataset_id": "GSE1", "n": 3, "gone": null, "l": [1]}\n'
    made = result("steps: [{join: t.jsonl}]", {"gone": 1}, {"t.jsonl": table})
    assert made == {"gone": None, "l": [1], "n": 3}


@pytest.mark.parametrize(
    ("options", "table", "message"),
    [
        ("key: nope", TABLE, "line 1: expected a column 'nope', found acc, disease, n"),
        ("key: acc, columns: [diseas]", TABLE, "no row .* column diseas; expected .* disease, n"),
        ("key: acc", TABLE + "GSE1,x,1\n", "line 5: the key 'GSE1' is already in line 2"),
        ("key: acc", "acc,x\n,1\n", "line 2: no key in column 'acc'"),
        ("key: acc", "acc,x\n", "expected at least one row"),
        ("key: acc", "acc,x:json\na,{\n", "line 2: column 'x': .* is not JSON"),
    ],
)
def test_refuses_unusable_tables(options: str, table: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluator(f"steps: [{{join: t.csv, {options}}}]", {"t.csv": table})


def test_refuses_other_formats() -> None:
    with pytest.raises(InvalidInput, match=r"t.xlsx: expected a file named \*\.csv"):
        evaluator("steps: [{join: t.xlsx}]", {"t.xlsx": ""})


def test_columns_of_a_sheet_say_which_field_they_go_to() -> None:
    table = "dataset_id,metadata.title\nGSE1,x\n"
    with pytest.raises(InvalidInput, match=r"columns: \{metadata.title: title\}"):
        evaluator("steps: [{join: t.csv}]", {"t.csv": table})
    made = result("steps: [{join: t.csv, columns: {metadata.title: title}}]", {}, {"t.csv": table})
    assert made == {"title": "x"}
