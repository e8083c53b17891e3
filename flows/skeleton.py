"""The course of every bulk flow: open, select, plan, fan out, report, state."""

import asyncio
import inspect
import logging
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec

from prefect import Flow, State, Task, flow, runtime
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.settings import get_current_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.approval import await_approval
from flows.artifacts import TABLE_ROWS, plan_markdown
from flows.children import check_spread
from flows.heap import settled
from flows.limits import Slots
from flows.logs import kept_with_run, told_without_traces
from flows.parameters import BulkForm
from flows.spreading import Spreading
from flows.states import final_state, message_of, unfit_state
from flows.telling import Teller
from polly_core.engine.meter import Progress
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import Session, open_session
from polly_core.engine.waves import WaveRange
from polly_core.errors import CannotProceed, InvalidInput, PollyError
from polly_core.models.run import Approval, OperationName, RunSummary, StopReason
from tasks.base import sharing
from tasks.credentials import surroundings
from tasks.prepare import plan, select

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5

P = ParamSpec("P")


ShardTask = Task[[str, int], Any]
BulkFlow = Flow[..., Any]


@dataclass(frozen=True)
class Bulk:
    """A bulk flow and the model of its one parameter."""

    flow: BulkFlow
    form: type[BulkForm]

    def parameters(self, given: Mapping[str, object]) -> dict[str, object]:
        """The flow's parameters from what the form's fields are given."""
        (name,) = inspect.signature(self.flow.fn).parameters
        return {name: self.form.model_validate(given)}


@dataclass
class Observer:
    """Someone in the flow's own process who watches; the command line."""

    on_progress: Callable[[Progress], None]
    on_start: Callable[[str, str], None]
    """Told the run's id and the flow run's, once the run is in the ledger."""
    summary: RunSummary | None = None


# Not a parameter of the flow: Prefect stores those.
observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


def two_shards() -> TaskRunner[Any]:
    """Two shards at once, so that the tail of one overlaps with the head of the next."""
    return ThreadPoolTaskRunner(max_workers=2)


def require_server() -> None:
    """A run wants a Prefect server that keeps what it was told: a temporary one takes it along.

    Raises:
        CannotProceed: none is set.
    """
    if get_current_settings().api.url is None:
        raise CannotProceed(
            "no Prefect server: set PREFECT_API_URL; 'polly-bulk prefect start' starts one on this "
            "machine and says its URL"
        )


def own_run_id() -> str:
    """The id of this flow run, which is the ingestion_run_id unless one is given."""
    return str(runtime.flow_run.id)


def bulk_flow(
    operation: OperationName,
) -> Callable[[Callable[P, State[object]]], Flow[P, State[object]]]:
    """Make a flow of a function, as the flow of every operation is made."""
    return as_bulk(f"bulk-{operation.value}", run_name(operation.value))


def as_bulk(
    name: str, flow_run_name: Callable[[], str]
) -> Callable[[Callable[P, State[object]]], Flow[P, State[object]]]:
    """Make a flow of a function that executes a run, or a part of one."""
    return flow(
        name=name,
        flow_run_name=flow_run_name,
        task_runner=two_shards(),
        retries=0,
        persist_result=True,
        result_serializer="json",
    )


def run_name(operation: str) -> Callable[[], str]:
    """Names a flow run by its operation and ingestion_run_id; called when the run starts."""

    def name() -> str:
        parameters = runtime.flow_run.parameters
        forms = (getattr(form, "run", None) for form in parameters.values())
        given = next((form.run_id for form in forms if form is not None and form.run_id), "")
        return f"{operation}-{given or own_run_id()}"

    return name


def nothing() -> None:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Course:
    """What a flow run needs to execute a run, or a part of one."""

    session: Session
    teller: Teller
    slots: Slots
    watch: "Watch"

    def see_through(self, work: Callable[[], None], after: Callable[[], None] = nothing) -> None:
        """Do the work and wait for what it has begun, also where something stops it early.

        Args:
            after: done when the work has ended, in whichever way.
        """
        with stopping(self.session), self.slots, sharing(self.session):
            with stopping(self.session):
                work()
            self.watch.wait_out()
            after()


@contextmanager
def under_way(
    request: RunRequest, where: Surroundings, *, approval_timeout: float = 0.0
) -> Iterator[Course]:
    """Open the run and let Prefect know of it. Raises as ``open_session``."""
    flow_run_id = own_run_id()
    teller = Teller(flow_run_id)
    with settled(), kept_with_run(), open_session(request, where) as session:
        watching = observer.get()
        if watching is not None:
            watching.on_start(session.run_id, flow_run_id)
        teller.tags(tags_of(session))
        slots = Slots(session.options.concurrency)
        yield Course(session, teller, slots, Watch(session, teller, slots, approval_timeout))


def in_words(course: Callable[[], State[object]]) -> State[object]:
    """What a flow run comes to; an error of ours is a Failed state that says it.

    Raised, Prefect would tell it with the traces of its own machinery.
    """
    told_without_traces()
    try:
        return course()
    except PollyError as error:
        return unfit_state(error)


def carry_out(form: BulkForm, shard_task: ShardTask) -> State[object]:
    """Run what the form asks for to an end of its own, or to a stop.

    Everything about it stands in the ledger. A request that cannot be carried out ends in a Failed
    state whose data is the error.
    """
    return in_words(lambda: _carried_out(form, shard_task))


def _carried_out(form: BulkForm, shard_task: ShardTask) -> State[object]:
    require_server()
    request, where = form.request(own_run_id()), surroundings(form.credentials)
    if form.run.spread:
        check_spread(where.ledger_url)
    with under_way(request, where, approval_timeout=form.run.approval_timeout) as course:
        session, watch = course.session, course.watch
        spreading = Spreading(
            session,
            course.slots,
            items=form.run.spread,
            credentials=form.credentials,
            show=watch.show,
        )
        run = spreading.see_to if form.run.spread else partial(run_shards, course, shard_task)
        course.see_through(partial(work, course, request, run), spreading.call_off)
        summary = session.finish()
        spreading.close()
        tell_the_end(session, course.teller, summary)
    return final_state(summary)


def tags_of(session: Session) -> tuple[str, ...]:
    """What a flow run can be found by."""
    return (
        f"ingestion_run_id:{session.run_id}",
        f"atlas:{session.catalog.atlas_id}",
        f"operation:{session.operation.value}",
    )


def work(course: Course, request: RunRequest, run: Callable[[WaveRange], None]) -> None:
    """Select, plan where a barrier is asked for, and let the shards of each wave run."""
    session, watch = course.session, course.watch
    watch.see_to([select.submit(session.run_id)])
    barrier = request.barrier or session.options.needs_plan
    if barrier and not session.finished:
        watch.see_to([plan.submit(session.run_id)])
    for wave in session.waves():
        if session.finished or session.stopping or not watch.consent(wave):
            return
        run(wave)
        session.conclude(wave)


def run_shards(course: Course, shard_task: ShardTask, wave: WaveRange) -> None:
    """Let the open shards of a wave run in this process."""
    session = course.session
    shards = session.open_shards(wave)
    course.watch.see_to([shard_task.submit(session.run_id, shard) for shard in shards])


def tell_the_end(session: Session, teller: Teller, summary: RunSummary) -> None:
    """Leave the outcome with Prefect and with whoever watches."""
    watching = observer.get()
    if watching is not None:
        watching.summary = summary
    teller.progress(session.progress(), now=True)
    teller.summary(summary, session.notable_items(TABLE_ROWS), session.report_path)
    teller.reconcile()
    log.info("%s", message_of(summary))


class Watch:
    """Waits for task runs in the flow's main thread, the one that signals reach."""

    def __init__(
        self, session: Session, teller: Teller, slots: Slots, approval_timeout: float
    ) -> None:
        self._session = session
        self._slots = slots
        self._approval_timeout = approval_timeout
        self._teller = teller
        self._ended: queue.SimpleQueue[PrefectFuture[Any]] = queue.SimpleQueue()
        self._left = 0

    def see_to(self, futures: Sequence[PrefectFuture[Any]]) -> None:
        """Wait until all of them have ended, showing progress.

        Raises:
            Exception: what the first of them that failed raised.
        """
        self._left += len(futures)
        for future in futures:
            future.add_done_callback(self._ended.put)
        self.wait_out()
        for future in futures:
            future.result()

    def consent(self, wave: WaveRange) -> bool:
        """Wait for the approval that the run wants before a wave; without one the run stops."""
        session, wanted = self._session, self._session.options.approval
        asks = wanted is Approval.WAVES or (wanted is Approval.PLAN and wave.number == 1)
        if not asks or session.planned is None or not session.has_open_items(wave):
            return True
        # The approval of the plan is that of its first wave.
        number = 0 if wave.number == 1 else wave.number
        if session.is_approved(number):
            return True
        with self._slots.let_go(), session.awaiting_approval(number):
            answer = await_approval(
                plan_markdown(session.planned, wave),
                session.planned.digest,
                number,
                approved=lambda: session.stopping is not None or session.is_approved(number),
                record=lambda by: session.approve(number, by),
                timeout=self._approval_timeout,
            )
        if not answer:
            session.stop(StopReason.CANCELLED, answer.message)
        return answer.approved and session.stopping is None

    def wait_out(self) -> None:
        """Wait until nothing that was submitted is running, whatever came of it."""
        while self._left:
            with suppress(queue.Empty):
                self._ended.get(timeout=TICK_SECONDS)
                self._left -= 1
            self.show(self._session.progress())

    def show(self, progress: Progress) -> None:
        """Tell Prefect and whoever watches how it goes."""
        watching = observer.get()
        if watching is not None:
            watching.on_progress(progress)
        self._teller.progress(progress)


@contextmanager
def stopping(session: Session) -> Iterator[None]:
    """Turn what ends the work early into a stop of the run: no new write, the rest recorded.

    Cancel and SIGTERM, Ctrl-C, a flow run that Prefect gives up because its deployment's slot was
    lost, and errors that leave the run resumable; input that is wrong does not.
    """
    try:
        yield
    except TerminationSignal:
        session.stop(StopReason.CANCELLED, "cancelled")
    except KeyboardInterrupt:
        session.stop(StopReason.INTERRUPTED, "interrupted")
    except asyncio.CancelledError:
        session.stop(StopReason.INTERRUPTED, "Prefect ended the flow run; its log says why")
    except InvalidInput:
        raise
    except PollyError as error:
        session.stop(StopReason.CANNOT_PROCEED, str(error))
