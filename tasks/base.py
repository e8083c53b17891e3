"""The one place that decides what a task means in this project.

A task run is one shard, or one pass over all items; never one dataset. Prefect never caches and
never keeps what it returns: the ledger knows what is done, and a run that is taken up must come to
the tasks again. A task is repeated for infrastructure errors only; what an item ended with is an
outcome, not an error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Failed

from polly_core.engine.request import RunRequest
from polly_core.engine.session import Session, open_session
from polly_core.errors import (
    LedgerUnavailable,
    NoConnection,
    PollyError,
    ReadFailed,
    StorageUnavailable,
    Throttled,
    Unavailable,
)
from polly_core.ledger.rows import ShardNo
from polly_core.models.catalog import RunId
from polly_core.models.run import Counts, OperationName
from tasks.credentials import surroundings

INFRASTRUCTURE = (
    LedgerUnavailable,
    NoConnection,
    ReadFailed,
    StorageUnavailable,
    Throttled,
    Unavailable,
)

P = ParamSpec("P")
R = TypeVar("R")

# Shard tasks of one process share the flow's engine: one limiter and one pool per process and run.
# It cannot be a parameter, which Prefect would store.
_session: ContextVar[Session | None] = ContextVar("session", default=None)


def core_task(
    *, name: str, run_name: str
) -> Callable[[Callable[P, R]], Task[P, R | State[PollyError]]]:
    """Make a task of a function that calls the core once."""
    make = task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        # Said outright: a task would inherit the flow's True, and a flow that is run again would
        # take an unfinished shard as done.
        persist_result=False,
        retries=2,
        retry_delay_seconds=[2, 10],
        retry_condition_fn=_repeatable,
    )
    return lambda function: make(_in_words(function))


def _in_words(function: Callable[P, R]) -> Callable[P, R | State[PollyError]]:
    """The function; an error of ours that is not to be repeated is a Failed state that says it."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R | State[PollyError]:
        try:
            return function(*args, **kwargs)
        except INFRASTRUCTURE:
            raise
        except PollyError as error:
            return Failed(message=str(error), data=error)

    return told


def _repeatable(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, INFRASTRUCTURE)


@contextmanager
def sharing(session: Session) -> Iterator[None]:
    """Let the tasks that are submitted inside use this session."""
    token = _session.set(session)
    try:
        yield
    finally:
        _session.reset(token)


@contextmanager
def session_of(run_id: str) -> Iterator[Session]:
    """The session of the flow in this process; in another process one of its own.

    Raises:
        CannotProceed: there is none here and the settings do not lead to the service and ledger.
    """
    shared = _session.get()
    if shared is not None and shared.run_id == run_id:
        yield shared
        return
    with open_session(RunRequest(run_id=RunId(run_id)), surroundings()) as session:
        yield session


def shard_task(operation: OperationName) -> Task[[str, int], State[Counts] | State[PollyError]]:
    """The task that takes one shard of such a run to its end."""

    @core_task(name=f"{operation.value}-shard", run_name="shard-{shard}")
    def run_shard(run_id: str, shard: int) -> State[Counts]:
        """Plan (where that is not done), apply and verify what is left of one shard."""
        with session_of(run_id) as session:
            return said(session.run_shard(ShardNo(shard)))

    return run_shard


def said(counts: Counts) -> State[Counts]:
    """A task's final state that says what the run has come to when it ended."""
    parts = [f"{state.value}={number}" for state, number in counts.by_state.items() if number]
    return Completed(message=f"run so far: {' '.join(parts) or 'no items'}", data=counts)
