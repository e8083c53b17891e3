"""boto3 clients for temporary credentials, and one place where their errors are converted."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypedDict, TypeVar

from polly_core.errors import StorageDenied, StorageError, StorageUnavailable
from polly_core.transport.credentials import CredentialCache, Form, Grant
from polly_core.transport.dialling import reason
from polly_core.transport.objects import Endpoint, stale_grant, storage_error
from polly_core.transport.s3uri import S3Uri
from polly_core.transport.session import DEFAULT_REGION, user_agent

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_POOL_SIZE = 30
_ATTEMPTS = 5


class Version(TypedDict, total=False):
    """An argument of S3 calls."""

    VersionId: str


class S3Clients:
    """Runs calls with a client whose credentials hold. Thread-safe.

    A client is made anew when its credentials are renewed, so a transfer of many calls outlives
    any of them. ``pool_size`` calls are under way at most, however many threads there are: a
    connection beyond the pool would be opened and thrown away for each call.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        endpoint: Endpoint,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        pool_size: int = _POOL_SIZE,
    ) -> None:
        self.credentials = credentials
        self._endpoint = endpoint
        self._timeouts = (connect_timeout, read_timeout)
        self._pool_size = pool_size
        self._slots = threading.BoundedSemaphore(pool_size)
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._clients: dict[Form, tuple[Grant, S3Client]] = {}

    def call(
        self,
        form: Form,
        uri: S3Uri,
        action: "Callable[[S3Client], T]",
        *,
        bare_403_is_stale: bool = False,
    ) -> T:
        """The result of one S3 call about an object; refused credentials are renewed once.

        The answer to HEAD says 403 and no reason: ``bare_403_is_stale`` takes it for old
        credentials. Amazon S3 also says it of objects that are absent.

        Raises:
            ObjectMissing, StorageDenied, StorageUnavailable, StorageError.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        grant = self.credentials.grant(form)
        try:
            try:
                return self._run(action, grant)
            except ClientError as error:
                code = _code(error)
                if not stale_grant(code, grant) and not (bare_403_is_stale and code == "403"):
                    raise
                grant = self.credentials.renew(grant)
                return self._run(action, grant)
        except ClientError as error:
            raise _converted(error, uri, grant) from error
        except BotoCoreError as error:
            # The texts of these errors name no credentials.
            raise self._endpoint.unreachable(uri, grant, _why(error)) from error

    def _run(self, action: "Callable[[S3Client], T]", grant: Grant) -> T:
        client = self._client(grant)
        with self._slots:
            return action(client)

    def _client(self, grant: Grant) -> "S3Client":
        with self._lock:
            known = self._clients.get(grant.form)
            if known is None or known[0] is not grant:
                known = (grant, self._open(grant))
                self._clients[grant.form] = known
            return known[1]

    def _open(self, grant: Grant) -> "S3Client":
        import boto3
        from botocore.config import Config

        connect, read = self._timeouts
        url = self._endpoint.url(grant)
        config = Config(
            connect_timeout=connect,
            read_timeout=read,
            max_pool_connections=self._pool_size,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            signature_version="s3v4",
            s3={"addressing_style": "path" if url else "auto"},
            user_agent_extra=user_agent(),
        )
        self._session = self._session or boto3.session.Session()
        return self._session.client(
            "s3",
            endpoint_url=url,
            region_name=self._endpoint.region(grant) or DEFAULT_REGION,
            aws_access_key_id=grant.access_key,
            aws_secret_access_key=grant.secret_key,
            aws_session_token=grant.token,
            config=config,
        )


def version_of(uri: S3Uri) -> "Version":
    """The argument that names the version, where there is one."""
    return {} if uri.version_id is None else {"VersionId": uri.version_id}


def in_threads(work: Callable[[int], T], count: int, *, threads: int) -> list[T]:
    """The results for 1 to ``count``, in order. After a failure nothing more is begun."""
    if count <= 1:
        return [work(number) for number in range(1, count + 1)]
    with ThreadPoolExecutor(threads, thread_name_prefix="transfer") as pool:
        futures = [pool.submit(work, number) for number in range(1, count + 1)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _code(error: "ClientError") -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _why(error: "BotoCoreError") -> str:
    """The reason alone where there is one: botocore's own text is about the request."""
    cause = error.kwargs.get("error")
    return _ERRNO.sub("", reason(cause)) if isinstance(cause, Exception) else str(error)


def _converted(error: "ClientError", uri: S3Uri, grant: Grant) -> StorageError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = _code(error)
    if stale_grant(code, grant):
        return StorageDenied(
            f"the object store refuses fresh credentials ({code}) for {uri}; check that the "
            "endpoint is the store of this service"
        )
    if code == "NoSuchUpload":
        return StorageUnavailable(f"the object store has dropped the upload of {uri}; try again")
    # A HEAD has no body: its code is the bare status.
    return storage_error("" if code.isdigit() else code, status, uri, grant)
