"""A file is there wholly or not at all."""

import os
import stat
from pathlib import Path

import pytest

from polly_core.errors import PayloadError
from polly_core.payloads.atomic import replaced_when_done


def test_takes_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "x.gct"
    target.write_text("old")
    with replaced_when_done(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
        assert part.parent == tmp_path
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.gct"
    target.write_text("old")

    def write_half() -> None:
        with replaced_when_done(target) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_disk_errors_name_the_file(tmp_path: Path) -> None:
    full = pytest.raises(PayloadError, match=r"x\.gct: cannot be written: No space left")
    with full, replaced_when_done(tmp_path / "x.gct"):
        raise OSError(28, os.strerror(28))


def test_ordinary_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with replaced_when_done(tmp_path / "x") as part:
        part.touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
