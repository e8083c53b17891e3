"""What goes wrong with the writes of a run: told in advance, the same in every run of the tests."""

import random
from collections import Counter
from dataclasses import dataclass, field

from polly_core.models.catalog import DatasetId
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault

HAPPENED = {None, Fault.LOST_ANSWER}
"""Faults of writes that happened all the same."""


@dataclass
class Weather:
    """Chooses faults for a fake catalog; fine until it is told otherwise."""

    faults: tuple[Fault, ...] = ()
    share: float = 1.0
    """Of the writes that may go wrong."""
    most: int = 3
    """Faults of one dataset; then it is left alone."""
    in_turn: bool = True
    """A write that went wrong is followed by one that goes well."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    _had: Counter[DatasetId] = field(default_factory=Counter)
    _seen: Counter[DatasetId] = field(default_factory=Counter)

    def __call__(self, dataset_id: DatasetId, _number: int) -> Fault | None:
        if not self.faults:
            return None
        self._seen[dataset_id] += 1
        if self.in_turn and self._seen[dataset_id] % 2 == 0:
            return None
        if not self.in_turn and self._had[dataset_id] >= self.most:
            return None
        if self.chance.random() >= self.share:
            return None
        self._had[dataset_id] += 1
        return self.chance.choice(self.faults)

    @property
    def came(self) -> int:
        """How many writes went wrong."""
        return self._had.total()


def happened(fake: FakeCatalog, since: int = 0) -> Counter[tuple[str, str]]:
    """How many writes of each kind each dataset saw that happened, answered or not."""
    return Counter(
        (str(call.dataset_id), call.kind.value)
        for call in fake.writes[since:]
        if call.fault in HAPPENED
    )
