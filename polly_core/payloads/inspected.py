"""What an inspection finds."""

from collections import Counter
from collections.abc import Sequence

from polly_core.models.jsonvalue import Model


class Axis(Model):
    """The rows or the columns of a matrix: their ids in order, and what is told about each."""

    ids: tuple[str, ...]
    annotations: tuple[str, ...]


class Inspection(Model):
    """What is in a data file, found without loading its matrix.

    In h5ad files rows are observations (cells) and columns are variables (genes); in GCT files it
    is the other way round. ``problems`` is empty if the file can be loaded and is what it claims
    to be; numbers are not looked at.
    """

    path: str
    format: str
    """As the content is, whatever the name says: ``gct``, ``gctx`` or ``h5ad``, or one of them
    with ``+gzip``."""
    version: str | None = None
    """Of the format, where the file tells it."""
    shape: tuple[int, int]
    rows: Axis
    columns: Axis
    problems: tuple[str, ...] = ()


def id_problems(path: str, what: str, ids: Sequence[str], expected: int) -> list[str]:
    """What is wrong with the ids of one axis: their number, or repetitions."""
    problems = []
    if len(ids) != expected:
        problems.append(f"{path}: expected {expected} {what} ids, found {len(ids)}")
    if len(set(ids)) < len(ids):
        repeated = [name for name, times in Counter(ids).items() if times > 1]
        shown = ", ".join(map(repr, repeated[:5]))
        problems.append(
            f"{path}: expected different {what} ids, found {len(repeated)} more than once: {shown}"
        )
    return problems
