"""Bundles: everything about a run, whole or not at all, and checked later."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.engine import sums
from polly_core.engine.bundle import Bundled, make_bundle
from polly_core.engine.process import this_process
from polly_core.engine.request import RunRequest
from polly_core.engine.sums import SUMS, check_sums, read_sums, sum_line
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import Batch, NewShard, ShardNo
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName, RunOptions, RunState
from polly_core.planning.plan import read_plan
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig
from tests.ledger import house

ALWAYS = {
    "README.txt", "SHA256SUMS", "approvals.json", "bundle.json", "executions.jsonl", "items.jsonl",
    "report.csv", "report.jsonl", "run.json", "shards.jsonl", "summary.json",
}  # fmt: skip


def _bundle(rig: Rig, run_id: str, target: Path, *, verify: bool = False) -> Bundled:
    verification = None
    if verify:
        with rig.session(RunRequest(run_id=RunId(run_id))) as session:
            verification = session.verify()
    with open_ledger(rig.ledger_url) as ledger:
        run = ledger.run(RunId(run_id))
        return make_bundle(ledger, run, str(target), home=rig.folder, verification=verification)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _lines(path: Path) -> list[JsonObject]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _document(path: Path) -> JsonObject:
    found: JsonObject = json.loads(path.read_text())
    return found


def _delete_two(rig: Rig) -> RunId:
    """A planned, approved deletion that saves what it takes away."""
    rig.fill(2)
    rig.fake.add_file("D0000", "notes ü.txt", content=b"notes")
    rig.fake.add_file("D0001", "a.csv", content=b"1,2\n")
    request = rig.request(operation=OperationName.DELETE, change={"save_bytes": True}, barrier=True)
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        session.approve(0, "Ada")
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    return request.run_id


def test_everything_about_a_run_is_in_it(rig: Rig, tmp_path: Path) -> None:
    run_id = _delete_two(rig)
    target = tmp_path / "record"
    made = _bundle(rig, run_id, target, verify=True)
    saved = {"saved/D0000/notes ü.txt", "saved/D0001/a.csv"}
    assert _names(target) == ALWAYS | saved | {"plan.jsonl", "verification.json"}
    assert (made.files, made.items, made.notes) == (len(_names(target)) - 1, 2, ())
    assert (target / "saved/D0000/notes ü.txt").read_bytes() == b"notes"
    run = _document(target / "run.json")
    assert (run["run_id"], run["state"]) == (run_id, "finished")
    plan = read_plan(target / "plan.jsonl")
    assert plan.footer.plan_digest == run["plan_digest"]
    assert [one.item.dataset_id for one in plan.items()] == ["D0000", "D0001"]
    items = _lines(target / "items.jsonl")
    assert [one["state"] for one in items] == ["applied", "applied"]
    first = items[0]["done"]
    assert isinstance(first, list)
    assert [step["step"] for step in first if isinstance(step, dict)] == ["save:notes ü.txt"]
    approvals = json.loads((target / "approvals.json").read_text())
    assert [(one["by"], one["plan_digest"]) for one in approvals] == [("Ada", run["plan_digest"])]
    summary = _document(target / "summary.json")
    assert summary["exit_code"] == 0
    assert _document(target / "verification.json")["kept"] == 2
    assert len(_lines(target / "executions.jsonl")) == 2
    assert [one["outcome"] for one in _lines(target / "report.jsonl")] == ["applied", "applied"]
    assert len((target / "report.csv").read_text().splitlines()) == 3


def test_sums_are_what_the_usual_tool_reads(rig: Rig, tmp_path: Path) -> None:
    made = _bundle(rig, _delete_two(rig), tmp_path / "record")
    checked = subprocess.run(
        ["sha256sum", "--strict", "--check", "--quiet", SUMS],
        cwd=tmp_path / "record",
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    found = check_sums(tmp_path / "record")
    assert (found.files, found.problems) == (made.files, ())


def test_a_run_that_was_planned_shard_by_shard_says_where_its_plan_is(
    rig: Rig, tmp_path: Path
) -> None:
    rig.fill(3)
    run_id = rig.run(rig.request()).run_id
    made = _bundle(rig, run_id, tmp_path / "record")
    assert _names(tmp_path / "record") == ALWAYS
    assert "items.jsonl" in made.notes[0]
    patches = [one["planned"] for one in _lines(tmp_path / "record/items.jsonl")]
    assert all(isinstance(one, dict) and one["patch"] for one in patches)


def _change_a_byte(folder: Path) -> None:
    path = folder / "report.jsonl"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _replace_by_a_link(folder: Path) -> None:
    kept = (folder / "items.jsonl").rename(folder.parent / "elsewhere")
    (folder / "items.jsonl").symlink_to(kept)


def _name_one_outside(folder: Path) -> None:
    with (folder / SUMS).open("a") as listed:
        listed.write(sum_line("0" * 64, "../ledger.db"))


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (_change_a_byte, "report.jsonl: it was changed: expected SHA-256"),
        (
            lambda folder: (folder / "saved/D0001/a.csv").unlink(),
            "saved/D0001/a.csv: it is missing",
        ),
        (lambda folder: (folder / "more.txt").write_text("x"), "more.txt: it is not in SHA256SUMS"),
        (_replace_by_a_link, "items.jsonl: it is missing"),
        (_name_one_outside, "../ledger.db: SHA256SUMS names a file outside"),
    ],
    ids=["changed", "missing", "added", "linked", "outside"],
)
def test_what_was_tampered_with_is_named(
    rig: Rig, tmp_path: Path, act: Callable[[Path], object], told: str
) -> None:
    target = tmp_path / "record"
    _bundle(rig, _delete_two(rig), target)
    act(target)
    (problem,) = check_sums(target).problems
    assert problem.startswith(told)


@pytest.mark.parametrize("content", ["not a sum\n", "abc  file\n", f"{'g' * 64}  file\n"])
def test_what_is_no_list_of_sums_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput, match="name the folder of a bundle"):
        check_sums(tmp_path)
    (tmp_path / SUMS).write_text(content)
    with pytest.raises(InvalidInput, match="SHA256SUMS, line 1: expected a SHA-256 sum"):
        check_sums(tmp_path)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_every_name_is_read_as_it_was_written(name: str) -> None:
    assert sums._parsed(sum_line("0" * 64, name).removesuffix("\n"), "here") == ("0" * 64, name)


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_nothing_is_overwritten(rig: Rig, tmp_path: Path, kind: str) -> None:
    rig.fill(1)
    run_id = rig.run(rig.request()).run_id
    target = tmp_path / "record"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="is there already"):
        _bundle(rig, run_id, target)
    with pytest.raises(InvalidInput, match="there is no folder"):
        _bundle(rig, run_id, tmp_path / "absent" / "record")


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_saved_files_that_are_elsewhere_or_changed_leave_nothing(rig: Rig, tmp_path: Path) -> None:
    run_id = _delete_two(rig)
    saved = rig.folder / "saved" / run_id / "D0001" / "a.csv"
    kept = saved.rename(tmp_path / "kept")
    with pytest.raises(CannotProceed, match=r"saved of dataset D0001 is not on this machine"):
        _bundle(rig, run_id, tmp_path / "record")
    saved.write_bytes(b"other")
    with pytest.raises(CannotProceed, match=r"a\.csv of dataset D0001 was changed: expected"):
        _bundle(rig, run_id, tmp_path / "record")
    assert not (tmp_path / "record").exists()
    assert _parts(tmp_path) == []
    kept.replace(saved)
    assert _bundle(rig, run_id, tmp_path / "record").items == 2


def test_a_home_folder_that_moved_is_no_harm(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "old", FakeCatalog("9"))
    rig.folder.mkdir()
    run_id = _delete_two(rig)
    moved = Path(shutil.move(rig.folder, tmp_path / "new"))
    rig = Rig(moved, rig.fake)
    _bundle(rig, run_id, tmp_path / "record")
    assert (tmp_path / "record/saved/D0001/a.csv").read_bytes() == b"1,2\n"


def test_a_place_that_cannot_be_written_is_told(rig: Rig) -> None:
    rig.fill(1)
    run_id = rig.run(rig.request()).run_id
    # Nobody can make a folder there, not even root.
    with pytest.raises(CannotProceed, match="cannot be written to /proc/record"):
        _bundle(rig, run_id, Path("/proc/record"))


def test_a_full_disk_leaves_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.fill(1)
    run_id = rig.run(rig.request()).run_id

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotProceed, match="No space left on device; nothing of it is left"):
        _bundle(rig, run_id, tmp_path / "record")
    assert not (tmp_path / "record").exists()
    assert _parts(tmp_path) == []


def test_a_run_that_is_being_executed_is_not_bundled(rig: Rig, tmp_path: Path) -> None:
    rig.fill(1)
    run_id = rig.run(rig.request()).run_id
    with open_ledger(rig.ledger_url) as ledger:
        execution = ledger.begin_execution(run_id, process=this_process(), lease_seconds=600)
        with pytest.raises(CannotProceed, match="is being executed by"):
            _bundle(rig, run_id, tmp_path / "record")
        ledger.end_execution(execution)
    _bundle(rig, run_id, tmp_path / "record")


def test_an_item_that_was_planned_again_is_told(rig: Rig, tmp_path: Path) -> None:
    rig.fill(3)
    request = rig.request(barrier=True)
    rig.run(request)
    with open_ledger(rig.ledger_url) as ledger:
        ledger.set_plan_digest(request.run_id, "f" * 64)
    made = _bundle(rig, request.run_id, tmp_path / "record")
    assert "planned again after the plan ffffffffffff" in made.notes[0]
    assert _document(tmp_path / "record/bundle.json")["notes"] == list(made.notes)


def _big_ledger(url: str, items: int) -> RunId:
    """A finished, planned run of so many items; each has a manifest row and a plan."""
    run_id = house.run_id(1)
    with open_ledger(url) as ledger:
        ledger.create_run(run_id, house.spec(), RunOptions())
        for shard, first in enumerate(range(0, items, 1000)):
            frozen = tuple(
                item.model_copy(update={"row": {"metadata.note": f"{item.seq} {'x' * 200}"}})
                for item in house.items(first, 1000)
            )
            ledger.add_shard(run_id, NewShard(shard=ShardNo(shard), items=frozen))
        ledger.seal(run_id)
        execution = ledger.begin_execution(run_id, process="made", lease_seconds=600)
        for shard, first in enumerate(range(0, items, 1000)):
            claim = ledger.claim_shard(run_id, ShardNo(shard), execution)
            each = range(first, first + 1000)
            ledger.record_plans(claim, house.plans(each))
            ledger.commit(claim, Batch(sent=tuple(each)))
            ledger.commit(claim, house.applied(each))
            ledger.finish_shard(claim)
        ledger.end_execution(execution)
        ledger.set_plan_digest(run_id, "0" * 64)
        ledger.set_state(run_id, RunState.FINISHED)
    return run_id


PEAKS = """
import sys
from pathlib import Path
from polly_core.engine.bundle import make_bundle
from polly_core.ledger.ledger import open_ledger
from tests.support.memory import peak_kib
for folder in map(Path, sys.argv[1:]):
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        (run,) = ledger.runs()
        made = make_bundle(ledger, run, str(folder / "record"), home=folder)
    print(made.items, peak_kib())
"""


def test_memory_is_flat_in_the_number_of_items(tmp_path: Path) -> None:
    numbers = (2_000, 20_000)
    for number in numbers:
        (tmp_path / str(number)).mkdir()
        _big_ledger(f"sqlite:///{tmp_path / str(number) / 'ledger.db'}", number)
    ended = subprocess.run(
        [sys.executable, "-c", PEAKS, *(str(tmp_path / str(number)) for number in numbers)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split() for line in ended.stdout.splitlines()]
    assert [int(items) for items, _ in found] == list(numbers)
    small, large = (int(kilobytes) for _, kilobytes in found)
    # The items' text alone is more than that.
    assert large - small < 10_000
    size = (tmp_path / "20000" / "record" / "items.jsonl").stat().st_size
    assert size > 15_000_000


def test_the_names_of_sums_are_streamed_in_order(rig: Rig, tmp_path: Path) -> None:
    rig.fill(1)
    _bundle(rig, rig.run(rig.request()).run_id, tmp_path / "record")
    names = [name for _, name in read_sums(tmp_path / "record" / SUMS)]
    assert set(names) == ALWAYS - {SUMS}
    assert names[-1] == "bundle.json"
    assert DatasetId("D0000") in (tmp_path / "record/items.jsonl").read_text()
