"""Everything that speaks to one service with one key, made from plain values."""

from dataclasses import dataclass

from polly_core.transport.credentials import CredentialCache
from polly_core.transport.downloads import Downloads
from polly_core.transport.objects import Endpoint, MetadataObjects
from polly_core.transport.retry import Retrier
from polly_core.transport.s3client import S3Clients
from polly_core.transport.service import Service
from polly_core.transport.session import Channel, ReadSession, WriteSession
from polly_core.transport.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Transport:
    """Sessions, credentials and objects that belong together. Thread-safe."""

    service: Service
    reads: ReadSession
    writes: WriteSession
    credentials: CredentialCache
    endpoint: Endpoint
    metadata: MetadataObjects
    downloads: Downloads
    uploads: Uploads
    channel: Channel

    def close(self) -> None:
        """Close idle connections. The transport can be used again afterwards."""
        self.channel.close()


def open_transport(
    service: Service, *, retrier: Retrier | None = None, retry_writes: bool = True
) -> Transport:
    """A transport with a connection pool of its own. Nothing is sent yet."""
    retrier = retrier or Retrier()
    channel = Channel(service)
    reads = ReadSession(channel, retrier)
    credentials = CredentialCache(reads)
    endpoint = Endpoint(service.s3_endpoint_url)
    clients = S3Clients(
        credentials,
        endpoint,
        connect_timeout=service.connect_timeout,
        read_timeout=service.read_timeout,
        pool_size=service.pool_size,
    )
    downloads = Downloads(clients)
    small = MetadataObjects(
        credentials,
        endpoint,
        fallback=downloads.read,
        connect_timeout=service.connect_timeout,
        read_timeout=service.read_timeout,
    )
    return Transport(
        service=service,
        reads=reads,
        writes=WriteSession(channel, retrier, retry_writes=retry_writes),
        credentials=credentials,
        endpoint=endpoint,
        metadata=small,
        downloads=downloads,
        uploads=Uploads(clients, small),
        channel=channel,
    )
