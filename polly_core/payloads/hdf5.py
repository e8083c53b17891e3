"""Looks into h5ad and gctx files without loading their matrix."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from polly_core.errors import PayloadError
from polly_core.payloads.content import Kind, content_of, open_payload
from polly_core.payloads.inspected import Axis, Inspection, id_problems

_Node: TypeAlias = Any  # h5py ships no types: a group or a dataset


@contextmanager
def unpacked_hdf5(path: Path) -> Iterator[Path]:
    """A plain HDF5 file with the content of ``path``, which may be gzipped.

    Raises:
        PayloadError: the file is unreadable or holds no HDF5.
    """
    content = content_of(path)
    if content.kind is not Kind.HDF5:
        raise PayloadError(f"{path}: expected HDF5, found {content}")
    if not content.gzipped:
        yield path
        return
    # HDF5 needs to seek, which a gzip stream does only by unpacking again and again.
    with tempfile.TemporaryDirectory(prefix="polly-") as folder:
        plain = Path(folder, "unpacked")
        with open_payload(path) as (stream, _), plain.open("wb") as target:
            shutil.copyfileobj(stream, target, 2**20)
        yield plain


def peek_hdf5(path: Path) -> Inspection:
    """What is in a plain h5ad or gctx file.

    Raises:
        PayloadError: it is damaged, or neither of the two.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "obs" in file or "var" in file or "X" in file:
                return _peek_h5ad(str(path), file)
            if "0/META" in file or "0/DATA" in file:
                return _peek_gctx(str(path), file)
            found = ", ".join(list(file)[:8]) or "nothing"
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise PayloadError(f"{path}: the HDF5 file is damaged: {error}") from error
    raise PayloadError(
        f"{path}: expected an h5ad file (obs, var, X) or a gctx file (0/DATA, 0/META), found HDF5 "
        f"with {found}"
    )


def _peek_h5ad(path: str, file: _Node) -> Inspection:
    missing = [part for part in ("obs", "var") if part not in file]
    problems = [f"{path}: expected a group {part!r}, found none" for part in missing]
    rows = _frame_axis(file["obs"]) if "obs" in file else Axis(ids=(), annotations=())
    columns = _frame_axis(file["var"]) if "var" in file else Axis(ids=(), annotations=())
    shape = _matrix_shape(file["X"]) if "X" in file else (len(rows.ids), len(columns.ids))
    if not missing:
        problems += id_problems(path, "row", rows.ids, shape[0])
        problems += id_problems(path, "column", columns.ids, shape[1])
    version = file.attrs.get("encoding-version")
    return Inspection(
        path=path,
        format="h5ad",
        version=None if version is None else _text(version),
        shape=shape,
        rows=rows,
        columns=columns,
        problems=tuple(problems),
    )


def _frame_axis(frame: _Node) -> Axis:
    """The ids and column names of ``obs`` or ``var``, in the layouts of anndata since 0.6."""
    if hasattr(frame, "dtype"):
        index, *names = frame.dtype.names
        return Axis(ids=_strings(frame[index]), annotations=tuple(names))
    index = _text(frame.attrs["_index"])
    names = tuple(_text(name) for name in frame.attrs["column-order"])
    return Axis(ids=_strings(frame[index]), annotations=names)


def _matrix_shape(matrix: _Node) -> tuple[int, int]:
    if hasattr(matrix, "shape"):
        shape = matrix.shape
    else:
        attributes = matrix.attrs
        shape = attributes["shape" if "shape" in attributes else "h5sparse_shape"]
    rows, columns = (int(size) for size in (*shape, 1)[:2])
    return rows, columns


def _peek_gctx(path: str, file: _Node) -> Inspection:
    problems = []
    rows, columns = (_gctx_axis(file, name) for name in ("ROW", "COL"))
    if "0/DATA/0/matrix" in file:
        # gctx keeps the matrix transposed.
        column_count, row_count = (int(size) for size in file["0/DATA/0/matrix"].shape)
        problems += id_problems(path, "row", rows.ids, row_count)
        problems += id_problems(path, "column", columns.ids, column_count)
    else:
        row_count, column_count = len(rows.ids), len(columns.ids)
        problems.append(f"{path}: expected a matrix at 0/DATA/0/matrix, found none")
    version = file.attrs.get("version")
    return Inspection(
        path=path,
        format="gctx",
        version=None if version is None else _text(version),
        shape=(row_count, column_count),
        rows=rows,
        columns=columns,
        problems=tuple(problems),
    )


def _gctx_axis(file: _Node, name: str) -> Axis:
    group = file.get(f"0/META/{name}") or {}
    return Axis(
        ids=_strings(group["id"]) if "id" in group else (),
        annotations=tuple(key for key in group if key != "id"),
    )


def _strings(node: _Node) -> tuple[str, ...]:
    """Text or numbers, plain, nullable or categorical, as text."""
    if hasattr(node, "keys"):
        if "categories" in node:
            categories = _strings(node["categories"])
            return tuple(categories[code] for code in node["codes"][:].tolist())
        node = node["values"]
    values = node[:] if hasattr(node, "id") else node
    return tuple(map(_text, values.tolist()))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
