"""Switches that make the server slow, strict or faulty, to rehearse what will go wrong."""

import random
import threading
import time
from collections.abc import Callable
from enum import Enum

from pydantic import Field

from polly_core.models.catalog import CAN_EXPECT_VERSION, CAN_LIST_INGESTIONS, AtlasId
from polly_core.models.jsonvalue import Model

CAPABILITIES = (CAN_EXPECT_VERSION, CAN_LIST_INGESTIONS)


class Faults(Model):
    """What is wrong now. The default is nothing. Rates are between 0 and 1."""

    delay_ms: float = Field(default=0, ge=0)
    """Every answer waits at least this long."""
    reject_above: float | None = Field(default=None, gt=0)
    """Requests per second; more are refused with 429 before anything is done."""
    fail_rate: float = Field(default=0, ge=0, le=1)
    """Requests that get 500 before anything is done."""
    drop_rate: float = Field(default=0, ge=0, le=1)
    """Writes that are done, after which the connection is cut without an answer."""
    capabilities: tuple[str, ...] = CAPABILITIES
    """Fewer make the server behave like one without them; none hides the instance id too."""
    locked_atlases: frozenset[AtlasId] = frozenset()
    """Writes to these are refused with "Repository Locked"."""


class Fate(Enum):
    """What befalls one request."""

    SERVE = "serve"
    REJECT = "reject"
    FAIL = "fail"


class Rehearsal:
    """The switches of one server; may be turned while it serves. Thread-safe."""

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults = faults or Faults()
        self._chance = chance
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._allowance = 1.0
        self._counted_at = monotonic()

    @property
    def faults(self) -> Faults:
        """What is wrong now."""
        return self._faults

    def set(self, faults: Faults) -> None:
        """Let this be wrong from now on, and nothing else."""
        with self._lock:
            self._faults = faults
            self._allowance = 1.0
            self._counted_at = self._monotonic()

    def fate(self) -> Fate:
        """What befalls the next request."""
        faults = self._faults
        if faults.reject_above is not None and not self._allowed(faults.reject_above):
            return Fate.REJECT
        if faults.fail_rate and self._chance() < faults.fail_rate:
            return Fate.FAIL
        return Fate.SERVE

    def drops_answer(self) -> bool:
        """Whether the answer of the next write is to be lost."""
        rate = self._faults.drop_rate
        return bool(rate) and self._chance() < rate

    def _allowed(self, rate: float) -> bool:
        # A bucket that holds what a tenth of a second lets through, at least one request.
        with self._lock:
            now = self._monotonic()
            earned = (now - self._counted_at) * rate
            self._allowance = min(self._allowance + earned, max(1.0, rate / 10))
            self._counted_at = now
            if self._allowance < 1:
                return False
            self._allowance -= 1
            return True
