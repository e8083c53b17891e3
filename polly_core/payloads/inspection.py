"""What a data file holds, without loading its matrix."""

import os
from array import array
from contextlib import suppress
from pathlib import Path

from polly_core.errors import InvalidInput, PayloadError
from polly_core.payloads.content import Content, Kind, content_of, open_payload
from polly_core.payloads.formats import GZIPPED, infer_format
from polly_core.payloads.gct_text import GctText
from polly_core.payloads.hdf5 import peek_hdf5, unpacked_hdf5
from polly_core.payloads.inspected import Axis, Inspection

__all__ = ["Axis", "Inspection", "inspect"]

INSPECTABLE = frozenset({"gct", "gctx", "h5ad"})
_MOST_PROBLEMS = 20
_FEW = 100_000


def inspect(
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
    *,
    row_ids: bool = True,
) -> Inspection:
    """The shape, ids, annotations and problems of a GCT, gctx or h5ad file, plain or gzipped.

    ``format`` is what the file is meant to be; by default its name tells. A disagreement with the
    content is a problem, and so are rows of the wrong length, repeated ids and a file that was
    cut short. GCT files are read through once as text; of HDF5 files only ids are read. A gzipped
    HDF5 file is unpacked into the temporary folder for that.

    Args:
        row_ids: False checks those of GCT files without giving or keeping them: eight bytes a
            row, however large the file is.

    Raises:
        PayloadError: the file is unreadable, is of another format, or is too damaged to tell
            anything about it.
    """
    file = Path(path)
    claimed = _claimed(file, format)
    content = content_of(file)
    found = _look_into(file, content, row_ids=row_ids)
    name = found.format + GZIPPED if content.gzipped else found.format
    problems = list(found.problems)
    if claimed is not None and claimed != name:
        problems.insert(0, f"{file}: expected {claimed}, found {name}; rename it or say what it is")
    return found.model_copy(update={"path": str(file), "format": name, "problems": tuple(problems)})


def _claimed(file: Path, explicit: str | None) -> str | None:
    try:
        claimed = infer_format(file, explicit).name
    except InvalidInput:
        return None
    if claimed.removesuffix(GZIPPED) not in INSPECTABLE:
        raise PayloadError(
            f"{file}: files of format {claimed} cannot be inspected; these can: "
            f"{', '.join(sorted(INSPECTABLE))}, also gzipped"
        )
    return claimed


def _look_into(file: Path, content: Content, *, row_ids: bool) -> Inspection:
    if content.kind is Kind.GCT:
        found = _inspect_gct(file, keep=row_ids)
        # Which ids are repeated is told by those that keep them.
        return found if found is not None else _kept_in_memory(file)
    if content.kind is Kind.HDF5:
        with unpacked_hdf5(file) as plain:
            return peek_hdf5(plain)
    raise PayloadError(f"{file}: expected GCT text or HDF5 (gctx, h5ad), found {content}")


class _TooMany(Exception):
    """Enough problems are known."""


def _kept_in_memory(file: Path) -> Inspection:
    found = _inspect_gct(file, keep=True)
    assert found is not None
    return found


def _inspect_gct(file: Path, *, keep: bool) -> Inspection | None:
    """What is in the file; None where ids that are not kept may be repeated."""
    problems: list[str] = []

    def note(fault: PayloadError) -> None:
        problems.append(str(fault))

    def note_in_row(fault: PayloadError) -> None:
        note(fault)
        if len(problems) > _MOST_PROBLEMS:
            raise _TooMany

    ids: list[str] = []
    hashes = array("q")
    with open_payload(file) as (stream, _):
        text = GctText(file, stream)
        header = text.header(on_fault=note)
        with suppress(_TooMany):
            found = text.ids(header, on_fault=note_in_row, repeated=not keep)
            if keep:
                ids.extend(found)
            else:
                hashes.extend(map(hash, found))
    if _may_repeat(hashes):
        return None
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"{file}: and more problems than these"]
    return Inspection(
        path=str(file),
        format="gct",
        version=header.version,
        shape=(header.rows, header.columns),
        rows=Axis(ids=tuple(ids), annotations=header.row_annotations),
        columns=Axis(ids=header.column_ids, annotations=header.column_annotations),
        problems=tuple(problems),
    )


def _may_repeat(hashes: "array[int]") -> bool:
    """Whether two are equal: certainly where two ids are, and hardly ever where none are."""
    if len(hashes) <= _FEW:
        return len(set(hashes)) < len(hashes)
    import numpy as np

    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64))
    return bool((ordered[1:] == ordered[:-1]).any())
