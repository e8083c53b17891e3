"""When a request is sent again, and after how long.

A check looks at a failed attempt and decides or has no opinion; the policy asks the checks in
order. Sleeping, the clock and chance are arguments, so that nothing here waits by itself.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from polly_core.errors import CatalogError, RepositoryLocked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that failed. The first has number 1."""

    number: int
    error: CatalogError


@dataclass(frozen=True, slots=True)
class Again:
    """Send it again, after at least ``after`` seconds where the service said so."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not send it again."""


Decision = Again | GiveUp
Check = Callable[[Attempt], Decision | None]


def check_outcome(attempt: Attempt) -> Decision | None:
    """What may have happened is never sent again."""
    return None if attempt.error.outcome_known else GiveUp()


def check_told(attempt: Attempt) -> Decision | None:
    """The service named a time to wait."""
    error = attempt.error
    if error.retryable and error.retry_after is not None:
        return Again(after=error.retry_after)
    return None


def check_locked(attempt: Attempt) -> Decision | None:
    """A locked atlas stays locked for minutes: whoever sent the request must know now."""
    return GiveUp() if isinstance(attempt.error, RepositoryLocked) else None


def check_retryable(attempt: Attempt) -> Decision | None:
    """The error knows whether repeating is right."""
    return Again() if attempt.error.retryable else GiveUp()


DEFAULT_CHECKS: tuple[Check, ...] = (check_outcome, check_told, check_locked, check_retryable)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long. Times are seconds."""

    retries: int = 5
    base: float = 0.2
    longest_wait: float = 20.0
    total: float = 180.0
    """No retry is begun that would start later than this after the first attempt."""
    checks: tuple[Check, ...] = DEFAULT_CHECKS

    def wait(self, attempt: Attempt, *, elapsed: float, chance: float) -> float | None:
        """Seconds to wait before the next attempt, or None to give up. Pure.

        ``chance`` is between 0 and 1: full jitter, on top of what the service asked for.
        """
        decision = next(
            (found for check in self.checks if (found := check(attempt)) is not None), GiveUp()
        )
        if isinstance(decision, GiveUp) or attempt.number > self.retries:
            return None
        backoff = min(self.longest_wait, self.base * 2.0 ** (attempt.number - 1))
        # What the service asked for is a minimum; jitter on top keeps waiters from returning at
        # one moment.
        wait = (decision.after or 0.0) + chance * backoff
        return wait if elapsed + wait <= self.total else None


NO_RETRY = RetryPolicy(retries=0)


class OnRetry(Protocol):
    """Told of each failure that is about to be retried, for logs and for throttles."""

    def __call__(self, error: CatalogError, wait: float) -> None: ...


def ignore_retry(error: CatalogError, wait: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Retrier:
    """Runs a request under a policy."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    on_retry: OnRetry = ignore_retry

    def run(self, request: Callable[[], T]) -> T:
        """The first good result. Raises the last ``CatalogError`` once the policy gives up."""
        started = self.clock()
        number = 0
        while True:
            number += 1
            try:
                return request()
            except CatalogError as error:
                elapsed = self.clock() - started
                wait = self.policy.wait(
                    Attempt(number, error), elapsed=elapsed, chance=self.chance()
                )
                if wait is None:
                    raise
                self.on_retry(error, wait)
            self.sleep(wait)
