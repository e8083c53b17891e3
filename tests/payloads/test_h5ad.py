"""h5ad through anndata, written whole or not at all."""

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from polly_core.errors import PayloadError
from polly_core.payloads.h5ad import read_h5ad, write_h5ad

if TYPE_CHECKING:
    from polly_core.payloads.h5ad import Compression

# anndata 0.13 asks pandas 3.1 for an option that pandas has begun to deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:The '.*' option is deprecated")


def _cells() -> anndata.AnnData:
    return anndata.AnnData(
        sparse.csr_matrix(np.array([[0.1, 0, 3], [0, 5e-9, 0]])),
        obs=pd.DataFrame({"type": ["B", "T"], "genes": [1, 2]}, index=["c1", "c2"]),
        var=pd.DataFrame(index=["TP53", "NA", "007"]),
    )


@pytest.mark.parametrize("compression", ["lzf", "gzip", None])
def test_round_trip(tmp_path: Path, compression: "Compression") -> None:
    path = tmp_path / "x.h5ad"
    write_h5ad(_cells(), path, compression=compression)
    found = read_h5ad(path)
    assert (found.X != _cells().X).nnz == 0
    assert found.obs_names.tolist() == ["c1", "c2"]
    assert found.var_names.tolist() == ["TP53", "NA", "007"]
    assert found.obs["type"].tolist() == ["B", "T"]
    assert list(tmp_path.iterdir()) == [path]
    with h5py.File(path) as file:
        assert file["X/data"].compression == compression


def test_gzipped_file(tmp_path: Path) -> None:
    write_h5ad(_cells(), tmp_path / "x.h5ad")
    packed = tmp_path / "x.h5ad.gz"
    with (tmp_path / "x.h5ad").open("rb") as plain, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(plain, target)
    assert read_h5ad(packed).shape == (2, 3)


def test_without_matrix(tmp_path: Path) -> None:
    write_h5ad(anndata.AnnData(obs=pd.DataFrame(index=["a", "b"])), tmp_path / "x.h5ad")
    assert read_h5ad(tmp_path / "x.h5ad").shape == (2, 0)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_h5ad(_cells(), path)
    before = path.read_bytes()
    broken = _cells()
    broken.uns["thing"] = object()
    with pytest.raises(PayloadError, match=r"x\.h5ad: anndata cannot write this object: "):
        write_h5ad(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class _ForgetsRows(anndata.AnnData):  # type: ignore[misc]
    """Writes what some releases leave behind: a file that opens, but without ``obs``."""

    def write_h5ad(self, filename: Path, **options: object) -> None:
        super().write_h5ad(filename, **options)
        with h5py.File(filename, "a") as file:
            del file["obs"]


def test_a_file_that_does_not_read_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    with pytest.raises(PayloadError, match="written but does not read back: expected 2 x 3"):
        write_h5ad(_ForgetsRows(_cells()), path)
    assert list(tmp_path.iterdir()) == []


def test_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    path.write_text("#1.3\n")
    with pytest.raises(PayloadError, match="expected HDF5, found GCT text"):
        read_h5ad(path)


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_other_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("0/META")
    with pytest.raises(PayloadError, match="found HDF5 that anndata cannot read"):
        read_h5ad(path)


def test_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_h5ad(_cells(), path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(PayloadError, match="found HDF5 that anndata cannot read"):
        read_h5ad(path)
