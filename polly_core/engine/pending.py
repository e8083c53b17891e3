"""What a shard has to say to the ledger and has not said yet."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from polly_core.engine.events import Work
from polly_core.ledger.rows import Batch, Claim, StepDone
from polly_core.models.catalog import DatasetId
from polly_core.models.run import NOT_WELL, ItemState, Outcome, StepResult

log = logging.getLogger(__name__)

# Outcomes are committed in groups of at most fifty or half a second, the commit included.
GROUP = 50
GROUP_SECONDS = 0.3
# Of one kind of bad end so many are told each, then only how many there are, every so often.
TOLD_EACH = 5
TOLD_EVERY = 1000


class Pending:
    """Gathers until a commit is due. Not thread-safe: the shard's coordinator alone uses it."""

    def __init__(self, claim: Claim, clock: Callable[[], float], told: "Told") -> None:
        self._claim = claim
        self._clock = clock
        self._told = told
        self._clear()

    def _clear(self) -> None:
        self._outcomes: list[Outcome] = []
        self._steps: list[StepDone] = []
        self._verified: list[int] = []
        self._freed: list[DatasetId] = []
        self._since = 0.0
        self._urgent = False

    def outcome(self, work: Work, state: ItemState, *reasons: str, inferred: bool = False) -> None:
        """How an item ended, or that it is to be tried again."""
        self._outcomes.append(
            Outcome(
                seq=work.seq,
                state=state,
                version_after=work.version,
                reasons=reasons,
                inferred=inferred,
            )
        )
        self._note()
        self._told.tell(self._claim, work, state, reasons)

    def step(self, work: Work, result: StepResult) -> None:
        """A step of an item is done."""
        self._steps.append(StepDone(seq=work.seq, result=result))
        self._note()

    def verified(self, work: Work) -> None:
        """An item's promise was found kept."""
        self._verified.append(work.seq)
        self._note()

    def free(self, work: Work) -> None:
        """An item needs its lease no more; said with the next commit."""
        self._freed.append(work.dataset_id)

    def hurry(self) -> None:
        """Commit at the next occasion."""
        self._urgent = True

    def is_due(self, *, alone: bool) -> bool:
        """Whether to commit now.

        Args:
            alone: nothing else will come; what waits for this commit goes on at once.
        """
        if not self._since:
            return False
        full = len(self._outcomes) + len(self._steps) >= GROUP
        return alone or self._urgent or full or self._clock() - self._since >= GROUP_SECONDS

    def batch(self, sent: tuple[int, ...] = ()) -> Batch | None:
        """Everything to be committed together; None where there is nothing. It is kept until
        ``committed``."""
        if not (sent or self._outcomes or self._steps or self._verified or self._freed):
            return None
        return Batch(
            outcomes=tuple(self._outcomes),
            steps=tuple(self._steps),
            sent=sent,
            verified=tuple(self._verified),
            freed=tuple(self._freed),
        )

    def committed(self) -> None:
        """The ledger has it."""
        self._clear()

    def _note(self) -> None:
        self._since = self._since or self._clock()


class Told:
    """Logs how items end: of what did not end well the first few of each kind, then how many there
    are. The ledger and the report have them all. One for all shards of a run; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[ItemState] = Counter()

    def tell(self, claim: Claim, work: Work, state: ItemState, reasons: tuple[str, ...]) -> None:
        """An item has ended so."""
        number = self._count(state) if state in NOT_WELL else 0
        each = 0 < number <= TOLD_EACH
        _log(logging.WARNING if each else logging.DEBUG, claim, work, state, reasons)
        if number == TOLD_EACH + 1:
            log.warning(
                "more items are %s, they are only counted from here; all of them: "
                "polly-bulk report %s --only not-well",
                state,
                claim.run_id,
            )
        elif number and number % TOLD_EVERY == 0:
            log.warning("%d items are %s so far", number, state)

    def _count(self, state: ItemState) -> int:
        with self._lock:
            self._numbers[state] += 1
            return self._numbers[state]


def _log(level: int, claim: Claim, work: Work, state: ItemState, reasons: tuple[str, ...]) -> None:
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        "%s: %s %s",
        work.dataset_id,
        state,
        "; ".join(reasons),
        extra={
            "run_id": claim.run_id,
            "shard": claim.shard,
            "dataset_id": work.dataset_id,
            "outcome": str(state),
            "version_before": work.planned.version_seen if work.has_plan else None,
            "version_after": work.version,
        },
    )
