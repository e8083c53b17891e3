"""h5ad files, from and to ``AnnData``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from polly_core.errors import PayloadError
from polly_core.payloads.atomic import replaced_when_done
from polly_core.payloads.hdf5 import peek_hdf5, unpacked_hdf5

if TYPE_CHECKING:
    from anndata import AnnData

Compression: TypeAlias = Literal["lzf", "gzip"] | None


def read_h5ad(path: str | os.PathLike[str]) -> "AnnData":
    """The content of an h5ad file, plain or gzipped (``.h5ad.gz``), in memory.

    Raises:
        PayloadError: the file is unreadable or no h5ad file.
    """
    import anndata

    file = Path(path)
    with unpacked_hdf5(file) as plain:
        try:
            return anndata.read_h5ad(plain)
        # anndata documents no errors: it lets out whatever its readers meet in a broken file.
        except Exception as error:
            raise PayloadError(
                f"{file}: expected an h5ad file, found HDF5 that anndata cannot read: {error}"
            ) from error


def write_h5ad(
    adata: "AnnData", path: str | os.PathLike[str], *, compression: Compression = "lzf"
) -> None:
    """Writes an ``AnnData``. Text columns of ``adata`` become categorical, as anndata does it.

    The file is written under a temporary name, opened again, and only then takes its name; an
    older one stays until then.

    Raises:
        PayloadError: anndata cannot write this object, or the folder cannot be written.
    """
    file = Path(path)
    with replaced_when_done(file) as part:
        try:
            adata.write_h5ad(part, compression=compression)
        except OSError:
            raise
        # anndata documents no errors here either.
        except Exception as error:
            raise PayloadError(f"{file}: anndata cannot write this object: {error}") from error
        _check_written(file, part, (adata.n_obs, adata.n_vars))


def _check_written(file: Path, part: Path, shape: tuple[int, int]) -> None:
    """A failed write can leave a file behind that opens but lacks its parts."""
    found = peek_hdf5(part)
    if found.shape != shape or not (len(found.rows.ids), len(found.columns.ids)) == shape:
        raise PayloadError(
            f"{file}: was written but does not read back: expected {shape[0]} x {shape[1]}, found "
            f"{found.shape[0]} x {found.shape[1]}; {'; '.join(found.problems)}"
        )
