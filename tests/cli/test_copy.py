"""``polly-bulk copy`` as a user types it: plans and refusals."""

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Said, User
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill


@pytest.fixture(scope="module")
def filled(atlas: RunningAtlas) -> str:
    """A source that no test here writes."""
    atlas_id = atlas.new_atlas()
    fill(atlas, atlas_id, {f"D{n:04}": {"n": n} for n in range(4)})
    return atlas_id


@pytest.fixture(scope="module")
def target(atlas: RunningAtlas) -> str:
    """A destination that has two of them, one of them equal; no test here writes it."""
    atlas_id = atlas.new_atlas()
    fill(atlas, atlas_id, {"D0000": {"n": 0}, "D0001": {"n": -1}, "theirs": {}})
    return atlas_id


@pytest.fixture
def user(
    atlas: RunningAtlas, filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    return User(atlas, filled, tmp_path, capsys)


def _plan(user: User, target: str, *words: str) -> Said:
    return user.types(
        "copy", "--from", user.atlas_id, "--to", target, *words, "--dry-run", "--output", "json"
    )


def test_plans_what_the_options_say(user: User, target: str) -> None:
    renamed = user.file("renamed.csv", "dataset_id,from_dataset_id\nanother,D0002\n")
    plans = {
        (): {"invalid": 2, "planned": 2},
        ("--existing", "skip"): {"planned": 2, "skipped": 2},
        ("--existing", "overwrite"): {"planned": 3, "unchanged": 1},
        ("--existing", "overwrite", "--no-files"): {"planned": 3, "unchanged": 1},
        ("--existing", "promote"): {"invalid": 1, "planned": 2, "unchanged": 1},
        ("--where", "metadata.n > `2`"): {"planned": 1},
        ("--manifest", renamed): {"planned": 1},
    }
    for words, counts in plans.items():
        said = _plan(user, target, *words)
        assert said.code == ("invalid" in counts), said.err
        assert json.loads(said.out)["plan"]["counts"] == counts, words


def test_a_conflict_stands_in_the_plan(user: User, target: str) -> None:
    said = user.types(
        "copy", "--from", user.atlas_id, "--to", target, "--existing", "promote", "--dry-run"
    )
    assert said.code == 1, said.err
    assert "new: not at the destination yet" in said.out
    assert "no copy between them is recorded" in said.out


def test_a_plan_file_of_a_copy(user: User, target: str) -> None:
    path = user.home / "plan.jsonl"
    words = ("--from", user.atlas_id, "--to", target, "--existing", "newer", "-o", str(path))
    said = user.types("plan", "copy", *words)
    assert said.code == 0, said.err
    head = json.loads(path.read_text().splitlines()[0])
    assert head["spec"]["change"] == {
        "from_atlas": user.atlas_id,
        "existing": "newer",
        "files": True,
        "save_bytes": False,
    }
    assert head["spec"]["catalog"]["atlas_id"] == target


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "x"), "--from"),
        (("--from", "x"), "--to"),
        (("--from", "TARGET", "--to", "TARGET", "--dry-run"), "from_dataset_id"),
        (("--from", "no-such-atlas", "--to", "TARGET", "--dry-run"), "check --from"),
        (("--from", "x", "--to", "TARGET", "--existing", "perhaps", "--dry-run"), "perhaps"),
    ],
)
def test_wrong_usage_exits_with_2(
    user: User, target: str, words: tuple[str, ...], told: str
) -> None:
    said = user.types("copy", *(target if word == "TARGET" else word for word in words))
    assert said.code == 2, said
    assert told in said.err
