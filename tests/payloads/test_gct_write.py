"""What is written is what is read, bit by bit."""

import gzip
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from cmapPy.pandasGEXpress.GCToo import GCToo
from hypothesis import given, settings
from hypothesis import strategies as st

from polly_core.errors import PayloadError
from polly_core.payloads.gct import read_gct, write_gct

if TYPE_CHECKING:
    from polly_core.payloads.gct import GctVersion

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1, max_size=12
) | st.sampled_from(["NA", "nan", "-666", "007", '"', '""', '"a"', '5" x', " ", "id", "é", "#1.3"])
# A column needs one word in it to stay text: GCT knows no types.
WORDS = st.text(st.characters(categories=["L"]), min_size=3, max_size=8).filter(
    lambda word: word not in {"nan", "None", "NULL", "NaN", "inf"}
)
NUMBERS = st.floats(width=64)


def _gctoo(
    values: "np.ndarray[Any, Any]",
    rows: list[str] | None = None,
    columns: list[str] | None = None,
    row_annotations: dict[str, list[Any]] | None = None,
    column_annotations: dict[str, list[Any]] | None = None,
) -> GCToo:
    row_ids = rows or [f"r{number}" for number in range(values.shape[0])]
    column_ids = columns or [f"s{number}" for number in range(values.shape[1])]
    return GCToo(
        pd.DataFrame(values, index=row_ids, columns=column_ids),
        pd.DataFrame(row_annotations or {}, index=row_ids),
        pd.DataFrame(column_annotations or {}, index=column_ids),
    )


@st.composite
def gctoos(draw: st.DrawFn) -> GCToo:
    """Any ``GCToo`` that GCT can hold without loss."""
    rows = draw(st.lists(TEXT, min_size=1, max_size=5, unique=True))
    columns = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    values = draw(
        st.lists(NUMBERS, min_size=len(rows) * len(columns), max_size=len(rows) * len(columns))
    )
    matrix = np.array(values, dtype=np.float64).reshape(len(rows), len(columns))
    return _gctoo(
        matrix, rows, columns, draw(annotations(len(rows))), draw(annotations(len(columns)))
    )


@st.composite
def annotations(draw: st.DrawFn, size: int) -> dict[str, list[Any]]:
    kinds: list[st.SearchStrategy[list[Any]]] = [
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=size, max_size=size),
        st.lists(NUMBERS, min_size=size, max_size=size),
        st.lists(TEXT | st.just("") | st.none(), min_size=size - 1, max_size=size - 1).flatmap(
            lambda cells: WORDS.map(lambda word: [*cells, word])
        ),
    ]
    names = draw(st.lists(TEXT, max_size=3, unique=True))
    return {name: draw(st.one_of(kinds)) for name in names}


def _assert_same(one: GCToo, two: GCToo) -> None:
    assert one.data_df.index.tolist() == two.data_df.index.tolist()
    assert one.data_df.columns.tolist() == two.data_df.columns.tolist()
    first, second = one.data_df.to_numpy(), two.data_df.to_numpy()
    # The bits: so that -0.0 is not taken for 0.0. All NaNs are one.
    both_missing = np.isnan(first) & np.isnan(second)
    assert ((first.view(np.int64) == second.view(np.int64)) | both_missing).all()
    for before, after in (
        (one.row_metadata_df, two.row_metadata_df),
        (one.col_metadata_df, two.col_metadata_df),
    ):
        assert before.columns.tolist() == after.columns.tolist()
        for place in range(before.shape[1]):
            _assert_same_column(before.iloc[:, place], after.iloc[:, place])


def _assert_same_column(before: "pd.Series[Any]", after: "pd.Series[Any]") -> None:
    assert before.isna().tolist() == after.isna().tolist()
    # Floats that are all whole and present stay floats, since they are written with a point.
    assert before.dropna().tolist() == after.dropna().tolist()
    if before.notna().any():
        assert pd.api.types.is_numeric_dtype(before) == pd.api.types.is_numeric_dtype(after)


@settings(deadline=None)
@given(gctoos(), st.sampled_from(["x.gct", "x.gct.gz", "X.GCT.GZ"]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, gctoo: GCToo, name: str) -> None:
    path = tmp_path_factory.mktemp("gct") / name
    write_gct(gctoo, path)
    _assert_same(gctoo, read_gct(path))


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_round_trip_of_version_1_2(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("gct") / "x.gct"
    described = _gctoo(np.array([numbers]), row_annotations={"Description": ["a gene"]})
    write_gct(described, path, version="1.2")
    assert path.read_text().startswith(f"#1.2\n1\t{len(numbers)}\nName\tDescription\ts0")
    _assert_same(described, read_gct(path))


def test_version_1_2_without_description(tmp_path: Path) -> None:
    path = tmp_path / "x.gct"
    write_gct(_gctoo(np.eye(2)), path, version="1.2")
    assert path.read_text().splitlines()[3] == "r0\tna\t1\t0"
    assert read_gct(path).row_metadata_df["Description"].isna().all()


def test_small_numbers_keep_their_value(tmp_path: Path) -> None:
    """cmapPy's writer makes 6e-9 of this 0.0000."""
    values = np.array([[1.2e-7, math.pi, 6e-9, 0.1 + 0.2]])
    write_gct(_gctoo(values), tmp_path / "x.gct")
    assert (read_gct(tmp_path / "x.gct").data_df.to_numpy() == values).all()


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8", "bool"])
def test_other_number_types_keep_their_value(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 1], [1, 100]]) / (3 if dtype == "float32" else 1)
    frame = values.astype(dtype)
    write_gct(_gctoo(frame), tmp_path / "x.gct")
    found = read_gct(tmp_path / "x.gct").data_df.to_numpy()
    assert (found == frame).all()


def test_ids_that_are_numbers_become_text(tmp_path: Path) -> None:
    gctoo = GCToo(pd.DataFrame(np.eye(2), index=[10, 20], columns=[1, 2]))
    write_gct(gctoo, tmp_path / "x.gct")
    found = read_gct(tmp_path / "x.gct").data_df
    assert (found.index.tolist(), found.columns.tolist()) == (["10", "20"], ["1", "2"])


def test_other_annotations_become_text(tmp_path: Path) -> None:
    gctoo = _gctoo(
        np.eye(2),
        row_annotations={
            "when": [pd.Timestamp("2024-01-17"), pd.NaT],
            "yes": [True, False],
            "kind": pd.Categorical(["a", None]).tolist(),
        },
    )
    write_gct(gctoo, tmp_path / "x.gct")
    rows = read_gct(tmp_path / "x.gct").row_metadata_df
    assert rows["yes"].tolist() == ["True", "False"]
    assert rows["when"].tolist()[0] == "2024-01-17 00:00:00"
    assert rows["when"].isna().tolist() == rows["kind"].isna().tolist() == [False, True]


def test_no_columns_and_no_rows(tmp_path: Path) -> None:
    gctoo = _gctoo(np.empty((2, 0)), row_annotations={"a": ["x", "y"]})
    write_gct(gctoo, tmp_path / "x.gct")
    _assert_same(gctoo, read_gct(tmp_path / "x.gct"))
    gctoo = _gctoo(np.empty((0, 2)))
    write_gct(gctoo, tmp_path / "y.gct")
    assert read_gct(tmp_path / "y.gct").data_df.shape == (0, 2)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """A stored object with the same bytes is not uploaded again."""
    for name in ("x.gct.gz", "y.gct.gz"):
        write_gct(_gctoo(np.eye(3)), tmp_path / name)
    packed = (tmp_path / "x.gct.gz").read_bytes()
    assert packed == (tmp_path / "y.gct.gz").read_bytes()
    assert gzip.decompress(packed).startswith(b"#1.3\n3\t3\t0\t0\n")


@pytest.mark.parametrize(
    ("gctoo", "version", "message"),
    [
        (_gctoo(np.eye(2), ["a\tb", "c"]), "1.3", r"row id 'a\\tb' holds a tab or line break"),
        (_gctoo(np.eye(2), None, ["a\n", "c"]), "1.3", "column id 'a\\\\n' holds a tab"),
        (
            _gctoo(np.eye(1), row_annotations={"n": ["x\ry"]}),
            "1.3",
            "annotation 'n' 'x\\\\ry' holds a tab or line break",
        ),
        (_gctoo(np.eye(2), ["", "c"]), "1.3", "expected different row ids that are not empty"),
        (_gctoo(np.eye(1), column_annotations={"": ["x"]}), "1.3", "column annotations that are"),
        (
            GCToo(pd.DataFrame(np.eye(2), index=[1, "1"])),
            "1.3",
            "expected different row ids .* found '1' more than once",
        ),
        (GCToo(pd.DataFrame(np.eye(2), index=["a", None])), "1.3", "row id is missing"),
        (GCToo(pd.DataFrame([["a"]])), "1.3", "expected a matrix of numbers"),
        (
            GCToo(pd.DataFrame([[1.0]], index=pd.Index(["\ud800"], dtype=object))),
            "1.3",
            "is no valid text",
        ),
        (
            _gctoo(np.eye(1), row_annotations={"gene": ["x"]}),
            "1.2",
            "GCT 1.2 has room for one .* found gene: write version 1.3",
        ),
        (_gctoo(np.eye(1), column_annotations={"dose": [1]}), "1.2", "found dose"),
    ],
)
def test_refusals_leave_the_old_file(
    tmp_path: Path, gctoo: GCToo, version: "GctVersion", message: str
) -> None:
    path = tmp_path / "x.gct"
    path.write_text("old")
    with pytest.raises(PayloadError, match=message):
        write_gct(gctoo, path, version=version)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match=r"x\.gct: cannot be written: No such file"):
        write_gct(_gctoo(np.eye(1)), tmp_path / "none" / "x.gct")
