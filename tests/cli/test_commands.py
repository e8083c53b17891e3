"""Commands as a user types them, against a real atlas: what they print and exit with."""

import io
import json
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import COMMANDS, main
from polly_core.models.jsonvalue import JsonObject
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str

    def document(self) -> JsonObject:
        found: JsonObject = json.loads(self.out)
        return found


class User:
    """Someone at a shell, without a terminal to be asked at."""

    def __init__(
        self,
        atlas: RunningAtlas,
        atlas_id: str,
        home: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.atlas_id = atlas_id
        self.home = home
        self.capsys = capsys
        self.environment = {
            "POLLY_API_URL": atlas.api_url,
            "POLLY_API_KEY": atlas.api_key,
            "POLLY_HOME": str(home / "polly"),
        }

    def types(self, *words: str, stdin: str = "", **environment: str) -> Said:
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            with pytest.raises(SystemExit) as ended:
                main(list(words))
        out, err = self.capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    def update(self, *words: str, stdin: str = "", **environment: str) -> Said:
        return self.types("update", "--atlas", self.atlas_id, *words, stdin=stdin, **environment)

    def file(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text)
        return str(path)


@pytest.fixture(scope="module")
def filled(atlas: RunningAtlas) -> str:
    """An atlas with twelve datasets that no test here writes."""
    atlas_id = atlas.new_atlas()
    fill(atlas, atlas_id, {f"D{n:04}": {"organism": "human", "n": n} for n in range(12)})
    return atlas_id


@pytest.fixture
def user(
    atlas: RunningAtlas, filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    return User(atlas, filled, tmp_path, capsys)


def test_a_dry_run_shows_the_plan_and_can_be_looked_at_later(user: User) -> None:
    said = user.update("--set", "reviewed=true", "--dry-run", "--output", "json")
    assert said.code == 0, said.err
    document = said.document()
    assert document["state"] == "planned"
    assert document["plan"]["counts"] == {"planned": 12}  # type: ignore[index,call-overload]
    run_id = str(document["run_id"])
    shown = user.types("show", run_id[:13], "--plan")
    assert "12 to be written" in shown.out
    assert f"polly-bulk resume {run_id}" in shown.out
    listed = user.types("runs", "--output", "json")
    assert [run["run_id"] for run in json.loads(listed.out)] == [run_id]
    report = user.types("report", run_id, "--format", "csv", "--only", "not-processed")
    assert len(report.out.splitlines()) == 13
    again = user.update(
        "--manifest", user.file("again.csv", report.out), "--set", "a=1", "--dry-run"
    )
    assert "12 to be written" in again.out, again.err


def test_a_plan_that_was_edited_or_is_for_another_catalog_is_refused(
    user: User, atlas: RunningAtlas
) -> None:
    plan = str(user.home / "plan.jsonl")
    said = user.types(
        "plan", "update", "--atlas", user.atlas_id, "--set", "reviewed=true", "-o", plan
    )
    assert said.code == 0, said.err
    text = Path(plan).read_text()
    edited = user.file("edited.jsonl", text.replace('"value":true', '"value":false', 1))
    refused = user.types("apply", edited, "--yes")
    assert refused.code == 2
    assert "changed by hand" in refused.err
    lines = text.splitlines(keepends=True)
    cut = user.types("apply", user.file("cut.jsonl", "".join(lines[:-1])), "--yes")
    assert cut.code == 2, cut
    elsewhere = user.types(
        "apply", plan, "--yes", POLLY_API_URL=atlas.api_url.replace("127.0.0.1", "localhost")
    )
    assert elsewhere.code == 2, elsewhere
    assert "belongs to" in elsewhere.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dataset_id,metadata.a\nD0000,1\nD0000,2\n", "line 3"),
        ("id,metadata.a\nD0000,1\n", "dataset_id"),
        ("dataset_id,metadata.a,metadata.a.b\nD0000,1,2\n", "metadata.a"),
        ("dataset_id,metadata.a\n,1\n", "line 2"),
        ("", "empty"),
        ("dataset_id,note\nD0000,1\n", "did you mean metadata.note?"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused_with_its_line(
    user: User, text: str, told: str
) -> None:
    said = user.update("--manifest", user.file("manifest.csv", text), "--dry-run")
    assert said.code == 2, said
    assert told in said.err


def test_a_step_that_fails_on_some_items_makes_those_invalid(user: User) -> None:
    change = user.file(
        "change.yaml",
        "steps:\n"
        "  - rename: absent\n    to: present\n    when: dataset_id == 'D0003'\n"
        "  - set: seen\n    value: true\n",
    )
    said = user.update("--change", change, "--dry-run", "--output", "json")
    counts = said.document()["plan"]["counts"]  # type: ignore[index,call-overload]
    assert counts == {"invalid": 1, "planned": 11}
    assert "absent" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--set", "a=1"), "--yes"),
        ((), "nothing is to be changed"),
        (("--set", "a=1", "--where", "metadata.organism ==", "--dry-run"), "--where"),
        (("--set", "a=1", "--budget", "lots", "--dry-run"), "--budget"),
        (("--set", "a=1", "--run-id", "7", "--dry-run"), "--run-id"),
        (("--set", "a=1", "--study", "S", "--ids", "-", "--dry-run"), "one source"),
        (("--change", "absent.yaml", "--dry-run"), "absent.yaml"),
    ],
)
def test_wrong_usage_exits_with_2(user: User, words: tuple[str, ...], told: str) -> None:
    said = user.update(*words)
    assert said.code == 2, said
    assert told in said.err


def test_what_surrounds_a_run_and_is_wrong_exits_with_3(user: User) -> None:
    change = ("--set", "a=1", "--dry-run")
    wrong_key = user.update(*change, POLLY_API_KEY="wrong")
    assert (wrong_key.code, "401" in wrong_key.err) == (3, True), wrong_key
    no_key = user.update(*change, POLLY_API_KEY="")
    assert no_key.code in {2, 3}
    assert "POLLY_API_KEY" in no_key.err
    no_server = user.update(*change, POLLY_API_URL="http://127.0.0.1:9")
    assert no_server.code == 3
    assert "127.0.0.1:9" in no_server.err
    no_ledger = user.update(*change, POLLY_LEDGER_URL=f"sqlite:///{user.home}/absent/l.db")
    assert no_ledger.code in {0, 3}, no_ledger


def test_a_ledger_from_a_newer_version_is_refused(user: User) -> None:
    assert user.types("runs").code == 0
    path = user.home / "polly" / "ledger.db"
    with sqlite3.connect(path) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        [name] = [table for table in tables if "schema" in table]
        database.execute(f"UPDATE {name} SET version = version + 1")
    database.close()
    said = user.types("runs")
    assert said.code == 3
    assert "newer" in said.err


def test_a_run_id_is_bound_to_its_spec(user: User) -> None:
    run_id = "3a4a1f6e-8d37-4b8e-9a64-2f2f4f0f1a11"
    first = user.update("--set", "a=1", "--run-id", run_id, "--dry-run")
    assert first.code == 0, first.err
    other = user.update("--set", "a=2", "--run-id", run_id, "--dry-run")
    assert other.code == 2
    assert run_id in other.err
    same = user.update("--set", "a=1", "--run-id", run_id, "--dry-run")
    assert same.code == 0, same.err


def test_unknown_runs_are_named(user: User) -> None:
    for words in (("show",), ("report",), ("resume",), ("verify",)):
        said = user.types(*words, "5b1d2c3e-0000-0000-0000-000000000000")
        assert said.code == 2, said
        assert "5b1d2c3e" in said.err


def test_ids_may_come_from_standard_input(user: User) -> None:
    said = user.update(
        "--set", "a=1", "--ids", "-", "--dry-run", "--output", "json", stdin="D0001\nD0002\n"
    )
    assert said.document()["plan"]["counts"] == {"planned": 2}  # type: ignore[index,call-overload]


def test_a_problem_of_standard_input_is_told_as_such(user: User) -> None:
    said = user.update("--set", "a=1", "--ids", "-", "--dry-run", stdin="D0001\nD 2\n")
    assert said.code == 2
    assert re.search(r"standard-input-[0-9a-f]{16}\.txt cannot be used:\s+line 2: ", said.err)


def test_no_secret_is_printed(user: User, atlas: RunningAtlas) -> None:
    said = user.update("--set", "a=1", "--dry-run", "--output", "json")
    assert atlas.api_key not in said.out + said.err
    spec = user.types("show", str(said.document()["run_id"]), "--output", "json")
    assert atlas.api_key not in spec.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f" {name} " in capsys.readouterr().out
