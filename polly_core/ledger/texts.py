"""Models and times as the columns hold them."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from polly_core.models.catalog import CatalogRef
from polly_core.models.jsonvalue import JsonValue, Model

M = TypeVar("M", bound=Model)
V = TypeVar("V")


def to_text(model: Model) -> str:
    """The model's JSON, readable by ``from_text`` and storable by every database."""
    try:
        return model.model_dump_json()
    except PydanticSerializationError:
        # A lone surrogate is legal in JSON and in what people pasted into metadata, not in UTF-8.
        return json.dumps(model.model_dump(mode="json"))


def from_text(kind: type[M], text: str) -> M:
    """The model that was dumped."""
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return kind.model_validate(json.loads(text))


def list_to_text(values: Sequence[JsonValue]) -> str:
    """A list's JSON; ASCII, so that no text in it can be refused."""
    return json.dumps(values) if values else "[]"


def texts(text: str) -> tuple[str, ...]:
    """A list of texts that was dumped."""
    return tuple(json.loads(text)) if text != "[]" else ()


def plain(text: str) -> str:
    """Text for a column of its own: without what UTF-8 or PostgreSQL cannot hold."""
    return (
        text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def groups(values: Sequence[V], size: int) -> Iterator[Sequence[V]]:
    """Consecutive parts: a statement takes only so many parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def moment(milliseconds: int) -> datetime:
    """A time as rows show it. Rounded to microseconds it is exact until the year 2106."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def maybe_moment(milliseconds: int | None) -> datetime | None:
    """The same, where there may be none."""
    return None if milliseconds is None else moment(milliseconds)


def catalog_key(catalog: CatalogRef) -> str:
    """What leases of one catalog have in common. ``|`` is in no URL, instance id or atlas id."""
    return f"{catalog.api_url}|{catalog.instance_id or ''}|{catalog.atlas_id}"
