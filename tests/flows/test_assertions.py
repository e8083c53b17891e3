"""Assertions in the form of a flow and in its final state."""

import pytest
from pydantic import ValidationError

from cli.options import Running
from cli.working import run_parameters
from flows.parameters import ExecutionForm
from flows.states import final_state, message_of
from polly_core.models.run import ItemState, RunOptions, StopReason
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
