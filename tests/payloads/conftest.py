"""Real data files, where they are, and a builder of GCT text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def _real(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"real data files are not here: expected {path}")
    return path


@pytest.fixture
def real_gct() -> Path:
    """The folder of real GCT and gctx files."""
    return _real("gct")


@pytest.fixture
def real_h5ad() -> Path:
    """A real single-cell file, written by anndata 0.6."""
    return _real("h5ad") / "10x_pbmc68k_reduced.h5ad"


GctFile = Callable[..., Path]


@pytest.fixture
def gct_file(tmp_path: Path) -> GctFile:
    """Writes lines (tabs stand as ``|``) to a file and gives its path."""

    def write(lines: Sequence[str], *, name: str = "x.gct", end: str = "\n") -> Path:
        path = tmp_path / name
        path.write_bytes((end.join(lines) + end).replace("|", "\t").encode())
        return path

    return write
