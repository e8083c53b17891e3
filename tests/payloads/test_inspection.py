"""Shape, ids and annotations without the matrix; every disagreement named."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from polly_core.errors import PayloadError
from polly_core.payloads.h5ad import write_h5ad
from polly_core.payloads.inspection import inspect

GctFile = Callable[..., Path]

LINES = ["#1.3", "2|2|1|1", "id|a|s1|s2", "c|-666|x|y", "r1|p|1|2", "NA|q|3|4"]

pytestmark = pytest.mark.filterwarnings("ignore:The '.*' option is deprecated")


def _h5ad(path: Path) -> Path:
    cells = anndata.AnnData(
        np.ones((2, 3)),
        obs=pd.DataFrame({"type": ["B", "T"]}, index=["c1", "c2"]),
        var=pd.DataFrame(index=["g1", "g2", "g3"]),
    )
    write_h5ad(cells, path)
    return path


def test_gct(gct_file: GctFile) -> None:
    path = gct_file(LINES)
    found = inspect(path)
    assert (found.path, found.format, found.version) == (str(path), "gct", "1.3")
    assert found.shape == (2, 2)
    assert (found.rows.ids, found.rows.annotations) == (("r1", "NA"), ("a",))
    assert (found.columns.ids, found.columns.annotations) == (("s1", "s2"), ("c",))
    assert found.problems == ()


def test_gzipped_gct(gct_file: GctFile, tmp_path: Path) -> None:
    packed = tmp_path / "y.gct.gz"
    packed.write_bytes(gzip.compress(gct_file(LINES).read_bytes()))
    found = inspect(packed)
    assert (found.format, found.shape, found.problems) == ("gct+gzip", (2, 2), ())


def test_h5ad(tmp_path: Path) -> None:
    found = inspect(_h5ad(tmp_path / "x.h5ad"))
    assert (found.format, found.shape, found.problems) == ("h5ad", (2, 3), ())
    assert (found.rows.ids, found.rows.annotations) == (("c1", "c2"), ("type",))
    assert (found.columns.ids, found.columns.annotations) == (("g1", "g2", "g3"), ())


def test_gzipped_h5ad(tmp_path: Path) -> None:
    packed = tmp_path / "x.h5ad.gz"
    packed.write_bytes(gzip.compress(_h5ad(tmp_path / "x.h5ad").read_bytes()))
    found = inspect(packed)
    assert (found.path, found.format, found.problems) == (str(packed), "h5ad+gzip", ())
    assert found.shape == (2, 3)


def test_all_row_problems_at_once(gct_file: GctFile) -> None:
    path = gct_file([*LINES[:4], "r1|p|1", "r2|q|3|4", "r2|q|3|4"])
    found = inspect(path)
    assert found.rows.ids == ("r2",)
    surplus = (
        f"{path}, line 7: expected the end of the file after the 2 rows that line 2 declares, "
        "found another row: 'r2\\tq\\t3\\t4'"
    )
    assert found.problems == (f"{path}, line 5: expected 4 cells, found 3: 'r1\\tp\\t1'", surplus)


def test_truncation(gct_file: GctFile) -> None:
    (problem,) = inspect(gct_file(LINES[:-1])).problems
    assert "expected 2 rows as line 2 declares, found 1" in problem


def test_problems_are_bounded(gct_file: GctFile) -> None:
    lines = ["#1.3", "90|1|0|0", "id|s", *(f"r{number}" for number in range(90))]
    problems = inspect(gct_file(lines)).problems
    assert len(problems) == 21
    assert problems[-1].endswith("and more problems than these")


@pytest.mark.parametrize(
    ("name", "claimed", "message"),
    [
        ("x.gctx", None, "expected gctx, found gct"),
        ("x.h5ad", None, "expected h5ad, found gct"),
        ("x.gct.gz", None, "expected gct+gzip, found gct"),
        ("x.gct", "h5ad", "expected h5ad, found gct"),
        ("x", "gct+gzip", "expected gct+gzip, found gct"),
    ],
)
def test_name_and_content_disagree(
    gct_file: GctFile, name: str, claimed: str | None, message: str
) -> None:
    path = gct_file(LINES, name=name)
    assert inspect(path, claimed).problems == (f"{path}: {message}; rename it or say what it is",)


def test_without_extension_the_content_decides(gct_file: GctFile) -> None:
    found = inspect(gct_file(LINES, name="download"))
    assert (found.format, found.problems) == ("gct", ())


def test_h5ad_problems(tmp_path: Path) -> None:
    path = _h5ad(tmp_path / "x.h5ad")
    with h5py.File(path, "a") as file:
        file["var/_renamed"] = np.array([b"g1", b"g1"])
        file["var"].attrs["_index"] = "_renamed"
    found = inspect(path)
    assert found.problems == (
        f"{path}: expected 3 column ids, found 2",
        f"{path}: expected different column ids, found 1 more than once: 'g1'",
    )
    with h5py.File(path, "a") as file:
        del file["obs"]
    assert inspect(path).problems == (f"{path}: expected a group 'obs', found none",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.gct", b"", "expected GCT text or HDF5 .* found nothing"),
        ("x.gct", b"a,b\n", "found neither GCT text nor HDF5"),
        ("x.csv", b"#1.3\n", "format csv cannot be inspected; these can: gct, gctx, h5ad"),
        ("x.gct", b"#1.3\n2\n", "expected 4 numbers"),
        ("x.h5ad", b"\x89HDF\r\n\x1a\nxx", "the HDF5 file is damaged"),
        ("x.gct.gz", gzip.compress(b"#1.3\n2\t2", mtime=0)[:14], "the gzip stream is damaged"),
    ],
)
def test_hopeless_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PayloadError, match=message):
        inspect(path)


def test_other_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("stuff")
    with pytest.raises(PayloadError, match="files of format h5 cannot be inspected"):
        inspect(tmp_path / "x.h5")
    (tmp_path / "x.h5").rename(tmp_path / "x")
    with pytest.raises(PayloadError, match=r"expected an h5ad file .* found HDF5 with stuff"):
        inspect(tmp_path / "x")


def test_inspecting_loads_no_heavy_library(gct_file: GctFile, tmp_path: Path) -> None:
    code = (
        "import sys; from polly_core.payloads.inspection import inspect\n"
        "inspect(sys.argv[1]); assert 'numpy' not in sys.modules\n"
        "inspect(sys.argv[2])\n"
        "print([name for name in ('pandas', 'anndata', 'cmapPy', 'pyarrow') "
        "if name in sys.modules])"
    )
    paths = [str(gct_file(LINES)), str(_h5ad(tmp_path / "x.h5ad"))]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
