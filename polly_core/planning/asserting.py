"""Assertions: expressions that must hold for every dataset that a run wrote."""

from collections.abc import Iterator, Sequence

from polly_core.models.catalog import DatasetRecord, VersionId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.planning.expression import Expression, ExpressionFailed, document_of, told


class Broken(Model):
    """An assertion that does not hold for one dataset."""

    assertion: str
    version_id: VersionId | None
    """The version it was evaluated on; None where there was none."""
    found: str
    """What was found instead, in words. It may hold metadata values."""

    def __str__(self) -> str:
        where = f" at version {self.version_id}" if self.version_id else ""
        return f"assertion {self.assertion} does not hold{where}: {self.found}"


class Assertions:
    """Compiled assertions. Thread-safe."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Compile JMESPath over dataset_id, data_type, study_id, last_modified_at, metadata.

        Raises:
            InvalidInput: one is no such expression; the message has the position.
        """
        self.texts = tuple(dict.fromkeys(texts))
        self._expressions = tuple(Expression(text, "--assert") for text in self.texts)
        self.needs_metadata = any(one.needs_metadata for one in self._expressions)

    def __bool__(self) -> bool:
        return bool(self.texts)

    def broken(self, record: DatasetRecord, metadata: JsonObject | None) -> Iterator[Broken]:
        """Those that do not hold for a dataset; true is meant as in ``--where``."""
        document = document_of(record, metadata)
        for expression in self._expressions:
            try:
                if expression.holds(document):
                    continue
                found = told(expression.looked_at(document)) or "it is false"
            except ExpressionFailed as error:
                found = str(error).removeprefix(f"{expression.text!r} ")
            yield Broken(assertion=expression.text, version_id=record.version_id, found=found)

    def all_broken(self, found: str) -> tuple[Broken, ...]:
        """Every one, where there is nothing to evaluate them on."""
        return tuple(Broken(assertion=text, version_id=None, found=found) for text in self.texts)
