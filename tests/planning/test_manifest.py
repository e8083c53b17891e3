import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polly_core.errors import InvalidInput
from polly_core.planning.manifest import (
    check_changes,
    ids_of,
    manifest_rows,
    read_ids,
    read_manifest,
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "dataset_id,metadata.n:json,note\nGSE1,1,x\nGSE2,,\n"),
        ("m.tsv", "note\tdataset_id\tmetadata.n:json\nx\tGSE1\t1\n\tGSE2\t\n"),
        ("m.jsonl", '{"dataset_id": "GSE1", "metadata.n": 1, "note": "x"}\n{"dataset_id": "GSE2"}'),
    ],
)
def test_reads_rows(tmp_path: Path, name: str, content: str) -> None:
    first, second = read_manifest(written(tmp_path, name, content))
    assert (first.dataset_id, first.row) == ("GSE1", {"metadata.n": 1, "note": "x"})
    assert first.patch() == {"metadata.n": 1}
    assert (second.dataset_id, second.row, second.patch()) == ("GSE2", {}, None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "id,x\nGSE1,1\n", "line 1: expected a column 'dataset_id', found id, x"),
        ("m.jsonl", '{"id": "GSE1"}\n', "line 1: expected an id in dataset_id, found id"),
        ("m.jsonl", '{"dataset_id": 7}\n', "line 1: expected a text in dataset_id, found 7"),
        ("m.csv", "dataset_id,x\n,1\n", "line 2: expected an id in dataset_id, found x"),
        ("m.csv", "dataset_id\nGSE 1\n", 'line 2: "GSE 1" is no dataset id'),
        ("m.csv", "dataset_id\n../x\n", 'line 2: "../x" is no dataset id'),
        (
            "m.csv",
            "dataset_id\nGSE1\nGSE2\nGSE1\n",
            "line 4: dataset GSE1 is already in line 2; keep one of the two",
        ),
        (
            "m.csv",
            "dataset_id,metadata.a,metadata.a.b\nGSE1,x,y\n",
            "line 2: columns metadata.a and metadata.a.b contradict each other",
        ),
        (
            "m.jsonl",
            '{"dataset_id": "GSE1", "metadata": {"a": 1}, "metadata.a": 2}\n',
            "line 1: columns metadata and metadata.a contradict",
        ),
        ("m.csv", "dataset_id,metadata.a..b\nGSE1,x\n", "line 2: field 'a..b', position 3"),
        ("m.jsonl", '{"dataset_id": "GSE1", "data_type": 3}\n', "a text in data_type, found 3"),
        ("m.jsonl", '{"dataset_id": "GSE1", "metadata": 3}\n', "expected an object in metadata"),
    ],
)
def test_refuses_with_the_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(read_manifest(written(tmp_path, name, content)))


def test_names_every_problem_at_once(tmp_path: Path) -> None:
    content = "dataset_id,x\nGSE1,1\nGSE1,2\nG E,3\n,4\nGSE5\n"
    with pytest.raises(InvalidInput) as caught:
        list(read_manifest(written(tmp_path, "m.csv", content)))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "line 3", "line 4", "line 5", "line 6",
    ]  # fmt: skip


def test_a_wrong_column_is_named_once(tmp_path: Path) -> None:
    content = "dataset_id,metadata.a..b\n" + "".join(f"GSE{n},x\n" for n in range(50))
    with pytest.raises(InvalidInput) as caught:
        list(read_manifest(written(tmp_path, "m.csv", content)))
    assert len(str(caught.value).splitlines()) == 2


def test_a_header_alone_is_nothing_to_do(tmp_path: Path) -> None:
    assert list(read_manifest(written(tmp_path, "m.csv", "dataset_id,x\n"))) == []
    assert list(read_manifest(written(tmp_path, "m.jsonl", ""))) == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.csv", "dataset_id,note\nGSE1,x\n", "dataset_id, note; did you mean metadata.note?"),
        ("m.tsv", "dataset_id\tage:int\tdata_format\n", "data_format; did you mean metadata.age?"),
        ("m.csv", "dataset_id\nGSE1\n", "found dataset_id$"),
        (
            "m.jsonl",
            '{"dataset_id": "A", "x": 1}\n{"dataset_id": "B", "y": {"z": 1}}\n',
            "found dataset_id, x, y; did you mean metadata.x, metadata.y?",
        ),
    ],
)
def test_a_manifest_that_can_change_nothing_is_refused(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told.replace("?", r"\?")) as caught:
        check_changes(written(tmp_path, name, content))
    assert f"nothing is to be changed by {name}" in str(caught.value)


def test_of_parquet_the_columns_are_known_as_well(tmp_path: Path) -> None:
    table = pa.table({"dataset_id": ["GSE1"], "note": ["x"]})
    path = tmp_path / "m.parquet"
    pq.write_table(table, path)
    with pytest.raises(InvalidInput, match=r"did you mean metadata\.note\?"):
        check_changes(path)
    pq.write_table(table.rename_columns(["dataset_id", "metadata.note"]), path)
    check_changes(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "note,dataset_id,metadata.n:int\nx,GSE1,\n"),
        ("m.csv", "dataset_id,data_type\n"),
        ("m.csv", "dataset_id,data\n"),
        ("m.jsonl", '{"dataset_id": "A", "x": 1}\n{"dataset_id": "B", "metadata": {}}\n'),
        ("m.jsonl", ""),
        # These are refused in the words of what is wrong, once the rows are read.
        ("m.csv", "dataset_id,Metadata.note\nGSE1,x\n"),
        ("m.csv", "dataset_id,note,note\nGSE1,x,y\n"),
        ("m.csv", ""),
        ("m.parquet", "none"),
    ],
)
def test_one_that_may_change_something_is_left_to_reading_it(
    tmp_path: Path, name: str, content: str
) -> None:
    check_changes(written(tmp_path, name, content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone.csv cannot be read: No such file"):
        list(read_manifest(tmp_path / "gone.csv"))
    with pytest.raises(InvalidInput, match="expected a file named"):
        list(read_manifest(tmp_path / "gone.xls"))


def test_reads_ids(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfGSE1\r\n\n# comment\n  GSE2 \n"
    assert list(read_ids(written(tmp_path, "ids.txt", content))) == ["GSE1", "GSE2"]


def test_refuses_ids_with_their_lines() -> None:
    with pytest.raises(InvalidInput) as caught:
        list(ids_of([b"GSE1\n", b"a b\n", b"GSE1\n"], "standard input"))
    assert str(caught.value).splitlines() == [
        "standard input cannot be used:",
        '  line 2: "a b" is no dataset id; expected letters, digits, _ and -, at most 255',
        "  line 3: dataset GSE1 is already in line 1; keep one of the two",
    ]


def test_a_manifest_is_streamed(tmp_path: Path) -> None:
    cell = "x" * 1000
    path = tmp_path / "m.csv"
    with path.open("w") as handle:
        handle.write("dataset_id,metadata.text\n")
        handle.writelines(f"GSE{number},{cell}\n" for number in range(5_000))
    tracemalloc.start()
    try:
        with path.open("rb") as opened:
            assert sum(1 for _ in manifest_rows(opened, "m.csv")) == 5_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 3
