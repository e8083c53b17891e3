"""An object store in memory, shared by the atlases of one service. Not thread-safe by itself."""

import hashlib
import threading

from polly_core.errors import ObjectMissing
from polly_core.models.catalog import ObjectStat
from polly_core.transport.s3uri import S3Uri, parse_s3_uri

BUCKET = "fake"


class MemoryObjects:
    """Versioned objects. Version ids are counters; nothing is ever deleted but by ``lose``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held by whoever uses them."""
        self._contents: dict[S3Uri, bytes] = {}
        self._newest: dict[S3Uri, S3Uri] = {}
        self._count = 0

    def put(self, place: S3Uri, content: bytes) -> str:
        """A new version at a key; its pinned location."""
        self._count += 1
        return self._keep(place._replace(version_id=f"o{self._count}"), content)

    def ensure(self, location: str) -> None:
        """Let an object be there; one that is keeps its content."""
        uri = parse_s3_uri(location)
        if self._find(uri) is None:
            self._keep(uri, location.encode())

    def present(self, place: S3Uri, content: bytes) -> str | None:
        """The newest version at a key, where it holds this content."""
        newest = self._newest.get(place)
        return str(newest) if newest and self._contents.get(newest) == content else None

    def pin(self, location: str) -> str:
        """The location with its version. Raises ``ObjectMissing``."""
        return str(self._known(location))

    def read(self, location: str) -> bytes:
        """The content. Raises ``ObjectMissing``."""
        return self._contents[self._known(location)]

    def stat(self, location: str) -> ObjectStat:
        """Raises ``ObjectMissing``."""
        uri = self._known(location)
        content = self._contents[uri]
        tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return ObjectStat(location=str(uri), size=len(content), etag=tag)

    def lose(self, location: str) -> None:
        """Let an object be gone, as if somebody had emptied the bucket behind the catalog."""
        del self._contents[self._known(location)]

    def _keep(self, uri: S3Uri, content: bytes) -> str:
        self._contents[uri] = content
        self._newest[uri._replace(version_id=None)] = uri
        return str(uri)

    def _find(self, uri: S3Uri) -> S3Uri | None:
        found = uri if uri.version_id else self._newest.get(uri)
        return found if found in self._contents else None

    def _known(self, location: str) -> S3Uri:
        found = self._find(parse_s3_uri(location))
        if found is None:
            raise ObjectMissing(f"no such object: {location}")
        return found
