"""Everything of one atlas from plain values."""

from dataclasses import dataclass

from pydantic import Field, SecretStr

from polly_core.catalog.ports import Reader, Store, Writer
from polly_core.catalog.reader import HttpReader
from polly_core.catalog.store import HttpStore
from polly_core.catalog.writer import HttpWriter
from polly_core.models.catalog import AtlasId
from polly_core.models.jsonvalue import Model
from polly_core.transport.retry import Retrier
from polly_core.transport.service import Service
from polly_core.transport.transport import Transport, open_transport


class Connection(Model):
    """Where an atlas is and how it is reached. Times are seconds."""

    api_url: str
    api_key: SecretStr
    atlas_id: AtlasId
    s3_endpoint_url: str | None = None
    """Beats the endpoint that a session token names."""
    connect_timeout: float = Field(default=10.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    pool_size: int = Field(default=64, ge=1)

    def service(self) -> Service:
        """Raises ``InvalidInput`` for an unusable URL or key."""
        return Service(
            api_url=self.api_url,
            api_key=self.api_key,
            s3_endpoint_url=self.s3_endpoint_url,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            pool_size=self.pool_size,
        )


@dataclass(frozen=True, slots=True)
class Connected:
    """``Ports`` of one atlas over one connection pool."""

    reader: Reader
    writer: Writer
    store: Store
    transport: Transport

    def beside(self, atlas_id: AtlasId) -> Reader:
        """Reads of another atlas of the same service, over the same connections."""
        return _reader(self.transport, atlas_id)

    def close(self) -> None:
        """Close idle connections."""
        self.transport.close()


def connect(connection: Connection, *, retrier: Retrier | None = None) -> Connected:
    """Ports of an atlas. Nothing is sent before the first call.

    The reader retries under ``retrier``, whose ``on_retry`` hears of every failure; the writer
    sends each write once.

    Raises:
        InvalidInput: the URL or the key cannot be used.
    """
    transport = open_transport(connection.service(), retrier=retrier, retry_writes=False)
    atlas_id = connection.atlas_id
    return Connected(
        _reader(transport, atlas_id),
        HttpWriter(transport.writes, atlas_id),
        HttpStore(transport.credentials, transport.uploads, atlas_id),
        transport,
    )


def _reader(transport: Transport, atlas_id: AtlasId) -> HttpReader:
    return HttpReader(
        transport.reads,
        transport.credentials,
        transport.metadata,
        transport.downloads,
        atlas_id,
    )
