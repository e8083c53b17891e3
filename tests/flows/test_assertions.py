"""Assertions in the form of a flow and in its final state."""

from uuid import UUID

import pytest
from pydantic import ValidationError

from cli.options import Running
from cli.working import run_parameters
from flows.parameters import ExecutionForm
from flows.states import final_state, message_of
from polly_core.models.run import ItemState, RunOptions, RunSummary, StopReason
from tests.flows.conftest import Bench, human
from tests.flows.test_states import summary_of

TEXT = "metadata.organism == 'Homo sapiens'"
WELL = {ItemState.APPLIED: 5}


def test_what_is_given_is_what_the_core_gets() -> None:
    options = ExecutionForm(assertions=[TEXT, TEXT]).options()
    assert options is not None
    assert options.assertions == (TEXT,)


def test_the_command_line_gives_it_to_the_form() -> None:
    running = Running(run_id=None, options=RunOptions(assertions=(TEXT,)), dry_run=False, yes=True)
    form = ExecutionForm.model_validate({**run_parameters(running), "yes": True})
    assert form.options() == running.options


def test_what_is_no_expression_is_refused_when_the_form_is_filled_in() -> None:
    with pytest.raises(ValidationError, match="--assert: 'organism == `1`' asks for 'organism'"):
        ExecutionForm(assertions=["organism == `1`"])


def test_a_broken_assertion_fails_the_flow_run_and_is_told() -> None:
    summary = summary_of(WELL).model_copy(update={"broken": 2, "message": "2 written datasets …"})
    state = final_state(summary)
    assert state.is_failed()
    assert summary.exit_code == 1
    assert message_of(summary).endswith("broken=2 (2 written datasets …)")


def test_a_wave_that_was_not_as_asserted_ends_with_1() -> None:
    summary = summary_of(WELL, stop=StopReason.VERIFICATION)
    assert summary.exit_code == 1
    assert final_state(summary).is_failed()
    assert "stopped=verification" in message_of(summary)


@pytest.mark.timeout(240)
def test_the_flow_run_itself_fails_and_names_the_assertion(bench: Bench) -> None:
    bench.fill(human(4))
    text = "metadata.number < `3`"
    summary = bench.update(assertions=[text])
    assert summary.counts.by_state == {ItemState.APPLIED: 4}
    assert (summary.exit_code, summary.broken) == (1, 1)
    run = bench.client.read_flow_run(UUID(summary.run_id))
    assert run.state_name == "Failed"
    assert run.state is not None
    assert run.state.message == (
        f"ingestion_run_id={summary.run_id} ok=4/4 failed=0 broken=1 (1 written datasets break an "
        f"assertion, for example d0003: {text})"
    )
    assert RunSummary.model_validate(run.state.result(raise_on_failure=False)) == summary
