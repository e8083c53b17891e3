"""Which state an item may go to from which. The one place that says so."""

from collections.abc import Iterable, Mapping

from polly_core.errors import LedgerError
from polly_core.models.catalog import RunId
from polly_core.models.run import RETRIED, ItemState

_S = ItemState

DECISIONS = frozenset({_S.PLANNED, _S.UNCHANGED, _S.SKIPPED, _S.INVALID})
"""States that planning gives."""
OUTCOMES = frozenset(_S) - {_S.SELECTED, _S.SENT}
"""States that an outcome gives; ``planned`` is to be tried again."""
OPEN = frozenset({_S.SELECTED, _S.PLANNED, _S.SENT, _S.UNKNOWN})
"""States that leave work to do."""

ALLOWED: Mapping[ItemState, frozenset[ItemState]] = {
    _S.SELECTED: DECISIONS | {_S.FAILED},
    _S.PLANNED: DECISIONS | {_S.SENT, _S.DRIFTED, _S.FAILED},
    _S.SENT: frozenset(
        {_S.APPLIED, _S.DRIFTED, _S.FAILED, _S.UNKNOWN, _S.CONFLICT, _S.PLANNED, _S.UNCHANGED}
    ),
    _S.UNKNOWN: frozenset(
        {_S.APPLIED, _S.CONFLICT, _S.PLANNED, _S.FAILED, _S.DRIFTED, _S.UNCHANGED}
    ),
    _S.APPLIED: frozenset({_S.CONFLICT}),
}
_NOWHERE: frozenset[ItemState] = frozenset()


def check_reopening(run_id: RunId, states: Iterable[ItemState]) -> None:
    """Let items of these states go back to ``selected``; only by asking for it.

    Raises:
        LedgerError: they may not.
    """
    others = sorted(set(states) - RETRIED)
    if others:
        raise LedgerError(
            f"items of run {run_id} that are {', '.join(others)} cannot be planned again; "
            f"expected {', '.join(sorted(RETRIED))}"
        )


def check(item: object, old: ItemState, new: ItemState) -> None:
    """Let an item go from one state to another.

    Raises:
        LedgerError: it may not.
    """
    allowed = ALLOWED.get(old, _NOWHERE)
    if new not in allowed:
        reachable = ", ".join(sorted(state.value for state in allowed)) or "nothing: it is final"
        raise LedgerError(
            f"{item} is {old.value} and cannot become {new.value}; expected {reachable}"
        )
