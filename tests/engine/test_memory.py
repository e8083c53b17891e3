"""Memory is flat in the number of datasets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.atlas import REPOSITORY


def _peak(number: int, folder: Path) -> int:
    """Peak resident KiB of a process that updates so many datasets."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.lean", str(number), str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["counts"] == {"applied": number}
    return int(said["peak_kib"])


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_take_little_more_than_ten_thousand(tmp_path: Path) -> None:
    small = _peak(10_000, tmp_path / "small")
    large = _peak(100_000, tmp_path / "large")
    assert large <= 1.2 * small, f"{small} KiB for 10,000, {large} KiB for 100,000"
    assert small <= 200 * 1024


def test_four_thousand_take_little_more_than_one_thousand(tmp_path: Path) -> None:
    """A quick look; the long form is a soak test."""
    small = _peak(1_000, tmp_path / "small")
    large = _peak(4_000, tmp_path / "large")
    assert large <= 1.2 * small, f"{small} KiB for 1,000, {large} KiB for 4,000"
