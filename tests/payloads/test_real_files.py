"""The files that instruments and pipelines really write."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polly_core.errors import PayloadError
from polly_core.payloads.gct import read_gct, write_gct
from polly_core.payloads.h5ad import read_h5ad, write_h5ad
from polly_core.payloads.inspection import inspect

READABLE = {
    "mini_gctoo_for_testing.gct": ("GCT1.3", (6, 6), 5, 5),
    "older_version_v1_2.gct": ("GCT1.2", (5, 3), 1, 0),
    "test_l1000.gct": ("GCT1.3", (978, 377), 11, 35),
    "test_p100.gct": ("GCT1.3", (96, 96), 11, 19),
    "test_v1point2_n5x10.gct": ("GCT1.2", (10, 5), 1, 0),
}


@pytest.mark.parametrize("name", READABLE)
def test_read_and_write_back(real_gct: Path, tmp_path: Path, name: str) -> None:
    first = read_gct(real_gct / name)
    version, shape, row_annotations, column_annotations = READABLE[name]
    assert (first.version, first.data_df.shape) == (version, shape)
    assert first.row_metadata_df.shape == (shape[0], row_annotations)
    assert first.col_metadata_df.shape == (shape[1], column_annotations)
    write_gct(first, tmp_path / "again.gct.gz")
    second = read_gct(tmp_path / "again.gct.gz")
    pd.testing.assert_frame_equal(first.data_df, second.data_df, check_exact=True)
    pd.testing.assert_frame_equal(first.row_metadata_df, second.row_metadata_df)
    pd.testing.assert_frame_equal(first.col_metadata_df, second.col_metadata_df)


@pytest.mark.parametrize("name", READABLE)
def test_numbers_are_those_in_the_text(real_gct: Path, name: str) -> None:
    gct = read_gct(real_gct / name)
    rows, columns = gct.data_df.shape
    lines = (real_gct / name).read_text().splitlines()[-rows:]
    texts = [line.split("\t")[-columns:] for line in lines]
    if name.startswith("test_v1point2"):
        assert all(len(row) == columns for row in texts)
    missing = {"NA", "na", "NaN", "nan", ""}
    expected = [[float("nan") if cell in missing else float(cell) for cell in row] for row in texts]
    np.testing.assert_array_equal(gct.data_df.to_numpy(), np.array(expected))


def test_minus_666_of_l1000(real_gct: Path) -> None:
    path = real_gct / "test_l1000.gct"
    missing, kept = read_gct(path), read_gct(path, minus_666_is_missing=False)
    absent = int(missing.row_metadata_df.isna().sum().sum())
    absent += int(missing.col_metadata_df.isna().sum().sum())
    in_text = sum(
        cell == "-666"
        for number, line in enumerate(path.read_text().splitlines()[2:])
        for place, cell in enumerate(line.split("\t"))
        if (number > 35) == (place < 12) and place > 0
    )
    assert absent >= in_text > 0
    assert not (kept.row_metadata_df.isna() & (missing.row_metadata_df.isna())).all().any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_l1000.gctx", "found GCT text; rename it to .gct"),
        ("test_concat_gctoo_test_main_fake_empty_file.gct", "found an empty file"),
        ("metadata_writer_test.gctx", "expected GCT text, found HDF5"),
    ],
)
def test_traps(real_gct: Path, name: str, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        read_gct(real_gct / name)


@pytest.mark.parametrize(
    ("name", "found", "shape", "problem"),
    [
        *((name, "gct", facts[1], "") for name, facts in READABLE.items()),
        ("mini_gctoo_for_testing.gctx", "gctx", (6, 6), ""),
        ("test_l1000_highprecision.gctx", "gctx", (978, 377), ""),
        ("tsne_n2x1203.gctx", "gctx", (1203, 2), ""),
        ("test_l1000.gctx", "gct", (978, 377), "expected gctx, found gct"),
        ("metadata_writer_test.gctx", "gctx", (358, 358), "expected a matrix"),
    ],
)
def test_inspection(
    real_gct: Path, name: str, found: str, shape: tuple[int, int], problem: str
) -> None:
    inspection = inspect(real_gct / name)
    assert (inspection.format, inspection.shape) == (found, shape)
    assert (len(inspection.rows.ids), len(inspection.columns.ids)) == shape
    assert bool(inspection.problems) == bool(problem)
    assert problem in "".join(inspection.problems)


@pytest.mark.parametrize("name", READABLE)
def test_inspection_and_reading_agree(real_gct: Path, name: str) -> None:
    inspection, gct = inspect(real_gct / name), read_gct(real_gct / name)
    assert list(inspection.rows.ids) == gct.data_df.index.tolist()
    assert list(inspection.columns.ids) == gct.data_df.columns.tolist()
    assert list(inspection.rows.annotations) == gct.row_metadata_df.columns.tolist()
    assert list(inspection.columns.annotations) == gct.col_metadata_df.columns.tolist()


@pytest.mark.filterwarnings("ignore:The '.*' option is deprecated")
# The file is of 2019; anndata says that it should be written anew.
@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
@pytest.mark.filterwarnings("ignore:Moving element from .uns")
def test_single_cells(real_h5ad: Path, tmp_path: Path) -> None:
    inspection, cells = inspect(real_h5ad), read_h5ad(real_h5ad)
    assert inspection.shape == cells.shape == (700, 765)
    assert list(inspection.rows.ids) == cells.obs_names.tolist()
    assert list(inspection.columns.ids) == cells.var_names.tolist()
    assert set(inspection.rows.annotations) == set(cells.obs.columns)
    some = cells[:50].copy()
    write_h5ad(some, tmp_path / "some.h5ad")
    again = read_h5ad(tmp_path / "some.h5ad")
    np.testing.assert_array_equal(again.X, some.X)
    assert list(inspect(tmp_path / "some.h5ad").rows.ids) == some.obs_names.tolist()
