"""Answers with every attribute kept, for the objects that users hold."""

from pydantic import Field

from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import Links, Meta, WireModel


class OpenResource(WireModel):
    """A resource whose attributes are kept as they are, unknown ones included."""

    id: str = ""
    attributes: JsonObject = Field(default_factory=dict)


class OpenDocument(WireModel):
    """An answer with one resource."""

    data: OpenResource
    meta: Meta = Meta()


class OpenListDocument(WireModel):
    """An answer with a list of resources."""

    data: tuple[OpenResource, ...]
    links: Links = Links()
    meta: Meta = Meta()


class BareDocument(WireModel):
    """An answer of which nothing but the warnings is read."""

    meta: Meta = Meta()
