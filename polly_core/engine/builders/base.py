"""What a builder is given and what it makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from polly_core.catalog.ports import Ports, Reader
from polly_core.engine.request import Surroundings
from polly_core.errors import InvalidInput
from polly_core.ledger.ledger import Ledger
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import RunSpec
from polly_core.operations.base import Operation
from polly_core.planning.resources import Loaded

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Found:
    """An item that belongs to the selection, and the listing page it was seen on."""

    dataset_id: DatasetId
    row: JsonObject | None = None
    listed: bool = False
    page: str | None = None
    file_name: str = ""
    line: int | None = None
    """Of the manifest, where it was found there."""


Enrich = Callable[[Sequence[Found]], Sequence[Found]]
"""Adds to the rows of a few hundred items, while they are frozen, what planning needs of the
ledger. It may leave items out. At the end it is called with none, and may add some."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an operation can be made of."""

    spec: RunSpec
    ports: Ports
    surroundings: Surroundings
    ledger: Ledger
    loaded: Loaded | None = None
    """The change of an update, with its files."""
    selection_file: Path | None = None
    """The ids file or manifest, where it is still to be read."""

    @property
    def saved_in(self) -> Path:
        """Below it each run saves the bytes it is told to save."""
        return saved_in(self.surroundings)

    def description(self, kind: type[M]) -> M:
        """The operation's description."""
        return described(kind, self.spec.change)


@dataclass(frozen=True, slots=True)
class Built:
    """An operation with what it wants of the run around it."""

    operation: Operation
    listing: Reader
    """The atlas whose datasets are selected: for a copy the source."""
    flags: Mapping[str, bool] = field(default_factory=dict)
    """Indexing flags that go with every write."""
    enrich: Enrich | None = None
    by_file: bool = False
    """An item is a dataset and a file name."""
    batches: tuple[Callable[[Found], bool], ...] = ()
    """Which of the items that are named come first, second, and so on; each is in one of them."""


def saved_in(surroundings: Surroundings) -> Path:
    """Below it each run saves the bytes it is told to save."""
    return surroundings.home / "saved"


def described(kind: type[M], value: JsonObject) -> M:
    """A description from JSON.

    Raises:
        InvalidInput: in the words of what is wrong.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ")
            for one in error.errors(include_url=False)
        ]
        raise InvalidInput(
            f"the operation's description cannot be used: {'; '.join(found)}"
        ) from None
