"""Annotation cells of a GCT file as columns of numbers or text, and back."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from polly_core.payloads.gct_text import unquote

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Column: TypeAlias = np.ndarray[Any, Any] | list[str | float]

MINUS_666 = "-666"
"""What CMap software writes for a missing annotation."""

MISSING_MARKS = frozenset(
    {
        "#N/A",
        "#N/A!",
        "#NA",
        "#VALUE!",
        "-NaN",
        "-nan",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "na",
        "nan",
    }
)
"""Cells that mean *missing*, the same as in cmapPy. A quoted annotation never does."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?inf")
_EXACT_IN_A_FLOAT = 2**53


def read_column(cells: Sequence[str], missing: frozenset[str]) -> "Column":
    """One annotation, as numbers if every cell is one and keeps its value, else as text.

    ``007``, ``+1`` and whole numbers too large for the type stay text. Missing cells are NaN. An
    empty cell is NaN among numbers and the empty string among text.
    """
    import numpy as np

    present = [cell for cell in cells if cell and cell not in missing]
    if len(present) == len(cells) and all(map(_is_int64, present)):
        return np.array(list(map(int, present)), dtype=np.int64)
    empty_text = not present and "" in cells
    if not empty_text and all(map(_is_float64, present)):
        return np.array(
            [float(cell) if cell and cell not in missing else np.nan for cell in cells],
            dtype=np.float64,
        )
    return [np.nan if cell in missing else unquote(cell) for cell in cells]


def write_column(values: "pd.Series[Any]") -> list[str]:
    """The cells of one annotation. Numbers keep their full precision."""
    return [
        MINUS_666 if absent else _write_cell(value)
        for value, absent in zip(values.tolist(), values.isna().tolist(), strict=True)
    ]


def write_text(text: str) -> str:
    """An id or name: quoted as CSV does where its first character is a quote."""
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text


def _write_cell(value: object) -> str:
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else str(value)
    # Quoted, it cannot be taken for a missing one.
    return f'"{value}"' if value == MINUS_666 or value in MISSING_MARKS else write_text(value)


def _is_int64(cell: str) -> bool:
    if len(cell) > 20 or not _WHOLE.fullmatch(cell):
        return False
    return -(2**63) <= int(cell) < 2**63


def _is_float64(cell: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    if _WHOLE.fullmatch(cell) and (len(cell) > 17 or abs(int(cell)) > _EXACT_IN_A_FLOAT):
        return False
    return cell.endswith("inf") or abs(float(cell)) != float("inf")
