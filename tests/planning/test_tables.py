from io import BytesIO

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.tables import MAX_PROBLEMS, Problems, read_rows


def rows(name: str, content: bytes) -> list[tuple[int, JsonObject]]:
    problems = Problems(name)
    found = [(row.line, row.cells) for row in read_rows(BytesIO(content), name, problems)]
    problems.raise_any()
    return found


def test_csv_with_quotes_line_breaks_and_lines() -> None:
    content = b'\xef\xbb\xbfid,text,n:json\r\na,"x, ""y""\nz",1\r\n\r\nb,,"[1, ""q""]"\r\n'
    assert rows("t.csv", content) == [
        (2, {"id": "a", "text": 'x, "y"\nz', "n": 1}),
        (5, {"id": "b", "n": [1, "q"]}),
    ]


def test_tsv_and_json_lines() -> None:
    assert rows("t.TSV", b"id\tx\na\t1,5\n") == [(2, {"id": "a", "x": "1,5"})]
    content = b'{"id": "a", "x": null}\n\n{"id": "b"}'
    assert rows("t.ndjson", content) == [(1, {"id": "a", "x": None}), (3, {"id": "b"})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "line 1: it is empty"),
        ("t.csv", b"a,,b\n", "line 1: column 2 has no name"),
        ("t.csv", b"a,b,a\n", "line 1: columns 1 and 3 are both named 'a'"),
        ("t.csv", b"a,b\n1\n", "line 2: expected 2 cells as in the header, found 1"),
        ("t.csv", b"a,b\n1,2,3\n", "line 2: expected 2 cells"),
        ("t.csv", b'a,b\n1,"x" y\n', "line 2: .*a cell with quotes"),
        ("t.csv", b'a,b\n1,"open\n2,3\n', "line 2: .*a cell with quotes"),
        ("t.csv", b"a,b\n1,\xe9\n", r"line 2: byte 3 \(0xe9\) is not UTF-8"),
        ("t.csv", "a,b\n".encode("utf-16"), "line 1: it is encoded as UTF-16"),
        ("t.csv", b"a:json\nNaN\n", "line 2: column 'a': .* is not JSON"),
        ("t.jsonl", b'{"a": 1}\n{"a": }\n', "line 2: it is not JSON"),
        ("t.jsonl", b'{"a": 1, "a": 2}\n', "line 1: it is not JSON .*'a' is there twice"),
        ("t.jsonl", b"[1]\n", r"line 1: expected a JSON object, found \[1\]"),
        ("t.parquet", b"", "row 1: it is no Parquet file"),
        ("t.xlsx", b"", r"expected a file named \*.csv, \*.tsv, \*.jsonl, \*.ndjson, \*.parquet"),
        ("t", b"", "found no suffix"),
    ],
)
def test_refuses_with_the_line(name: str, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        rows(name, content)


def test_collects_problems_up_to_a_bound() -> None:
    with pytest.raises(InvalidInput) as caught:
        rows("t.csv", b"a,b\n" + b"x\n" * 3)
    assert str(caught.value).splitlines() == ["t.csv cannot be used:"] + [
        f"  line {line}: expected 2 cells as in the header, found 1" for line in (2, 3, 4)
    ]
    with pytest.raises(InvalidInput) as caught:
        rows("t.csv", b"a,b\n" + b"x\n" * 500)
    assert len(str(caught.value).splitlines()) == MAX_PROBLEMS + 2
