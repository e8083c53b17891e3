"""Sheets that are written come back as manifests, cell by cell, in every format."""

import csv
import io
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.engine.sheetfile import format_of, whole_file, write_sheet
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.catalog import VersionId
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue, canonical_json
from polly_core.models.run import PatchOp
from polly_core.planning.cells import DELETE, Column, Meaning
from polly_core.planning.diff import diff
from polly_core.planning.editing import Base
from polly_core.planning.manifest import ManifestRow, manifest_rows, read_manifest
from polly_core.planning.rowpatch import PREFIX, row_metadata
from polly_core.planning.sheet import Layout, SheetColumn
from polly_core.planning.steps import Evaluator
from polly_core.planning.values import drop_field, put_field
from tests.planning.support import empty_change, on_a_busy_machine, record

KINDS = ("csv", "tsv", "jsonl", "parquet")
FIXED = ("dataset_id", "base_version", "data_type")

special = st.sampled_from(
    ["", "NA", "null", "true", "42", "1e5", "007", "<null>", "<delete>", "<empty>", "\\<null>",
     "\\\\<delete>", " <NULL> ", "=1+1", "\\=x", "-", "@x", "a,b", 'say "x"', "a\tb", "x\ny",
     "x\ry", "x\r\ny", " x ", "ü", "\ud800", "\x00", "\ufeff", "\x85\u2028"]
)  # fmt: skip
texts = st.one_of(special, st.text(max_size=8))
numbers = st.one_of(
    st.integers(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
field_names = st.one_of(
    st.sampled_from(["a", "b", "c", "", " a ", "a.b", 'a"b', "@a", "a:int", "a\\", "x\ny", "ü"]),
    st.text(max_size=4),
)
values: st.SearchStrategy[JsonValue] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(field_names, inner, max_size=3)
    ),
    max_leaves=8,
)
documents: st.SearchStrategy[JsonObject] = st.dictionaries(field_names, values, max_size=4)
alike: st.SearchStrategy[JsonObject] = st.fixed_dictionaries(
    {}, optional={"t": texts, "n": st.integers(), "x": st.floats(-1e9, 1e9), "b": st.booleans()}
)
"""Metadata whose columns have one type each."""
sheets = st.lists(st.one_of(documents, alike), min_size=1, max_size=3)


def cells_of(layout: Layout, datasets: Sequence[JsonObject]) -> list[dict[str, Meaning]]:
    return [
        {"dataset_id": f"D{n}", "base_version": "v1", "data_type": "RNA", **layout.cells(metadata)}
        for n, metadata in enumerate(datasets)
    ]


def layout_of(datasets: Sequence[JsonObject]) -> Layout:
    layout = Layout()
    for metadata in datasets:
        layout.see_metadata(metadata)
    return layout


def columns_of(layout: Layout) -> list[SheetColumn]:
    return [*(SheetColumn(Column(name)) for name in FIXED), *layout.columns()]


def written(
    rows: Sequence[dict[str, Meaning]],
    columns: Sequence[SheetColumn],
    kind: str,
    *,
    spreadsheet: bool = False,
) -> bytes:
    stream = io.BytesIO()
    assert write_sheet(rows, columns, kind, stream, spreadsheet=spreadsheet) == len(rows)
    assert not stream.closed
    return stream.getvalue()


def read(content: bytes, kind: str) -> list[ManifestRow]:
    return list(manifest_rows(io.BytesIO(content), f"sheet.{kind}"))


def planned(
    row: ManifestRow, base: JsonObject, current: JsonObject | None = None
) -> tuple[PatchOp, ...]:
    """The patch that the row plans on a dataset."""
    now = base if current is None else current
    seen = record(row.dataset_id, data_type="RNA")
    before = Base(VersionId("v1"), base, "RNA")
    made = Evaluator(empty_change()).evaluate(seen, now, row.row, base=before)
    assert made.data_type == "RNA"
    return diff(now, made.metadata)


@pytest.mark.parametrize("kind", KINDS)
@on_a_busy_machine
@given(datasets=sheets, spreadsheet=st.booleans())
def test_a_sheet_comes_back_as_it_was(
    kind: str, datasets: list[JsonObject], spreadsheet: bool
) -> None:
    datasets = [_without_unwritable(metadata) for metadata in datasets]
    layout = layout_of(datasets)
    content = written(cells_of(layout, datasets), columns_of(layout), kind, spreadsheet=spreadsheet)
    rows = read(content, kind)
    assert [row.dataset_id for row in rows] == [f"D{n}" for n in range(len(datasets))]
    for row, metadata in zip(rows, datasets, strict=True):
        assert canonical_json(row_metadata(row.row)) == canonical_json(metadata)
        assert planned(row, metadata) == ()


def _without_unwritable(metadata: JsonObject) -> JsonObject:
    return {key: value for key, value in metadata.items() if key.isprintable() or key == "x\ny"}


def test_a_name_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="rename it first"):
        Layout().see_metadata({"\ud800": 1})
    layout = layout_of([{"a": {"\ud800": 1}}])
    assert [one.column.head for one in layout.columns()] == ["metadata.a:json"]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@on_a_busy_machine
@given(datasets=st.lists(alike, min_size=1, max_size=3), data=st.data())
def test_what_spreadsheets_do_to_a_sheet_is_no_edit(
    kind: str, datasets: list[JsonObject], data: st.DataObject
) -> None:
    """Columns moved and removed, other line ends, a byte order mark, numbers shown rounded."""
    layout = layout_of(datasets)
    content = written(cells_of(layout, datasets), columns_of(layout), kind).decode()
    delimiter = "," if kind == "csv" else "\t"
    table = list(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter))
    head = table[0]
    kept = data.draw(st.permutations(range(len(head))))
    kept = [at for at in kept if head[at] in FIXED or data.draw(st.booleans())]
    again = io.StringIO(newline="")
    writer = csv.writer(again, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow([head[at] for at in kept])
    for line in table[1:]:
        writer.writerow([_as_shown(head[at], line[at]) for at in kept])
    changed = again.getvalue().encode("utf-8-sig")
    for row, metadata in zip(read(changed, kind), datasets, strict=True):
        assert planned(row, metadata) == ()


def _as_shown(head: str, cell: str) -> str:
    if head.endswith(":bool"):
        return cell.upper()
    if head.endswith(":float") and cell.replace(".", "").replace("-", "").isdigit():
        return f"{float(cell):.15g}"
    return cell.replace("\r\n", "\n").replace("\n", "\r\n") if head.endswith(":str") else cell


def _other(column: Column, old: Meaning, data: st.DataObject) -> Meaning:
    """Another value that the column can hold, as a person would type it."""
    kinds: dict[str | None, st.SearchStrategy[JsonValue]] = {
        "str": st.text(st.characters(codec="utf-8"), max_size=5).map(lambda text: f"new {text}"),
        "int": st.integers(),
        "float": st.integers(-1000, 1000).map(float),
        "bool": st.booleans(),
        "json": st.lists(st.integers(), max_size=2),
    }
    choice = st.one_of(kinds[column.kind], st.none(), st.just(DELETE))
    return data.draw(choice.filter(lambda new: new is DELETE or new != old))


@pytest.mark.parametrize("kind", KINDS)
@on_a_busy_machine
@given(datasets=st.lists(alike, min_size=1, max_size=3), data=st.data())
def test_an_edited_cell_is_the_whole_patch(
    kind: str, datasets: list[JsonObject], data: st.DataObject
) -> None:
    layout = layout_of(datasets)
    rows, columns = cells_of(layout, datasets), columns_of(layout)
    places = [(n, one) for n in range(len(rows)) for one in layout.columns()]
    if not places:
        return
    at, one = data.draw(st.sampled_from(places))
    name = one.column.name
    new = _other(one.column, rows[at].get(name, DELETE), data)
    rows[at][name] = new
    edited = [
        SheetColumn(found.column, marks=True, wide=True) if found == one else found
        for found in columns
    ]
    path = parse_field(name.removeprefix(PREFIX))
    wanted = (
        drop_field(datasets[at], path.keys)
        if new is DELETE
        else put_field(datasets[at], path.keys, new)
    )
    found = read(written(rows, edited, kind), kind)
    for number, (row, metadata) in enumerate(zip(found, datasets, strict=True)):
        assert planned(row, metadata) == (diff(metadata, wanted) if number == at else ())
        # Somebody else's new field is nothing to the sheet.
        elsewhere = metadata | {"else": 1}
        now = (wanted if number == at else metadata) | {"else": 1}
        assert planned(row, metadata, elsewhere) == diff(elsewhere, now)


def test_columns_have_types_and_one_order() -> None:
    datasets: list[JsonObject] = [
        {"title": "x", "age": 3, "bmi": 1.5, "mixed": 1, "ok": True, "tags": ["a"], "gone": None},
        {"mixed": 1.0, "sample": {"organ": "liver", "n": {"a": 1}}, "none": {}, "gone": ""},
    ]
    layout = layout_of(datasets)
    assert [one.column.head for one in layout.columns()] == [
        "metadata.age:int", "metadata.bmi:float", "metadata.gone:str", "metadata.mixed:json",
        "metadata.none:json", "metadata.ok:bool", "metadata.sample.n.a:int",
        "metadata.sample.organ:str", "metadata.tags:json", "metadata.title:str",
    ]  # fmt: skip
    text = written(cells_of(layout, datasets), columns_of(layout), "csv").decode()
    assert text.splitlines()[1] == 'D0,v1,RNA,3,1.5,<null>,1,,true,,,"[""a""]",x'
    assert text.splitlines()[2] == "D1,v1,RNA,,,<empty>,1.0,{},,1,liver,,"


def test_a_field_that_is_a_mapping_of_its_own_is_one_cell() -> None:
    wide: JsonObject = {"by_sample": {f"S{n}": n for n in range(60)}}
    layout = layout_of([{"by_sample": {"S1": 1}}, wide, {"by_sample": None}])
    assert [one.column.head for one in layout.columns()] == ["metadata.by_sample:json"]
    content = written(cells_of(layout, [wide]), columns_of(layout), "csv")
    assert row_metadata(read(content, "csv")[0].row) == wide


def test_parquet_keeps_types_where_cells_are_values() -> None:
    import pyarrow.parquet as pq

    datasets: list[JsonObject] = [{"n": 1, "big": 2**70, "s": "<null>"}, {"n": None}, {"m": 2}]
    layout = layout_of(datasets)
    content = written(cells_of(layout, datasets), columns_of(layout), "parquet")
    schema = pq.read_schema(io.BytesIO(content))
    assert {name: str(schema.field(name).type) for name in schema.names[3:]} == {
        "metadata.big:int": "string",
        "metadata.m:int": "int64",
        "metadata.n:int": "string",
        "metadata.s:str": "string",
    }


def test_cells_that_spreadsheets_would_run_are_written_so_that_they_do_not() -> None:
    metadata: JsonObject = {"a": '=HYPERLINK("x")', "b": "+1", "c": "-x", "d": "@x", "e": "a=b"}
    layout = layout_of([metadata])
    text = written(cells_of(layout, [metadata]), columns_of(layout), "csv").decode()
    assert text.splitlines()[1] == 'D0,v1,RNA,"\\=HYPERLINK(""x"")",\\+1,\\-x,\\@x,a=b'


def test_the_format_is_the_name_s() -> None:
    assert [format_of(Path(f"x.{kind}")) for kind in ("CSV", "ndjson")] == ["csv", "jsonl"]
    with pytest.raises(InvalidInput, match=r"expected a name that ends in .csv"):
        format_of(Path("x.xlsx"))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("as it was")
    with pytest.raises(TypeError), whole_file(path) as stream:
        write_sheet([{"a": "x"}, "half"], [SheetColumn(Column("a"))], "csv", stream)  # type: ignore[list-item]
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("sheet.csv", "as it was")]
    with whole_file(path) as stream:
        stream.write(b"new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("sheet.csv", "new")]
    with pytest.raises(CannotProceed, match="cannot be written"), whole_file(tmp_path / "a" / "b"):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_sheets_are_written_and_read_in_little_memory(kind: str, tmp_path: Path) -> None:
    # PyArrow imports pandas with the first array; that is not what is measured.
    import pandas as pd
    import pyarrow.parquet as pq

    assert pd
    assert pq

    number, text = 6_000, "x" * 1000
    layout = layout_of([{"text": text}])
    path = tmp_path / f"sheet.{kind}"
    rows = (
        {
            "dataset_id": f"D{n}",
            "base_version": "v",
            "data_type": "R",
            "metadata.text": f"{text}{n}",
        }
        for n in range(number)
    )
    tracemalloc.start()
    try:
        with path.open("wb") as stream:
            assert write_sheet(rows, columns_of(layout), kind, stream) == number
        assert sum(1 for _ in read_manifest(path)) == number
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < number * len(text) / 1.5
