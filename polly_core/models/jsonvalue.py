"""JSON values, their canonical form and its digest."""

import hashlib
import json
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["JsonObject", "JsonValue", "Model", "canonical_json", "digest"]

JsonObject: TypeAlias = dict[str, JsonValue]

_CANONICAL = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
)


class Model(BaseModel):
    """Base of every model that crosses a module: frozen, and strict about unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: object) -> bytes:
    """The one byte string that stands for a JSON value.

    Keys are sorted, text is UTF-8 unescaped, there is no white space. ``1`` and ``1.0`` differ.

    Raises:
        ValueError: the value holds NaN or an infinity.
        TypeError: the value is not JSON.
    """
    text = _CANONICAL.encode(value)
    # A lone surrogate is legal in JSON text but has no UTF-8 form of its own.
    return text.encode("utf-8", "surrogatepass")


def digest(value: object) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
