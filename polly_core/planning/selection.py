"""The filter of a selection (``--where``)."""

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.expression import Expression, ExpressionFailed, document_of


class Where:
    """A compiled filter. Thread-safe."""

    def __init__(self, text: str, *, purpose: str = "--where") -> None:
        """Compile JMESPath over dataset_id, data_type, study_id, last_modified_at, metadata.

        Args:
            purpose: how the caller names the filter, for messages.

        Raises:
            InvalidInput: it is no such expression; the message has the position.
        """
        self._purpose = purpose
        self._expression = Expression(text, purpose)

    @property
    def needs_metadata(self) -> bool:
        """Whether datasets' metadata must be read to decide."""
        return self._expression.needs_metadata

    def matches(self, record: DatasetRecord, metadata: JsonObject | None = None) -> bool:
        """Whether the dataset is selected. ``metadata`` may be left out where it is not needed.

        Raises:
            InvalidInput: it cannot be evaluated on this dataset.
        """
        try:
            return self._expression.holds(document_of(record, metadata))
        except ExpressionFailed as error:
            raise InvalidInput(
                f"{self._purpose}: dataset {record.dataset_id}: {error}; "
                "guard the field, as in type(metadata.age) == 'number' && metadata.age < `3`"
            ) from None
