"""The waves of a planned run: how far each goes, and whether it went well."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import RunRow
from polly_core.ledger.transitions import OPEN
from polly_core.models.catalog import RunId
from polly_core.models.run import COUNTS_AGAINST_BUDGET, RunOptions, Wave


@dataclass(frozen=True, slots=True)
class WaveRange:
    """The items of one wave, by their position in the selection."""

    number: int
    """From 1."""
    first: int
    end: int | None
    """Exclusive; None is the end of the selection."""
    size: int
    """Items in it that have something to be written."""
    of: int
    """Waves there are."""


def sizes(waves: tuple[Wave, ...], total: int) -> Iterator[int]:
    """How many items to be written go together; the last size is repeated until all are."""
    left = total
    for number in count():
        if left <= 0:
            return
        wave = waves[min(number, len(waves) - 1)]
        size = min(left, wave.size(total))
        left -= size
        yield size


def ranges(ledger: Ledger, run: RunRow) -> list[WaveRange]:
    """The waves of a run that is planned; the same whenever it is asked."""
    total = ledger.planned_count(run.run_id)
    planned = list(sizes(run.options.waves, total)) if run.options.waves else []
    if not planned:
        return [WaveRange(number=1, first=0, end=None, size=total, of=1)]
    found, first, written = [], 0, 0
    for number, size in enumerate(planned, 1):
        written += size
        # What has nothing to be written goes with the wave before it.
        end = ledger.nth_planned(run.run_id, written) if number < len(planned) else None
        found.append(WaveRange(number=number, first=first, end=end, size=size, of=len(planned)))
        first = end or first
    return found


def is_open(ledger: Ledger, run_id: RunId, wave: WaveRange) -> bool:
    """Whether a wave has something left to be written or settled."""
    rows = ledger.items(run_id, states=OPEN, after=wave.first - 1, limit=1, plans=False)
    return any(wave.end is None or row.seq < wave.end for row in rows)


def went_wrong(ledger: Ledger, run_id: RunId, wave: WaveRange, options: RunOptions) -> str:
    """Why the next wave must not begin, or nothing.

    A wave is a sample of its own: the budget's percentage counts from its first item on.
    """
    rows = ledger.items(run_id, states=COUNTS_AGAINST_BUDGET, after=wave.first - 1, plans=False)
    bad = [row.dataset_id for row in rows if wave.end is None or row.seq < wave.end]
    budget = options.budget.model_copy(update={"minimum_sample": 1})
    if not budget.exceeded(len(bad), wave.size):
        return ""
    shown = ", ".join(bad[:3]) + (", …" if len(bad) > 3 else "")
    return (
        f"wave {wave.number} of {wave.of}: {len(bad)} of {wave.size} items ended badly ({shown}), "
        f"the budget is {options.budget}"
    )
