from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from polly_core.errors import InvalidInput, LedgerError, RunMismatch, RunNotFound
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Control, Wanted
from polly_core.models.catalog import AtlasId, CatalogRef, RunId
from polly_core.models.run import (
    Allowance,
    OperationName,
    RunOptions,
    RunSpec,
    RunState,
    StopReason,
    Verify,
)
from tests.ledger import house

RUN = house.run_id(1)
OPTIONS = RunOptions(concurrency=7, tolerate=Allowance.parse("2.5%"), verify=Verify.FULL)


def test_a_run_is_as_it_was_registered_also_after_reopening(ledger_url: str) -> None:
    with open_ledger(ledger_url) as first:
        made = first.create_run(RUN, house.spec(), OPTIONS, flow_run_id="f1")
    with open_ledger(ledger_url) as second:
        found = second.run(RUN)
    assert found == made
    assert (found.spec, found.options) == (house.spec(), OPTIONS)
    assert found.spec_digest == house.spec().digest()
    assert (found.state, found.total, found.plan_digest) == (RunState.SELECTING, None, None)
    assert found.flow_run_ids == ("f1",)
    assert found.created_at.tzinfo is not None
    assert abs(found.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_same_id_and_spec_finds_the_run(ledger: Ledger) -> None:
    ledger.create_run(RUN, house.spec(), OPTIONS, flow_run_id="f1")
    again = ledger.create_run(RUN, house.spec(), RunOptions(), flow_run_id="f2")
    assert again.options == OPTIONS
    assert again.flow_run_ids == ("f1", "f2")


@pytest.mark.parametrize(
    ("other", "member"),
    [
        (house.spec(step="tissue"), "change"),
        (house.spec(operation=OperationName.DELETE), "operation"),
        (
            house.spec(catalog=CatalogRef(api_url="http://elsewhere", atlas_id=AtlasId("9"))),
            "catalog",
        ),
    ],
)
def test_the_same_id_with_another_spec_is_refused(
    ledger: Ledger, other: RunSpec, member: str
) -> None:
    ledger.create_run(RUN, house.spec(), OPTIONS)
    with pytest.raises(RunMismatch) as refused:
        ledger.create_run(RUN, other, OPTIONS)
    said = str(refused.value)
    assert house.spec().digest() in said
    assert other.digest() in said
    assert f"{member}: " in said
    assert "selection: " not in said
    assert ledger.run(RUN).spec == house.spec()


def test_runs_of_an_origin(ledger: Ledger) -> None:
    other, undo, redo = (house.run_id(number) for number in (2, 3, 4))
    for run in (RUN, other):
        ledger.create_run(run, house.spec(), OPTIONS)
    made = ledger.create_run(undo, house.spec(operation=OperationName.UNDO), OPTIONS, origin=RUN)
    ledger.create_run(redo, house.spec(), OPTIONS, origin=undo)
    ledger.create_run(undo, house.spec(operation=OperationName.UNDO), OPTIONS, origin=other)
    assert made.origin == RUN
    assert ledger.runs_of_origin(RUN) == [made]
    assert [run.run_id for run in ledger.runs_of_origin(undo)] == [redo]
    assert ledger.runs_of_origin(other) == []
    assert ledger.run(RUN).origin is None


def test_an_origin_that_is_not_there_is_refused(ledger: Ledger) -> None:
    with pytest.raises(RunNotFound, match=house.run_id(2)):
        ledger.create_run(RUN, house.spec(), OPTIONS, origin=house.run_id(2))
    assert ledger.runs() == []


def test_an_unknown_run_is_not_found(ledger: Ledger) -> None:
    calls: list[Callable[[], object]] = [
        lambda: ledger.run(RUN),
        lambda: ledger.set_state(RUN, RunState.STOPPED),
        lambda: ledger.set_options(RUN, OPTIONS),
        lambda: ledger.set_plan_digest(RUN, "d"),
        lambda: ledger.seal(RUN),
        lambda: ledger.shards(RUN),
        lambda: ledger.runs_of_origin(RUN),
        lambda: ledger.approvals(RUN),
        lambda: ledger.approve(RUN, "d", 0, "curator"),
        lambda: ledger.control(RUN),
        lambda: ledger.set_control(RUN, Control()),
        lambda: ledger.begin_execution(RUN, process="p", lease_seconds=1),
    ]
    for call in calls:
        with pytest.raises(RunNotFound, match=RUN):
            call()


def test_a_run_is_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    first, second = RunId("abcdefgh-1"), RunId("abcdefgh-2")
    for run in (first, second):
        ledger.create_run(run, house.spec(), OPTIONS)
    assert ledger.find_run("abcdefgh-1").run_id == first
    with pytest.raises(InvalidInput, match="abcdefgh-1, abcdefgh-2"):
        ledger.find_run("abcdefgh")
    with pytest.raises(InvalidInput, match="8 characters"):
        ledger.find_run("abcdefg")
    for unknown in ("abcdefgx", "ABCDEFGH-1", "abcdefg%", "abcdefg_-1"):
        with pytest.raises(RunNotFound):
            ledger.find_run(unknown)


def test_a_whole_id_that_others_begin_with_is_found(ledger: Ledger) -> None:
    for run in ("short", "short-2"):
        ledger.create_run(RunId(run), house.spec(), OPTIONS)
    assert ledger.find_run("short").run_id == "short"


def test_runs_are_listed_newest_first(ledger: Ledger) -> None:
    for number in range(5):
        ledger.create_run(house.run_id(number), house.spec(), OPTIONS)
    listed = ledger.runs(limit=3)
    assert len(listed) == 3
    assert [run.created_at for run in listed] == sorted(
        (run.created_at for run in ledger.runs()), reverse=True
    )[:3]


def test_states_stop_reasons_and_what_may_be_changed(ledger: Ledger) -> None:
    house.freeze(ledger, RUN)
    ledger.set_state(RUN, RunState.STOPPED, stop=StopReason.BUDGET, message="too \0many \ud800bad")
    stopped = ledger.run(RUN)
    assert (stopped.state, stopped.stop) == (RunState.STOPPED, StopReason.BUDGET)
    assert stopped.message == "too �many ?bad"
    assert stopped.finished_at is None

    ledger.set_plan_digest(RUN, "digest")
    ledger.set_options(RUN, OPTIONS)
    ledger.add_flow_run(RUN, "f1")
    ledger.add_flow_run(RUN, "f1")
    ledger.set_state(RUN, RunState.FINISHED)
    finished = ledger.run(RUN)
    assert (finished.stop, finished.message) == (None, "")
    assert finished.finished_at is not None
    assert (finished.plan_digest, finished.options) == ("digest", OPTIONS)
    assert finished.flow_run_ids == ("f1",)

    ledger.set_state(RUN, RunState.RUNNING)
    assert ledger.run(RUN).finished_at is None


def test_states_agree_with_the_selection(ledger: Ledger) -> None:
    ledger.create_run(RUN, house.spec(), OPTIONS)
    ledger.set_state(RUN, RunState.STOPPED, stop=StopReason.CANCELLED)
    with pytest.raises(LedgerError, match="not frozen yet"):
        ledger.set_state(RUN, RunState.RUNNING)
    ledger.seal(RUN)
    with pytest.raises(LedgerError, match="selection is frozen"):
        ledger.set_state(RUN, RunState.SELECTING)


def test_control_is_what_was_last_said(ledger: Ledger) -> None:
    house.freeze(ledger, RUN)
    assert ledger.control(RUN) == Control()
    wanted = Control(wanted=Wanted.PAUSE, concurrency=3)
    ledger.set_control(RUN, wanted)
    assert ledger.control(RUN) == wanted
    assert ledger.standing(RUN).control == wanted
