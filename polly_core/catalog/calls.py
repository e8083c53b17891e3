"""One atlas through the session of a user: calls, warnings, data transfers."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from polly_core.catalog.documents import (
    BareDocument,
    OpenDocument,
    OpenListDocument,
    OpenResource,
)
from polly_core.catalog.paths import Paths, next_path
from polly_core.catalog.reader import capabilities_of
from polly_core.catalog.records import decode
from polly_core.catalog.store import place
from polly_core.errors import OutcomeUnknown
from polly_core.models.catalog import Capabilities
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import Meta
from polly_core.transport.answers import Answer
from polly_core.transport.credentials import Form, Grant
from polly_core.transport.default import PollySession
from polly_core.transport.s3uri import parse_s3_uri
from polly_core.transport.transport import Transport

ModelT = TypeVar("ModelT", bound=BaseModel)


class AtlasCalls:
    """The calls of one atlas, each through the session of that moment. Thread-safe.

    Warnings of the service are shown as ``UserWarning``.
    """

    def __init__(self, atlas_id: str, session_of: Callable[[], PollySession]) -> None:
        self.atlas_id = str(atlas_id)
        self.paths = Paths(self.atlas_id)
        self._session_of = session_of
        self._form = Form(self.atlas_id)

    @property
    def transport(self) -> Transport:
        """Raises ``NotAuthenticated`` before ``Polly.auth``."""
        return self._session_of().transport()

    def copying_to(self, other: "AtlasCalls") -> Form:
        """What credentials for copies from here to another atlas are asked for with."""
        return Form(self.atlas_id, other.atlas_id)

    def grant(self) -> Grant:
        """Credentials of the atlas that hold now."""
        return self.transport.credentials.grant(self._form)

    def capabilities(self) -> Capabilities:
        """What the service can do beyond the hosted protocol."""
        return capabilities_of(self.grant())

    def get(self, path: str) -> OpenResource:
        """One resource."""
        document = decode(OpenDocument, self.transport.reads.get(path), what=f"GET {path}")
        _show(document.meta)
        return document.data

    def exists(self, path: str) -> None:
        """Raises ``NotFound`` where there is nothing; the answer's content is not looked at."""
        self.transport.reads.get(path)

    def pages(self, path: str) -> Iterator[OpenListDocument]:
        """The pages of a listing, each asked for when the one before it is used up."""
        link: str | None = path
        while link is not None:
            answer = self.transport.reads.get(link)
            document = decode(OpenListDocument, answer, what=f"listing {link}")
            _show(document.meta)
            yield document
            link = next_path(document.links.next, after=link)

    def every(self, path: str) -> Iterator[OpenResource]:
        """The resources of a listing, page by page."""
        for page in self.pages(path):
            yield from page.data

    def read(self, path: str, model: type[ModelT]) -> ModelT:
        """A document of a kind of its own."""
        return decode(model, self.transport.reads.get(path), what=f"GET {path}")

    def post(self, path: str, document: JsonObject) -> OpenResource:
        """Create something."""
        return _written(self.transport.writes.post(path, document), f"POST {path}")

    def patch(self, path: str, document: JsonObject) -> OpenResource:
        """Change something."""
        return _written(self.transport.writes.patch(path, document), f"PATCH {path}")

    def patch_unread(self, path: str, document: JsonObject) -> JsonObject:
        """Change something whose new state is not read; the answer as it came, or nothing."""
        return _shown(self.transport.writes.patch(path, document), f"PATCH {path}")

    def delete(self, path: str) -> None:
        """Delete something."""
        _shown(self.transport.writes.delete(path), f"DELETE {path.partition('?')[0]}")

    def read_object(self, location: str) -> bytes:
        """A whole small object, with the credentials of this atlas."""
        return self.transport.metadata.read(self._form, location)

    def download(self, location: str, target: Path) -> None:
        """Fetch an object into a file, verified."""
        self.transport.downloads.download(self._form, location, target)

    def upload(self, source: Path, name: str) -> str:
        """Put a file below the atlas's prefix; its pinned location.

        Raises:
            AccessDenied: the key may only read. Nothing was sent then.
        """
        grant = self.grant()
        grant.require_write()
        target = place(grant, name)
        return str(self.transport.uploads.upload(self._form, source, target))

    def copy_object(self, other: "AtlasCalls", location: str, name: str) -> str:
        """Copy an object of this atlas below another one's prefix; its pinned location there.

        Raises:
            AccessDenied: the key may not write there. Nothing was copied then.
        """
        form = self.copying_to(other)
        grant = self.transport.credentials.grant(form)
        grant.require_write()
        source = parse_s3_uri(location)
        return str(self.transport.uploads.copy(form, source, place(grant, name)))


def _written(answer: Answer, what: str) -> OpenResource:
    document = decode(OpenDocument, answer, what=what, write=True)
    _show(document.meta)
    return document.data


def _shown(answer: Answer, what: str) -> JsonObject:
    if not answer.body.strip():
        return {}
    _show(decode(BareDocument, answer, what=what, write=True).meta)
    try:
        found: JsonObject = json.loads(answer.body)
    except ValueError as error:
        raise OutcomeUnknown("The answer is unreadable", f"{what}: {error}") from error
    return found


def _show(meta: Meta) -> None:
    for text in meta.warnings:
        warnings.warn(text, UserWarning, stacklevel=4)
