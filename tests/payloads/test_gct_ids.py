"""Ids alone are read faster, and checked just as whole rows are."""

import io
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import PayloadError
from polly_core.payloads.gct_text import GctText
from polly_core.payloads.inspection import inspect

HEAD = b"#1.2\n3\t2\nName\tDescription\ts1\ts2\n"
CELLS = st.sampled_from(["g1", "g2", '"g3"', "g\u00e4", "", " ", "1.5", '"', "na", "\u2028"])
LINES = st.lists(CELLS, max_size=6).map("\t".join)
ENDS = st.sampled_from(["\n", "\r\n"])


def _read(text: bytes, *, whole: bool) -> tuple[list[str], list[str]]:
    faults: list[str] = []

    def note(fault: PayloadError) -> None:
        faults.append(str(fault))

    reader = GctText(Path("x.gct"), io.BytesIO(text))
    header = reader.header()
    if whole:
        return [row.row_id for row in reader.rows(header, on_fault=note)], faults
    return list(reader.ids(header, on_fault=note)), faults


@given(st.lists(LINES, max_size=6), ENDS, st.booleans())
def test_the_same_ids_and_the_same_faults(lines: list[str], end: str, ended: bool) -> None:
    text = HEAD + end.join(lines).encode() + (end.encode() if ended else b"")
    assert _read(text, whole=False) == _read(text, whole=True)


def test_bytes_that_are_no_text_are_told() -> None:
    text = HEAD + b"g1\tna\t1\t2\ng2\t\xff\t1\t2\ng3\tna\t1\t2\n"
    ids, faults = _read(text, whole=False)
    assert ids == ["g1", "g3"]
    assert (ids, faults) == _read(text, whole=True)


@given(st.lists(st.sampled_from(["g1", "g2", "g3", "g1 "]), min_size=3, max_size=3))
def test_ids_that_are_not_kept_are_checked_all_the_same(ids: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.gct")
        path.write_bytes(HEAD + "".join(f"{one}\tna\t1\t2\n" for one in ids).encode())
        lean, full = inspect(path, row_ids=False), inspect(path)
    assert (lean.problems, lean.shape, lean.columns) == (full.problems, full.shape, full.columns)
    assert lean.rows.ids == (() if len(set(ids)) == 3 else full.rows.ids)
    assert bool(lean.problems) == (len(set(ids)) < 3)


def test_many_ids_are_compared_without_being_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.gct"
    rows = [f"g{row}\tna\t1\n" for row in range(120_000)]
    head = "#1.2\n120000\t1\nName\tDescription\ts1\n"
    path.write_text(head + "".join(rows))
    assert inspect(path, row_ids=False).problems == ()
    rows[-1] = rows[7]
    path.write_text(head + "".join(rows))
    assert "row id 'g7' is already on line 11" in inspect(path, row_ids=False).problems[0]
