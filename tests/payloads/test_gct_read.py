"""What the GCT reader makes of files as they occur."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polly_core.payloads.gct import read_gct

GctFile = Callable[..., Path]

LINES = [
    "#1.3",
    "3|2|2|2",
    "id|symbol|007s|s1|s2",
    "dose|-666|-666|1.5|2",
    "cell|-666|-666|A375|NA",
    "r1|TP53|007|1.25|6e-9",
    "NA|NA|010|NaN|",
    "007|-666|011|-666|3.141592653589793",
]


def test_version_1_3(gct_file: GctFile) -> None:
    gct = read_gct(gct_file(LINES))
    assert gct.version == "GCT1.3"
    assert list(gct.data_df.index) == ["r1", "NA", "007"]
    assert list(gct.data_df.columns) == ["s1", "s2"]
    assert gct.data_df.to_numpy().dtype == np.float64
    np.testing.assert_array_equal(
        gct.data_df.to_numpy(), [[1.25, 6e-9], [np.nan, np.nan], [-666.0, math.pi]]
    )
    assert gct.row_metadata_df["symbol"].isna().tolist() == [False, True, True]
    assert gct.row_metadata_df["007s"].tolist() == ["007", "010", "011"]
    assert gct.col_metadata_df["dose"].tolist() == [1.5, 2.0]
    assert gct.col_metadata_df["cell"].isna().tolist() == [False, True]
    assert gct.data_df.index.name == "rid"
    assert gct.col_metadata_df.columns.name == "chd"


def test_minus_666_can_be_kept(gct_file: GctFile) -> None:
    gct = read_gct(gct_file(LINES), minus_666_is_missing=False)
    assert gct.row_metadata_df["symbol"].tolist()[2] == "-666"
    assert gct.data_df.loc["007", "s1"] == -666


def test_version_1_2(gct_file: GctFile) -> None:
    gct = read_gct(gct_file(["#1.2", "1|2", "NAME|Description|a|b", "x|one gene|1|2"]))
    assert gct.version == "GCT1.2"
    assert gct.row_metadata_df["Description"].tolist() == ["one gene"]
    assert gct.col_metadata_df.shape == (2, 0)


def _same(first: Path, second: Path) -> None:
    one, two = read_gct(first), read_gct(second)
    for part in ("data_df", "row_metadata_df", "col_metadata_df"):
        assert getattr(one, part).equals(getattr(two, part)), part


def test_crlf_byte_order_mark_trailing_tabs_and_lines(gct_file: GctFile) -> None:
    plain = gct_file(LINES)
    dressed = gct_file(
        ["\ufeff#1.3|||", "3|2|2|2||", *(line + "|" for line in LINES[2:]), "", "||"],
        name="y.gct",
        end="\r\n",
    )
    _same(plain, dressed)


def test_no_line_end_after_the_last_row(gct_file: GctFile, tmp_path: Path) -> None:
    plain = gct_file(LINES)
    cut = tmp_path / "cut.gct"
    cut.write_bytes(plain.read_bytes().rstrip(b"\n"))
    _same(plain, cut)


@pytest.mark.parametrize("name", ["x.gct.gz", "download.gct", "download"])
def test_gzip_is_told_by_content(gct_file: GctFile, tmp_path: Path, name: str) -> None:
    plain = gct_file(LINES, name="plain.gct")
    packed = tmp_path / name
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    _same(plain, packed)


def test_quotes(gct_file: GctFile) -> None:
    lines = [
        "#1.3",
        "4|1|1|0",
        'id|5" note|"s ""1"""',
        '"r1|an unbalanced " quote|1',
        'r2|"opened only|2',
        '"r""3"|"NA"|"3"',
        'r4|""|4',
    ]
    gct = read_gct(gct_file(lines))
    assert gct.data_df.columns.tolist() == ['s "1"']
    assert gct.data_df.index.tolist() == ['"r1', "r2", 'r"3', "r4"]
    assert gct.data_df['s "1"'].tolist() == [1, 2, 3, 4]
    assert gct.row_metadata_df['5" note'].tolist() == [
        'an unbalanced " quote',
        '"opened only',
        "NA",
        "",
    ]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "NA"], [1.0, math.nan]),
        (["1", ""], [1.0, math.nan]),
        (["0.5", "-2e-3"], [0.5, -0.002]),
        (["007", "8"], ["007", "8"]),
        (["+1", "2"], ["+1", "2"]),
        (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["9007199254740993", "NA"], ["9007199254740993", math.nan]),
        (["1e999", "1"], ["1e999", "1"]),
        (["a", ""], ["a", ""]),
        (["", ""], ["", ""]),
        (["NA", "NA"], [math.nan, math.nan]),
        (["True", "False"], ["True", "False"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["1,5", "2"], ["1,5", "2"]),
    ],
)
def test_annotations_are_numbers_only_where_nothing_is_lost(
    gct_file: GctFile, cells: list[str], values: list[object]
) -> None:
    lines = ["#1.3", "2|1|1|0", "id|a|s", f"r1|{cells[0]}|1", f"r2|{cells[1]}|2"]
    column = read_gct(gct_file(lines)).row_metadata_df["a"]
    found = [None if absent else value for value, absent in zip(column, column.isna(), strict=True)]
    expected = [None if value != value else value for value in values]  # noqa: PLR0124
    assert found == expected
    assert [type(value) for value in column.dropna().tolist()] == [
        type(value) for value in expected if value is not None
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (" 1.5 ", 1.5),
        ("+2", 2.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("#N/A", math.nan),
        ("None", math.nan),
        ('"7"', 7.0),
        ("5e-324", 5e-324),
        ("0.1000000000000000055511151231257827", 0.1),
        ("9007199254740993", 9007199254740992.0),
    ],
)
def test_numbers(gct_file: GctFile, cell: str, value: float) -> None:
    gct = read_gct(gct_file(["#1.3", "1|2|0|0", "id|a|b", f"r|1|{cell}"]))
    np.testing.assert_array_equal(gct.data_df.to_numpy(), [[1.0, value]])


@pytest.mark.parametrize("size", ["0|2|1|0", "0|0|1|0"])
def test_no_rows(gct_file: GctFile, size: str) -> None:
    columns = int(size.split("|")[1])
    gct = read_gct(gct_file(["#1.3", size, "id|a" + "|s1|s2" * (columns // 2)]))
    assert gct.data_df.shape == (0, columns)
    assert list(gct.row_metadata_df.columns) == ["a"]


def test_no_columns(gct_file: GctFile) -> None:
    gct = read_gct(gct_file(["#1.3", "2|0|1|1", "id|a", "c|-666", "r1|x", "r2|y"]))
    assert gct.data_df.shape == (2, 0)
    assert gct.row_metadata_df["a"].tolist() == ["x", "y"]


def test_more_than_one_block(tmp_path: Path) -> None:
    """Numbers are converted some megabytes at a time; the seams must not show."""
    values = np.random.default_rng(7).normal(size=(3000, 400))
    path = tmp_path / "big.gct"
    rows = (
        f"r{number}\t" + "\t".join(map(repr, row)) for number, row in enumerate(values.tolist())
    )
    head = "#1.3\n3000\t400\t0\t0\nid\t" + "\t".join(f"s{number}" for number in range(400))
    path.write_text(head + "\n" + "\n".join(rows) + "\n")
    assert path.stat().st_size > 20_000_000
    np.testing.assert_array_equal(read_gct(path).data_df.to_numpy(), values)
