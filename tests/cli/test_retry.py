"""``polly-bulk retry``: what did not end well is planned again and done."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from polly_core.models.jsonvalue import JsonObject
from tests.cli.test_commands import User
from tests.support.atlas import REPOSITORY, RunningAtlas, polly_bulk
from tests.support.datasets import fill
from tests.support.prefect import PrefectServer
from tests.support.wire import WireCaller

pytestmark = pytest.mark.timeout(300)

CHANGE = "steps:\n  - cast: age\n    to: int\n"


@pytest.fixture
def user(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    fill(atlas, atlas_id, {"D0": {"age": "41"}, "D1": {"age": "old"}, "D2": {"age": 7}})
    return User(atlas, atlas_id, tmp_path, capsys)


def _plan(user: User) -> str:
    change = user.file("change.yaml", CHANGE)
    said = user.update("--change", change, "--dry-run", "--output", "json")
    assert said.code == 1, said.err
    return str(said.document()["run_id"])


def test_it_asks_and_knows_when_there_is_nothing(user: User) -> None:
    run_id = _plan(user)
    asked = user.types("retry", run_id)
    assert asked.code == 2
    assert "--yes" in asked.err
    none = user.types("retry", run_id, "--only", "drifted", "--yes")
    assert f"nothing to retry: no item of run {run_id} ended so" in none.err
    assert user.types("retry", run_id, "--only", "applied").code == 2


def test_items_are_planned_again_as_the_datasets_stand_now(
    user: User, atlas: RunningAtlas, prefect_server: PrefectServer
) -> None:
    change = user.file("change.yaml", CHANGE)
    words = ("update", "--atlas", user.atlas_id, "--change", change, "--yes")
    environment = prefect_server.environment(user.environment)
    first = _finished(environment, *words)
    assert first["exit_code"] == 1
    told = user.types("report", str(first["run_id"])).out
    assert _states(first) == {"applied": 1, "invalid": 1, "unchanged": 1}, told
    caller = WireCaller(atlas.api_url, atlas.api_key)
    try:
        assert caller.update(user.atlas_id, "D1", metadata={"age": "9"}).status == 200
    finally:
        caller.close()
    again = _finished(environment, "retry", str(first["run_id"]), "--yes")
    assert again["run_id"] == first["run_id"]
    assert again["exit_code"] == 0
    assert _states(again) == {"applied": 2, "unchanged": 1}


def _states(document: JsonObject) -> dict[str, int]:
    counts = document["counts"]
    assert isinstance(counts, dict)
    states = counts["by_state"]
    assert isinstance(states, dict)
    return {name: int(str(number)) for name, number in states.items() if number}


def _finished(environment: Mapping[str, str], *words: str) -> JsonObject:
    """In a process of its own: Prefect reads its settings once."""
    done = subprocess.run(
        polly_bulk(*words, "--output", "json"),
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout, done.stderr
    found: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return found
