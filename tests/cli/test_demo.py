"""The demo as a user starts it: it tells its story to the end, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.test_demo_h5ad import H5AD, needs_h5ad

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo without the shared records, its temporary files below ``folder``."""
    with (folder / "output.txt").open("w") as output:
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from cli.main import main; main()",
                "demo",
                "--shared",
                str(folder / "none"),
                "--h5ad",
                str(H5AD),
            ],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), "HOME": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait()


def _said(folder: Path) -> str:
    return (folder / "output.txt").read_text()


def _wait_for(folder: Path, words: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while words not in _said(folder):
        assert time.monotonic() < deadline, _said(folder)
        time.sleep(0.1)


def _living_in(folder: Path) -> list[str]:
    """Processes whose command line or environment names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            described = command + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in described and int(process.name) != os.getpid():
            found.append(command.decode(errors="replace"))
    return found


def _left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("polly-bulk-demo-*")]


@needs_h5ad
@pytest.mark.timeout(400)
def test_the_story_is_told_to_the_end(tmp_path: Path) -> None:
    with _demo(tmp_path) as demo:
        code = demo.wait(360)
    said = _said(tmp_path)
    assert code == 0, said
    assert "332 data sets created" in said
    assert "$ kill -9" in said
    assert "332 of 332 written datasets are as promised" in said
    assert "332 data sets written by this run, 0 of them twice" in said
    assert "in the UI: http://127.0.0.1:" in said
    run_id = said.partition("--run-id ")[2].split()[0]
    assert f"ingestion_run_id={run_id} ok=332/332" in said
    assert _left_behind(tmp_path) == []
    assert _living_in(tmp_path) == []


@needs_h5ad
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)]
)
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with _demo(tmp_path) as demo:
        _wait_for(tmp_path, "2. Real data sets", 90)
        demo.send_signal(number)
        code = demo.wait(60)
    assert code == 130
    assert "interrupted" in _said(tmp_path)
    assert _left_behind(tmp_path) == []
    assert _living_in(tmp_path) == []
