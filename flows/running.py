"""Runs a flow in the caller's own process, as the command line does."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from prefect import State

from flows.skeleton import Observer, observer
from polly_core.engine.meter import Progress
from polly_core.errors import CannotProceed
from polly_core.models.run import RunSummary

log = logging.getLogger(__name__)


def ignore(*_told: object) -> None:
    """Nobody watches."""


def run_here(
    flow: Callable[..., State[Any]],
    parameters: Mapping[str, object],
    *,
    on_progress: Callable[[Progress], None] = ignore,
    on_start: Callable[[str, str], None] = ignore,
) -> RunSummary:
    """Run the flow to its end and return what it came to, whatever its final state.

    Ctrl-C and SIGTERM stop the run as a cancel does; the summary says so. A Prefect server that
    goes away meanwhile costs nothing but its record.

    Raises:
        PollyError: the run could not be carried out; see the flow.
        CannotProceed: the Prefect server is out of reach before the run has begun.
    """
    watching = Observer(on_progress=on_progress, on_start=on_start)
    token = observer.set(watching)
    try:
        state = flow(**parameters, return_state=True)
    except httpx.HTTPError as error:
        if watching.summary is None:
            raise CannotProceed(f"the Prefect server is out of reach: {error}") from error
        log.warning("Prefect could not be told the final state: %s", error)
        return watching.summary
    finally:
        observer.reset(token)
    if watching.summary is not None:
        return watching.summary
    failure = state.result(raise_on_failure=False)
    raise failure if isinstance(failure, BaseException) else CannotProceed(str(state.message))
