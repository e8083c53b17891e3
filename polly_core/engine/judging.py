"""Whether what a run wrote is as promised and as asserted: after each wave, and at its end."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from polly_core.engine.verifying import Verification, Verifier
from polly_core.engine.waves import WaveRange, went_wrong
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.run import ItemState, RunOptions, StopReason
from polly_core.planning.asserting import Assertions


@dataclass(slots=True)
class Judge:
    """Reads everything back that was written. Nothing here changes an item's outcome."""

    ledger: Ledger
    options: RunOptions
    verifier: Verifier
    """With the run's own assertions."""
    total: int = 0
    """Items of the run."""
    asserted: int = 0
    """Items before this place were looked at."""
    found: Verification | None = None
    """What was found where nothing was left to be stopped."""

    def verify(
        self, wave: WaveRange | None = None, assertions: Assertions | None = None
    ) -> Verification:
        """Everything that was written, or what belongs to one wave."""
        first, end = (wave.first, wave.end) if wave else (0, None)
        verifier = replace(self.verifier, assertions=assertions or self.verifier.assertions)
        return verifier.verify(self._written(first, end))

    def wave(self, wave: WaveRange) -> tuple[StopReason, str] | None:
        """Why the run is to stop after this wave, or None.

        What is wrong with the last one is for the end of the run to tell.
        """
        if wave.of == 1:
            # Its promises were kept item by item, and its budget was watched.
            self.rest()
            return None
        wrong = went_wrong(self.ledger, self.verifier.run_id, wave, self.options)
        if wrong:
            return StopReason.BUDGET, wrong
        found = self.verify(wave)
        if self.verifier.stopped():
            return None
        if not found.good and wave.end is not None:
            where = f"wave {wave.number} of {wave.of}"
            return StopReason.VERIFICATION, f"{where}: {found.told()}"
        if wave.first <= self.asserted:
            self.asserted = self.total if wave.end is None else wave.end
        self.found = found
        return None

    def rest(self) -> None:
        """Evaluate the assertions on what was written and not looked at yet, where none is left.

        Where the run is stopped meanwhile it stays ``incomplete``.
        """
        if self.incomplete and not self.verifier.stopped():
            found = self.verifier.verify(self._written(self.asserted, None), promises=False)
            if not self.verifier.stopped():
                self.asserted, self.found = self.total, found

    @property
    def incomplete(self) -> bool:
        """Whether assertions are still to be evaluated."""
        return bool(self.verifier.assertions) and self.asserted < self.total

    def _written(self, first: int, end: int | None) -> Iterator[ItemRow]:
        rows = self.ledger.items(self.verifier.run_id, states={ItemState.APPLIED}, after=first - 1)
        return itertools.takewhile(lambda row: end is None or row.seq < end, rows)
