"""The global limit that all runs together respect: slots are requests in flight to the service."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from polly_core.errors import CannotProceed

POLLY_API = "polly-api"
DEFAULT_SLOTS = 128
# A killed process's slots are free again this long after its death (and Prefect's loop of 15 s).
LEASE_SECONDS = 60.0

log = logging.getLogger(__name__)


def ensure_limit(
    client: SyncPrefectClient, name: str = POLLY_API, slots: int = DEFAULT_SLOTS
) -> GlobalConcurrencyLimitResponse:
    """The limit of this name, created where it is missing. An existing one is left as it is."""
    try:
        return client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        try:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=name, limit=slots)
            )
        except ObjectAlreadyExists:
            log.debug("another process has just created the limit %s", name)
        return client.read_global_concurrency_limit_by_name(name)


class Slots:
    """Holds as many slots as this process may have requests in flight, between enter and exit.

    Entering waits until they are free. Once they are held, a Prefect server that goes away takes
    nothing from the run.

    Raises:
        CannotProceed: the limit has fewer slots than are asked for, so that it would wait for
            ever, or the Prefect server is out of reach.
    """

    def __init__(self, slots: int, name: str = POLLY_API) -> None:
        self._slots = slots
        self._name = name
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._held = _acquire(self._slots, self._name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._let_go()

    @contextmanager
    def let_go(self, *, for_good: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Leave them to other runs inside: nothing is sent for a while. Raises as entering.

        Args:
            for_good: asked at the end; true where they are needed no more.
        """
        self._let_go()
        yield
        if not for_good():
            self._held = _acquire(self._slots, self._name)

    def _let_go(self) -> None:
        try:
            self._held.close()
        except httpx.HTTPError as error:
            log.warning("slots of %s are freed when their lease ends: %s", self._name, error)


def _acquire(slots: int, name: str) -> ExitStack:
    held = ExitStack()
    try:
        with get_client(sync_client=True) as client:
            limit = ensure_limit(client, name)
        _check_that_it_fits(limit, slots)
        if limit.active:
            log.info("taking %d of %d slots of the global limit %s", slots, limit.limit, name)
            held.enter_context(
                concurrency(
                    name,
                    occupy=slots,
                    lease_duration=LEASE_SECONDS,
                    strict=True,
                    raise_on_lease_renewal_failure=False,
                )
            )
    except httpx.HTTPError as error:
        raise CannotProceed(
            f"the Prefect server did not give {slots} slots of its limit {name!r}: {error}"
        ) from error
    return held


def _check_that_it_fits(limit: GlobalConcurrencyLimitResponse, slots: int) -> None:
    if limit.limit < slots:
        raise CannotProceed(
            f"this run may have {slots} requests in flight, the global limit {limit.name!r} of the "
            f"Prefect server allows {limit.limit} to all runs together; lower 'concurrency', or "
            f"raise it with: prefect gcl update {limit.name} --limit {slots}"
        )
