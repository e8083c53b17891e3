"""Ctrl-C while a run is planned at a terminal."""

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.cli.test_commands import User
from tests.support.atlas import running_atlas
from tests.support.datasets import fill

NUMBER = 60


def test_while_it_plans_the_run_stops_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"D{n:04}" for n in range(NUMBER)]
    with running_atlas(tmp_path / "data", "--delay-ms", "200") as atlas:
        atlas_id = atlas.new_atlas()
        fill(atlas, atlas_id, {name: {"organism": "human"} for name in names})
        user = User(atlas, atlas_id, tmp_path, capsys)
        ids = user.file("ids.txt", "\n".join(names))
        # Each dataset is asked for on its own: twelve seconds.
        words = ("--ids", ids, "--set", "a=1", "--concurrency", "1", "--dry-run")
        timer = threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            said = user.update(*words)
        finally:
            timer.cancel()
        assert said.code == 130, said.err
        assert "stopped (interrupted)" in said.out
        run_id = said.out.partition("go on with: polly-bulk resume ")[2].split()[0]
        shown = user.types("show", run_id, "--output", "json").document()
        assert (shown["state"], shown["exit_code"]) == ("stopped", 130)
