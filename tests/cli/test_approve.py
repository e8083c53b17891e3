"""Approval on the command line: bound to the plan, recorded with who gave it."""

import io
from pathlib import Path

import pytest

from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import AtlasId, CatalogRef, RunId
from polly_core.models.run import OperationName, RunOptions, RunSpec
from polly_core.models.selection import Selection
from tests.cli.test_commands import Said, User
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill


@pytest.fixture
def user(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    fill(atlas, atlas_id, {f"D{n:04}": {"organism": "human"} for n in range(3)})
    return User(atlas, atlas_id, tmp_path, capsys)


def planned(user: User) -> tuple[RunId, str]:
    said = user.update("--set", "reviewed=true", "--dry-run", "--output", "json")
    assert said.code == 0, said.err
    document = said.document()
    return RunId(str(document["run_id"])), str(document["plan_digest"])


def approvals(user: User, run_id: RunId) -> list[tuple[str, int, str]]:
    with open_ledger(f"sqlite:///{user.environment['POLLY_HOME']}/ledger.db") as ledger:
        return [(one.plan_digest, one.wave, one.by) for one in ledger.approvals(run_id)]


def test_it_shows_the_plan_and_records_who(user: User) -> None:
    run_id, digest = planned(user)
    said = user.types("approve", run_id, "--digest", digest, "--by", "Ada")
    assert said.code == 0, said.err
    assert "3 to be written" in said.out
    assert digest in said.out
    assert "approved, by Ada" in said.out
    # The first of a plan stays; its beginning names a digest as well.
    again = user.types("approve", run_id, "--digest", digest[:12], "--by", "Bo", "--output", "json")
    assert again.document()["by"] == "Ada"
    assert approvals(user, run_id) == [(digest, 0, "Ada")]
    for number in ("1", "2"):
        wave = user.types("approve", run_id[:8], "--wave", number, "--digest", digest)
        assert wave.code == 0, wave.err
    assert [number for _, number, _ in approvals(user, run_id)] == [0, 2]
    assert approvals(user, run_id)[1][2]


def test_what_is_no_approval_of_the_plan_is_refused(user: User) -> None:
    run_id, digest = planned(user)
    other = user.types("approve", run_id, "--digest", "beef" * 16)
    assert other.code == 2
    assert digest in other.err
    assert user.types("approve", run_id, "--digest", digest[:4]).code == 2
    silent = user.types("approve", run_id)
    assert silent.code == 2
    assert "--digest" in silent.err
    assert user.types("approve", run_id, "--wave", "0", "--digest", digest).code == 2
    assert approvals(user, run_id) == []


@pytest.mark.parametrize(("reply", "code", "recorded"), [("n\n", 130, 0), ("y\n", 0, 1)])
def test_at_a_terminal_it_asks(
    user: User, monkeypatch: pytest.MonkeyPatch, reply: str, code: int, recorded: int
) -> None:
    run_id, _ = planned(user)

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    said = typed_at(user, Terminal(io.BytesIO(reply.encode())), "approve", run_id)
    assert said.code == code, said
    assert "3 to be written" in said.out
    assert len(approvals(user, run_id)) == recorded


def typed_at(user: User, terminal: io.TextIOWrapper, *words: str) -> Said:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("io.TextIOWrapper", lambda _bytes: terminal)
        return user.types(*words)


def test_a_run_without_a_plan_is_refused(user: User) -> None:
    run_id = RunId("0b8f6d2e-0c4e-4a53-9f6e-2f1f2f3a4b5c")
    user.types("runs")
    with open_ledger(f"sqlite:///{user.environment['POLLY_HOME']}/ledger.db") as ledger:
        spec = RunSpec(
            catalog=CatalogRef(api_url="https://polly.test", atlas_id=AtlasId("9")),
            operation=OperationName.UPDATE,
            change={"steps": [{"unset": "a"}]},
            selection=Selection(),
        )
        ledger.create_run(run_id, spec, RunOptions())
    said = user.types("approve", run_id, "--digest", "beef" * 16)
    assert said.code == 2
    assert "no plan yet" in said.err
