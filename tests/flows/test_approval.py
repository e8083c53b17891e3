"""Approval of a plan: by Prefect's form as the UI sends it, and by the ledger."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from uuid import UUID

import pytest
from prefect import flow, runtime
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelling, Running

from flows.approval import Answer, await_approval
from polly_core.errors import LedgerUnavailable
from tests.support.prefect import PrefectServer, eventually

pytestmark = pytest.mark.timeout(240)

DIGEST = "3f9c" * 16
OTHER = "beef" * 16


class Waiting:
    """A flow that waits for an approval in a thread of its own, and somebody who answers."""

    def __init__(self, server: PrefectServer, client: SyncPrefectClient) -> None:
        self.server = server
        self.client = client
        self.recorded: list[str] = []
        self.given_elsewhere = threading.Event()
        self.flow_run_id: UUID | None = None
        self._pool = ThreadPoolExecutor(1)

    def start(
        self, *, timeout: float = 120, approved: Callable[[], bool] | None = None
    ) -> "Future[Answer]":
        @flow(name="approval-test")
        def waits() -> dict[str, object]:
            self.flow_run_id = UUID(str(runtime.flow_run.id))
            answer = await_approval(
                "| field | datasets |\n|---|---|\n| organism | 12 |",
                DIGEST,
                2,
                approved=approved or self.given_elsewhere.is_set,
                record=self.recorded.append,
                timeout=timeout,
                poll_seconds=0.1,
            )
            state = self.client.read_flow_run(self.flow_run_id).state_name
            return {"approved": bool(answer), "message": answer.message, "state": state}

        def work() -> Answer:
            found = waits()
            assert isinstance(found, dict)
            assert found["state"] in {"Running", "Cancelling"}
            return Answer(approved=bool(found["approved"]), message=str(found["message"]))

        return self._pool.submit(copy_context().run, work)

    def paused(self, *, before: str = "") -> FlowRun:
        """The flow run when it is paused, with another question than ``before``."""

        def look() -> FlowRun | None:
            if self.flow_run_id is None:
                return None
            run = self.client.read_flow_run(self.flow_run_id)
            is_paused = run.state is not None and run.state.type is StateType.PAUSED
            return run if is_paused and self.key(run) != before else None

        return eventually(look, seconds=60, what="the question")

    def key(self, run: FlowRun) -> str:
        assert run.state is not None
        return run.state.state_details.pause_key or ""

    def question(self, run: FlowRun) -> str:
        """What the UI shows above the form."""
        assert run.state is not None
        keyset = run.state.state_details.run_input_keyset
        assert keyset is not None
        return self.client.read_flow_run_input(run.id, keyset["description"])

    def answer(self, **given: str) -> str:
        """Press 'Resume' with this; 'ACCEPT', or why it is refused."""
        assert self.flow_run_id is not None
        result = self.client.resume_flow_run(self.flow_run_id, run_input=given)
        if result.status is SetStateStatus.ACCEPT:
            return "ACCEPT"
        return str(getattr(result.details, "reason", result.status))

    def close(self) -> None:
        self.given_elsewhere.set()
        self._pool.shutdown()


@pytest.fixture
def waiting(prefect_server: PrefectServer) -> Iterator[Waiting]:
    with prefect_server.in_use() as client:
        found = Waiting(prefect_server, client)
        yield found
        found.close()


def test_the_form_shows_the_plan_and_refuses_what_is_no_approval_of_it(waiting: Waiting) -> None:
    """Prefect refuses bad input by the form's schema: the run stays paused and unapproved."""
    done = waiting.start()
    run = waiting.paused()
    text = waiting.question(run)
    assert DIGEST in text
    assert "wave 2" in text
    assert "| organism | 12 |" in text
    good = {"decision": "approve", "approved_by": "Ada", "plan_digest": DIGEST}
    for bad, named in (
        ({"plan_digest": OTHER}, "plan_digest"),
        ({"decision": "perhaps"}, "decision"),
        ({"approved_by": ""}, "approved_by"),
        ({"comment": "fine"}, "comment"),
    ):
        assert named in waiting.answer(**(good | bad)), bad
    assert waiting.key(waiting.paused()) == waiting.key(run)
    assert not done.done()
    assert waiting.recorded == []

    assert waiting.answer(**good) == "ACCEPT"
    assert done.result(60) == Answer(approved=True)
    assert waiting.recorded == ["Ada"]


def test_an_approval_without_digest_or_answer_is_asked_for_again(waiting: Waiting) -> None:
    done = waiting.start()
    first = waiting.paused()
    assert waiting.answer(decision="approve", approved_by="Ada") == "ACCEPT"
    second = waiting.paused(before=waiting.key(first))
    assert "Not accepted" in waiting.question(second)
    assert "Ada" in waiting.question(second)
    # As somebody does who sets the state by hand.
    waiting.client.set_flow_run_state(second.id, Running())
    third = waiting.paused(before=waiting.key(second))
    assert "without an answer" in waiting.question(third)
    assert waiting.recorded == []
    assert waiting.answer(decision="approve", approved_by="Bo", plan_digest=DIGEST) == "ACCEPT"
    assert done.result(60).approved
    assert waiting.recorded == ["Bo"]


def test_a_rejection_says_by_whom_and_records_no_approval(waiting: Waiting) -> None:
    done = waiting.start()
    waiting.paused()
    assert waiting.answer(decision="reject", approved_by="Ada") == "ACCEPT"
    assert done.result(60) == Answer(approved=False, message="rejected by Ada")
    assert waiting.recorded == []


def test_an_approval_on_the_command_line_lets_the_paused_flow_go_on(waiting: Waiting) -> None:
    done = waiting.start()
    waiting.paused()
    waiting.given_elsewhere.set()
    assert done.result(60) == Answer(approved=True)
    assert waiting.recorded == []


def test_what_was_approved_before_is_not_asked(waiting: Waiting) -> None:
    waiting.given_elsewhere.set()
    assert waiting.start().result(60).approved
    assert waiting.flow_run_id is not None
    states = waiting.client.read_flow_run_states(waiting.flow_run_id)
    assert StateType.PAUSED not in {state.type for state in states}


def test_nobody_answers(waiting: Waiting) -> None:
    answer = waiting.start(timeout=2).result(60)
    assert not answer
    assert "not approved within" in answer.message


def test_cancelled_while_it_waits(waiting: Waiting) -> None:
    """Where no runner hears of it, as on the command line."""
    done = waiting.start()
    run = waiting.paused()
    waiting.client.set_flow_run_state(run.id, Cancelling())
    assert done.result(60) == Answer(
        approved=False, message="Cancelling in Prefect while it waited"
    )


def test_a_ledger_or_prefect_server_that_is_away_is_asked_again(waiting: Waiting) -> None:
    calls: list[bool] = []

    def approved() -> bool:
        calls.append(waiting.given_elsewhere.is_set())
        if len(calls) % 2:
            raise LedgerUnavailable("locked")
        return calls[-1]

    done = waiting.start(approved=approved)
    waiting.paused()
    waiting.server.local.stop()
    try:
        before = len(calls)
        eventually(lambda: len(calls) > before + 4, seconds=60, what="further questions")
        assert not done.done()
    finally:
        waiting.server.local.ensure()
    assert waiting.answer(decision="approve", approved_by="Ada", plan_digest=DIGEST) == "ACCEPT"
    assert done.result(60).approved
    assert waiting.recorded == ["Ada"]
