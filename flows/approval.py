"""Waits for somebody's approval: in Prefect's UI by a form, or anywhere by the ledger.

The process waits and looks at both. A paused flow run takes no place of its queue. A deployment
with a concurrency limit of its own cannot wait so: Prefect ends a run that has lost its slot.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import get_settings_context
from prefect.input import RunInput, keyset_from_paused_state
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Paused, Running
from pydantic import Field, ValidationError, create_model

from polly_core.errors import LedgerUnavailable

DAY_SECONDS = 24 * 3600.0
POLL_SECONDS = 3.0
# Prefect fails a run that is resumed after Prefect's own time-out; ours comes first.
SPARE_SECONDS = 3600
ENDED = (StateType.CANCELLING, StateType.CANCELLED, StateType.FAILED, StateType.CRASHED)

log = logging.getLogger(__name__)


class ApprovalForm(RunInput):
    """What somebody says to a plan. Prefect draws a form of it."""

    decision: Literal["approve", "reject"] = Field(
        description="approve: it is written. reject: nothing is written; the run ends and can be "
        "taken up later."
    )
    approved_by: str = Field(
        min_length=1, max_length=200, description="Who decides. It stands in the run's record."
    )
    plan_digest: str = Field(
        default="",
        description="To approve: the digest of the plan you have looked at, copied from above. "
        "The approval is for that plan only.",
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking. It is true where the plan is approved."""

    approved: bool
    message: str = ""
    """Why not, for the run's record."""

    def __bool__(self) -> bool:
        return self.approved


def await_approval(
    summary_markdown: str,
    plan_digest: str,
    wave: int,
    *,
    approved: Callable[[], bool],
    record: Callable[[str], None],
    timeout: float = DAY_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> Answer:
    """Pause this flow run until its plan, or a wave of it (from 1 on), is approved or rejected.

    An approval by the form is recorded by ``record`` with who gave it; one that is recorded
    elsewhere is noticed by ``approved``, also while Prefect is out of reach. An approval of
    another digest is refused, and asked for again. Afterwards the flow run is Running again.

    What interrupts the flow (a cancel, Ctrl-C) interrupts this.

    Raises:
        LedgerError: ``record`` could not.
    """
    if _is_recorded(approved):
        return Answer(approved=True)
    desk = Desk(UUID(str(runtime.flow_run.id)), summary_markdown, plan_digest, wave)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        if _is_recorded(approved):
            desk.close()
            return Answer(approved=True)
        form = desk.look(left)
        if isinstance(form, Answer):
            return form
        if form is not None:
            record(form.approved_by)
            return Answer(approved=True)
        time.sleep(min(poll_seconds, left))
    desk.close()
    return Answer(approved=False, message=f"not approved within {timeout / 3600:.3g} h")


class Desk:
    """Asks on one flow run, again where the answer will not do."""

    def __init__(self, flow_run_id: UUID, summary: str, digest: str, wave: int) -> None:
        self._id = flow_run_id
        self._summary = summary
        self._digest = digest
        self._what = f"wave {wave}" if wave else "the plan"
        self._form: type[ApprovalForm] | None = None
        self._pause: State[object] | None = None
        self._refused = ""
        self._away = False
        # Prefect's client would try for a minute, and hold up an approval by the ledger.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            self._impatient = get_settings_context()

    def look(self, seconds: float) -> ApprovalForm | Answer | None:
        """An approval, a final no, or None as long as nobody has decided.

        Asks where it has not been asked. A Prefect server that is away is asked the next time.
        """
        try:
            with self._impatient:
                found = self._look(seconds)
        except httpx.HTTPError as error:
            if not self._away:
                log.warning("the approval cannot be asked for in Prefect, trying again: %s", error)
            self._away = True
            return None
        self._away = False
        return found

    def close(self) -> None:
        """Take the question back."""
        try:
            with self._impatient, get_client(sync_client=True) as client:
                state = client.read_flow_run(self._id).state
                if state is not None and state.type is StateType.PAUSED:
                    client.set_flow_run_state(self._id, Running())
        except httpx.HTTPError as error:
            log.warning("Prefect could not be told that the run goes on: %s", error)

    def _look(self, seconds: float) -> ApprovalForm | Answer | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._id).state
        if state is None or state.type is StateType.PAUSED:
            return None
        if state.type in ENDED:
            return Answer(approved=False, message=f"{state.name} in Prefect while it waited")
        form = self._answer()
        if form is not None:
            if form.decision == "reject":
                return Answer(approved=False, message=f"rejected by {form.approved_by}")
            if form.plan_digest == self._digest:
                return form
            self._refused = (
                f"{form.approved_by} approved without the digest of this plan. "
                "Copy it into the form."
            )
        self._ask(seconds)
        return None

    def _answer(self) -> ApprovalForm | None:
        if self._pause is None or self._form is None:
            return None
        try:
            found = self._form.load(keyset_from_paused_state(self._pause), self._id)
        except ValidationError:
            self._refused = "The run was resumed without an answer."
            return None
        assert isinstance(found, ApprovalForm)
        return found

    def _ask(self, seconds: float) -> None:
        """Pause the flow run with the form; the form stands before anybody can resume."""
        pause: State[object] = Paused(
            timeout_seconds=int(seconds) + SPARE_SECONDS, pause_key=uuid4().hex
        )
        keyset = keyset_from_paused_state(pause)
        pause.state_details.run_input_keyset = {str(k): v for k, v in keyset.items()}
        pause.message = f"waits for approval of {self._what}, digest {self._digest}"
        form = form_for(self._digest, self._text())
        form.save(keyset, self._id)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self._id, pause)
        self._pause, self._form = pause, form
        log.info("%s", pause.message)

    def _text(self) -> str:
        refused = f"**Not accepted.** {self._refused}\n\n" if self._refused else ""
        return f"{refused}Approve {self._what}?\n\nDigest: `{self._digest}`\n\n{self._summary}"


def form_for(digest: str, description: str) -> type[ApprovalForm]:
    """The form for one plan: Prefect itself refuses another digest."""
    field = ApprovalForm.model_fields["plan_digest"]
    bound = create_model(
        "ApprovalForm",
        __base__=ApprovalForm,
        plan_digest=(
            str,
            Field(default="", pattern=f"^({re.escape(digest)})?$", description=field.description),
        ),
    )
    return bound.with_initial_data(description=description)


def _is_recorded(approved: Callable[[], bool]) -> bool:
    try:
        return approved()
    except LedgerUnavailable as error:
        log.warning("the ledger does not say whether the run is approved: %s", error)
        return False
