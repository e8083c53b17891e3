"""Every damaged GCT file gets a message with file, line, expected and found."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from polly_core.errors import InvalidInput, PayloadError
from polly_core.payloads.gct import read_gct

GctFile = Callable[..., Path]

HEAD = ["#1.3", "2|2|1|1", "id|a|s1|s2", "c|-666|x|y"]
ROWS = ["r1|p|1|2", "r2|q|3|4"]


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (["#1.4"], 1, "expected '#1.2' or '#1.3' and nothing else, found '#1.4'"),
        (["#1.3 GCT"], 1, "expected '#1.2' or '#1.3' and nothing else"),
        (["#1.3"], 1, "expected 4 numbers between tabs .* found the end of the file"),
        (["#1.3", "2|2"], 2, "expected 4 numbers between tabs .* found '2\\\\t2'"),
        (["#1.2", "2|2|1|1"], 2, "expected 2 numbers between tabs"),
        (["#1.3", "2|x|1|1"], 2, "expected 4 numbers"),
        (["#1.3", "2|-2|1|1"], 2, "expected 4 numbers"),
        (["#1.3", "2|2|1|" + "9" * 5000], 2, "expected 4 numbers"),
        (["#1.3", "900000000|900000000|0|0", "id"], 3, "expected 900000001 cells, found 1"),
        (["#1.3", "900000000|1|0|0", "id|s"], 2, "declares 900000000 rows and 1 columns, more"),
        ([*HEAD[:2]], 3, "expected the line of column ids, found the end of the file"),
        ([*HEAD[:2], "id|a|s1"], 3, "expected 4 cells, found 3"),
        ([*HEAD[:2], "id|a|s1|s2|s3"], 3, "expected 4 cells, found 5"),
        ([*HEAD[:2], "id|a|s1|s1"], 3, "column id 's1' is there twice"),
        ([*HEAD[:2], "id|a|s1|"], 3, "expected column id 2, found an empty cell"),
        (["#1.3", "2|2|2|1", "id|a|a|s1|s2"], 3, "row annotation 'a' is there twice"),
        (HEAD[:3], 4, "expected column annotation 1 of 1, found the end of the file"),
        ([*HEAD[:3], "c|-666|x"], 4, "expected 4 cells, found 3"),
        ([*HEAD, ROWS[0]], 5, "expected 2 rows as line 2 declares, found 1 .*cut short"),
        ([*HEAD, *ROWS, "r3|r|5|6"], 7, "expected the end of the file after the 2 rows"),
        ([*HEAD, "r1|p|1", ROWS[1]], 5, "expected 4 cells, found 3: 'r1"),
        ([*HEAD, "r1|p|1|2|3", ROWS[1]], 5, "expected 4 cells, found 5"),
        ([*HEAD, ROWS[0], "", ROWS[1]], 6, "expected a row, found an empty line"),
        ([*HEAD, "|p|1|2", ROWS[1]], 5, "expected a row id, found an empty cell"),
        ([*HEAD, ROWS[0], "r1|q|3|4"], 6, "row id 'r1' is already on line 5"),
        (
            [*HEAD, ROWS[0], "r2|q|3|4,5"],
            6,
            "expected a number in row 'r2', column 's2', found '4,5'; write decimals with a point",
        ),
        ([*HEAD, ROWS[0], "r2|q|abc|4"], 6, "row 'r2', column 's1', found 'abc'$"),
        ([*HEAD, ROWS[0], "r2|q|1_0|4"], 6, "found '1_0'$"),
        ([*HEAD, ROWS[0], "r2|q|0x1F|4"], 6, "found '0x1F'$"),
    ],
)
def test_faults(gct_file: GctFile, lines: list[str], line: int, message: str) -> None:
    path = gct_file(lines)
    with pytest.raises(PayloadError, match=message) as caught:
        read_gct(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert isinstance(caught.value, InvalidInput)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.gct"
    path.touch()
    with pytest.raises(PayloadError, match=r"expected '#1.2' or '#1.3', found an empty file"):
        read_gct(path)


def test_hdf5_content(tmp_path: Path) -> None:
    path = tmp_path / "x.gct"
    path.write_bytes(b"\x89HDF\r\n\x1a\n rest")
    with pytest.raises(PayloadError, match="expected GCT text, found HDF5"):
        read_gct(path)


@pytest.mark.parametrize("name", ["x.gctx", "x.h5ad", "X.GCTX.gz"])
def test_gct_content_under_an_hdf5_name(gct_file: GctFile, name: str) -> None:
    with pytest.raises(PayloadError, match=r"found GCT text; rename it to \.gct"):
        read_gct(gct_file([*HEAD, *ROWS], name=name))


def test_other_content(tmp_path: Path) -> None:
    path = tmp_path / "x.gct"
    path.write_text("id,s1\nr1,1\n")
    with pytest.raises(PayloadError, match=r"line 1: expected '#1.2' or '#1.3' .* found 'id,s1'"):
        read_gct(path)


def test_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.gct"
    text = "\n".join([*HEAD, "r1|na\u00efve|1|2", ROWS[1]]).replace("|", "\t")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PayloadError, match="line 5: expected UTF-8 text, found byte 0xef"):
        read_gct(path)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_gzip_cut_short(gct_file: GctFile, tmp_path: Path, keep: float) -> None:
    packed = gzip.compress(gct_file([*HEAD, *ROWS]).read_bytes())
    path = tmp_path / "x.gct.gz"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(PayloadError, match=r"the gzip stream is damaged or cut short"):
        read_gct(path)


def test_gzip_with_a_flipped_byte(gct_file: GctFile, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(gct_file([*HEAD, *ROWS]).read_bytes()))
    packed[-6] ^= 0xFF
    path = tmp_path / "x.gct.gz"
    path.write_bytes(packed)
    with pytest.raises(PayloadError, match="the gzip stream is damaged"):
        read_gct(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match=r"none\.gct: cannot be read: No such file"):
        read_gct(tmp_path / "none.gct")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="cannot be read: Is a directory"):
        read_gct(tmp_path)
