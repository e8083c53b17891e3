"""Rollback, delete, attach, detach, study and ingest as a user types them: plans and refusals."""

import json
from pathlib import Path

import pytest

from polly_core.models.jsonvalue import JsonObject
from tests.cli.test_commands import User
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill


@pytest.fixture(scope="module")
def filled(atlas: RunningAtlas) -> str:
    """An atlas with datasets that no test here writes."""
    atlas_id = atlas.new_atlas()
    fill(atlas, atlas_id, {f"D{n:04}": {"n": n} for n in range(4)})
    return atlas_id


@pytest.fixture
def user(
    atlas: RunningAtlas, filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    return User(atlas, filled, tmp_path, capsys)


def _counts(user: User, operation: str, *words: str) -> JsonObject:
    """What a dry run plans."""
    said = user.types(operation, "--atlas", user.atlas_id, *words, "--dry-run", "--output", "json")
    document = json.loads(said.out)
    found: JsonObject = document["plan"]["counts"]
    # A gate in front of the run sees that items are refused.
    assert said.code == document["exit_code"] == (1 if "invalid" in found else 0), said.err
    return found


def test_an_empty_list_of_ids_is_not_taken_for_the_whole_run(user: User) -> None:
    ids = user.file("ids.txt", "D0000\n")
    words = ("--ids", ids, "--dry-run", "--output", "json")
    said = user.types("delete", "--atlas", user.atlas_id, *words)
    run_id = json.loads(said.out)["run_id"]
    none = user.file("none.txt", "# none\n")
    said = user.types("undo", run_id, "--ids", none, "--yes")
    assert said.code == 2
    assert "--ids names no dataset" in said.err


def test_each_operation_plans_what_its_options_say(user: User) -> None:
    user.file("a.csv", "1,2\n")
    files = user.file("files.csv", "dataset_id,file,tag\nD0000,a.csv,raw\nD0001,a.csv,\n")
    names = user.file("names.csv", "dataset_id,file_name\nD0000,x.csv\n")
    urgent = user.file("urgent.csv", "dataset_id,priority\nD0000,high\nD0001,\n")
    versions = user.file("versions.csv", "dataset_id,version_id\nD0000,none\n")
    ids = user.file("ids.txt", "D0000\nD0001\n")
    plans = {
        ("delete", "--ids", ids, "--save-bytes"): {"planned": 2},
        ("study", "--to", "S1", "--where", "metadata.n > `1`"): {"planned": 2},
        ("study", "--leave"): {"unchanged": 4},
        ("ingest", "--col-metadata", "--no-data-required"): {"planned": 4},
        ("ingest", "--manifest", urgent, "--priority", "low"): {"planned": 2},
        ("attach", "--manifest", files, "--existing", "replace"): {"planned": 2},
        ("detach", "--manifest", names, "--missing", "skip"): {"skipped": 1},
        ("detach", "--manifest", names): {"invalid": 1},
        ("rollback", "--back", "1"): {"invalid": 4},
        ("rollback", "--as-of", "2020-01-01"): {"skipped": 4},
        ("rollback", "--as-of", "2099-01-01T00:00:00+01:00"): {"unchanged": 4},
        ("rollback", "--manifest", versions): {"invalid": 1},
    }
    for words, counts in plans.items():
        assert _counts(user, *words) == counts, words


def test_before_a_run_that_may_be_named_by_its_beginning(user: User) -> None:
    said = user.types("ingest", "--atlas", user.atlas_id, "--dry-run", "--output", "json")
    run_id = str(said.document()["run_id"])
    # It wrote nothing, so nothing is selected; what it saw is what stands.
    assert _counts(user, "rollback", "--before-run", run_id[:13]) == {}
    ids = user.file("ids.txt", "D0000\nD0003\n")
    assert _counts(user, "rollback", "--before-run", run_id, "--ids", ids) == {"unchanged": 2}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("study",), "--to"),
        (("study", "--to", "S1", "--leave"), "keep one of them"),
        (("rollback",), "--before-run"),
        (("rollback", "--back", "1", "--as-of", "2020-01-01"), "exclude each other"),
        (("rollback", "--as-of", "yesterday"), "--as-of"),
        (("rollback", "--before-run", "5b1d2c3e-0000-0000-0000-000000000000"), "5b1d2c3e"),
        (("attach",), "--manifest"),
        (("detach",), "--manifest"),
        (("delete",), "--yes"),
    ],
)
def test_wrong_usage_exits_with_2(user: User, words: tuple[str, ...], told: str) -> None:
    operation, *others = words
    said = user.types(operation, "--atlas", user.atlas_id, *others)
    assert said.code == 2, said
    assert told in said.err


def test_a_plan_of_any_operation_is_a_file(user: User) -> None:
    plan = user.home / "plan.jsonl"
    said = user.types("plan", "delete", "--atlas", user.atlas_id, "-o", str(plan))
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    assert [line["planned"]["deletes"] for line in lines if "planned" in line] == [True] * 4
    assert "4 to be written" in said.out
