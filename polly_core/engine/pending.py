"""What a shard has to say to the ledger and has not said yet."""

import logging
from collections.abc import Callable

from polly_core.engine.events import Work
from polly_core.ledger.rows import Batch, Claim, StepDone
from polly_core.models.catalog import DatasetId
from polly_core.models.run import NOT_WELL, ItemState, Outcome, StepResult

log = logging.getLogger(__name__)

# Outcomes are committed in groups of at most fifty or half a second, the commit included.
GROUP = 50
GROUP_SECONDS = 0.3


class Pending:
    """Gathers until a commit is due. Not thread-safe: the shard's coordinator alone uses it."""

    def __init__(self, claim: Claim, clock: Callable[[], float]) -> None:
        self._claim = claim
        self._clock = clock
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
        _tell(self._claim, work, state, reasons)

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


def _tell(claim: Claim, work: Work, state: ItemState, reasons: tuple[str, ...]) -> None:
    level = logging.WARNING if state in NOT_WELL else logging.DEBUG
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
