"""Empty, null and removal are three things, in every format."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import DELETE, Column, Meaning, meaning, written
from polly_core.planning.manifest import BY_FILE, ManifestRow, manifest_rows, read_manifest
from polly_core.planning.rowpatch import row_metadata
from polly_core.planning.steps import Evaluator, StepFailed
from tests.planning.support import empty_change, on_a_busy_machine, record


def rows(name: str, content: bytes | str, *, by_file: bool = False) -> list[ManifestRow]:
    handle = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    return list(manifest_rows(handle, name, **({"key": BY_FILE} if by_file else {})))


def parquet(**columns: object) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=2)
    return stream.getvalue()


def after(row: ManifestRow, metadata: JsonObject) -> JsonObject:
    return Evaluator(empty_change()).evaluate(record(), metadata, row.row).metadata


BEFORE: JsonObject = {"alone": 1, "null": 1, "gone": 1, "blank": 1, "text": 1}
AFTER: JsonObject = {"alone": 1, "null": None, "blank": "", "text": "<null>"}
HEADS = ("metadata.alone", "metadata.null", "metadata.gone", "metadata.blank", "metadata.text")
CELLS = ("", "<null>", "<delete>", "<empty>", "\\<null>")


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("kind", ["", ":str"])
def test_the_marks_in_tables(delimiter: str, kind: str) -> None:
    head = delimiter.join(["dataset_id", *(name + kind for name in HEADS)])
    content = f"{head}\n{delimiter.join(['D1', *CELLS])}\n"
    [row] = rows("m.csv" if delimiter == "," else "m.tsv", content)
    assert after(row, BEFORE) == AFTER


def test_the_marks_in_json_lines() -> None:
    [row] = rows(
        "m.jsonl",
        r'{"dataset_id": "D1", "metadata.null": null, "metadata.gone": "<delete>", '
        r'"metadata.blank": "", "metadata.text": "\\<null>"}',
    )
    assert after(row, BEFORE) == AFTER
    [row] = rows(
        "m.jsonl",
        r'{"dataset_id": "D1", "metadata": {"null": null, "gone": "<delete>", "blank": "<empty>",'
        r' "text": "\\<null>"}}',
    )
    assert after(row, BEFORE) == AFTER


def test_the_marks_in_parquet() -> None:
    cells = {name: [text or None, None] for name, text in zip(HEADS, CELLS, strict=True)}
    first, second = rows("m.parquet", parquet(dataset_id=["D1", "D2"], **cells))
    assert after(first, BEFORE) == AFTER
    assert second.row == {}, "null is an empty cell"


@pytest.mark.parametrize("kind", ["int", "float", "bool", "json"])
def test_the_marks_in_columns_with_a_type(kind: str) -> None:
    head = ",".join(["dataset_id", *(f"{name}:{kind}" for name in HEADS[:4])])
    [row] = rows("m.csv", f"{head}\nD1,{','.join(CELLS[:4])}\n")
    assert after(row, BEFORE) == {"alone": 1, "null": None, "blank": "", "text": 1}


def test_a_json_text_is_no_mark() -> None:
    [row] = rows("m.csv", 'dataset_id,metadata.a:json\nD1,"""<delete>"""\n')
    assert after(row, {"a": 1}) == {"a": "<delete>"}
    assert row_metadata(row.row) == {"a": "<delete>"}


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("m.csv", "dataset_id,metadata.a:int\nD1,42\n", 42),
        ("m.csv", "dataset_id,metadata.a:int\nD1,42.0\n", 42),
        ("m.csv", "dataset_id,metadata.a:float\nD1,42\n", 42.0),
        ("m.csv", "dataset_id,metadata.a:float\nD1,1E-3\n", 0.001),
        ("m.csv", "dataset_id,metadata.a:bool\nD1,TRUE\n", True),
        ("m.csv", "dataset_id,metadata.a:str\nD1,42\n", "42"),
        ("m.csv", "dataset_id,metadata.a:str\nD1,NA\n", "NA"),
        ("m.csv", 'dataset_id,metadata.a:json\nD1,"[1, null]"\n', [1, None]),
        ("m.csv", "dataset_id,metadata.a:json\nD1,TRUE\n", True),
        ("m.csv", "dataset_id,metadata.a\nD1,\\=x\n", "=x"),
        ("m.csv", "dataset_id,metadata.a\nD1,\\\\=x\n", "\\=x"),
        ("m.csv", "dataset_id,metadata.a\nD1,\\n\n", "\\n"),
        ("m.csv", "dataset_id,metadata.a:int:str\nD1,4\n", None),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a": [42]}), 42),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a": [4.5]}), 4.5),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a:int": [42.0]}), 42),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a:float": [42.0]}), 42.0),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a": ["42"]}), "42"),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a": [["x", None]]}), ["x", None]),
        ("m.parquet", parquet(dataset_id=["D1"], **{"metadata.a": [False]}), False),
    ],
)
def test_types(name: str, content: bytes | str, value: JsonValue) -> None:
    [row] = rows(name, content)
    found = row_metadata(row.row)
    assert found == ({"a": value} if value is not None else {"a:int": "4"})
    assert value is None or type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("42", "may be a number or a text; head the column metadata.a:int, metadata.a:float or"),
        ("1e5", "may be a number or a text"),
        ("007", "may be a number or a text"),
        ("True", "may be a boolean or a text; head the column metadata.a:bool or metadata.a:str"),
        ("NA", "may be a text or no value; write <null> for null, <delete> to remove the field"),
        ("null", "may be a text or no value"),
        ("#REF!", "is a spreadsheet's error"),
        ("<Null>", r"is almost a mark; the marks are .* the text itself is written \\<Null>"),
        ("< delete >", "is almost a mark"),
    ],
)
def test_ambiguous_cells_are_refused_with_line_and_column(cell: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"line 3: column 'metadata.a': .*{message}"):
        rows("m.csv", f"dataset_id,metadata.a\nD1,fine\nD2,{cell}\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "dataset_id,metadata.a:int\nD1,x\n", "line 2: column 'metadata.a': \"x\" is not"),
        ("m.csv", "dataset_id,metadata.a:int\nD1,1E+05\n", "without an exponent"),
        ("m.csv", "dataset_id,metadata.a:bool\nD1,yes\n", "is not true or false"),
        ("m.csv", "dataset_id,metadata.a:float\nD1,nan\n", "is not a number"),
        ("m.csv", "dataset_id,metadata.a:int,metadata.a:str\nD1,1,2\n", "are both named"),
        ("m.csv", "Dataset_ID,x\nD1,1\n", "expected a column 'dataset_id', found Dataset_ID"),
        ("m.csv", "dataset_id,Metadata.a\nD1,x\n", "did you mean metadata.a?"),
        ("m.csv", "dataset_id,Study_ID\nD1,x\n", "did you mean study_id?"),
        ("m.csv", "dataset_id,link\nD1,maybe\n", "column 'link': \"maybe\" is not true or false"),
        ("m.jsonl", '{"dataset_id": "D1", "tag": 3}', "expected a text in tag, found 3"),
        ("m.jsonl", '{"dataset_id": "D1", "link": "x"}', "expected true or false in link"),
        ("m.jsonl", '{"dataset_id": "D1", "metadata.a": "<NULL>"}', "almost a mark"),
        ("m.jsonl", '{"dataset_id": "D1", "metadata": {"a": "<NULL>"}}', "almost a mark"),
        (
            "m.parquet",
            parquet(dataset_id=["D1", "D2"], **{"metadata.a": [42.0, None]}),
            "row 1: column 'metadata.a': 42.0 may be a whole number; name the column",
        ),
        (
            "m.parquet",
            parquet(dataset_id=["D1"], **{"metadata.a": [float("nan")]}),
            "nan at the top is not JSON",
        ),
        (
            "m.parquet",
            parquet(dataset_id=["D1"], **{"metadata.a": [{"b": 1}]}),
            "column 'metadata.a' holds struct<b: int64>; expected texts, numbers",
        ),
        ("m.parquet", parquet(x=["D1"]), "expected a column 'dataset_id', found x"),
        ("m.parquet", b"PAR1 no more", "it is no Parquet file that can be read"),
        ("m.parquet", parquet(dataset_id=["D1", "D1"]), "row 2: dataset D1 is already in row 1"),
    ],
)
def test_what_is_wrong_is_named(name: str, content: bytes | str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rows(name, content)
    assert message in str(caught.value)


def test_a_dataset_may_have_a_row_for_each_file() -> None:
    content = "dataset_id,file_name,file,tag,link\nD1,a.txt,x,T,true\nD1,b.txt,y,<null>,\n"
    first, second = rows("m.csv", content, by_file=True)
    assert (first.dataset_id, first.file_name, second.file_name) == ("D1", "a.txt", "b.txt")
    assert first.row == {"file_name": "a.txt", "file": "x", "tag": "T", "link": True}
    assert second.row == {"file_name": "b.txt", "file": "y", "tag": None}
    with pytest.raises(InvalidInput, match="line 3: dataset D1 is already in line 2"):
        rows("m.csv", content)
    with pytest.raises(
        InvalidInput, match=r"line 3: file 'a.txt' of dataset D1 is already in line"
    ):
        rows("m.csv", "dataset_id,file_name\nD1,a.txt\nD1,a.txt\n", by_file=True)
    with pytest.raises(InvalidInput, match="line 2: expected the name of a file in file_name"):
        rows("m.csv", "dataset_id,file_name\nD1,\n", by_file=True)
    with pytest.raises(InvalidInput, match="expected the name of a file in file_name, found data"):
        rows("m.csv", "dataset_id\nD1\n", by_file=True)


def test_null_of_a_table_that_became_json_lines_is_nothing() -> None:
    [row] = rows("m.jsonl", '{"dataset_id": "D1", "data": null, "link": null, "study_id": null}')
    assert row.row == {"study_id": None}


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"dataset_id,metadata.a\nD1,{'x' * 300_000}\n")
    [row] = read_manifest(path)
    assert len(str(row.row["metadata.a"])) == 300_000


def test_what_a_dataset_cannot_do_without_is_not_removed() -> None:
    with pytest.raises(InvalidInput, match=r'line 1: expected a data type, .* found "<delete>"'):
        rows("m.jsonl", '{"dataset_id": "D1", "data_type": "<delete>"}')


def test_a_field_within_a_text_is_refused_for_the_dataset() -> None:
    [row] = rows("m.jsonl", '{"dataset_id": "D1", "metadata.a.b": "x"}')
    with pytest.raises(StepFailed, match=r"manifest row: field a.b: expected an object in a"):
        after(row, {"a": 1})


like_marks = st.from_regex(r"\A\\{0,3} ?<(null|NULL|delete|empty|nil)> ?\Z")
meanings: st.SearchStrategy[Meaning] = st.one_of(
    like_marks, st.text(), st.none(), st.booleans(), st.integers(), st.just(DELETE),
    st.text(st.sampled_from("=+-@\\<>null"), max_size=8),
)  # fmt: skip


@on_a_busy_machine
@given(meanings, st.booleans())
def test_whatever_is_meant_can_be_written(value: Meaning, formulas: bool) -> None:
    assert meaning(written(value, formulas=formulas)) == value


@on_a_busy_machine
@given(st.text(max_size=8), st.sampled_from([None, "str", "int", "json"]))
def test_a_head_names_its_column(name: str, kind: str | None) -> None:
    column = Column(f"metadata.{name}x", kind)
    found = Column.of(column.head)
    assert found.name == column.name
    assert found.kind == kind or (kind is None and found.kind == "str")
