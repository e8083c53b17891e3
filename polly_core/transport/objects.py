"""Small objects, read and put by the thousand, with obstore: at a fifth of boto3's CPU time."""

import json
import os
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from polly_core.errors import (
    ObjectMissing,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.transport.credentials import CredentialCache, Form, Grant
from polly_core.transport.s3uri import S3Uri, parse_s3_uri
from polly_core.transport.session import DEFAULT_REGION, bucket_region, user_agent

T = TypeVar("T")

# Session tokens that ended or were signed by another key: the store names them so.
STALE_CODES = frozenset(
    {"InvalidAccessKeyId", "ExpiredToken", "ExpiredTokenException", "InvalidToken"}
)
_LARGEST_METADATA = 256 * 1024 * 1024
_PUTTABLE = re.compile(r"[0-9A-Za-z_./-]+")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_CAUSE = re.compile(r'\b(?:message|error): "([^"]+)"')
_TIMED_OUT = re.compile(r"\b(?:kind: Timeout|TimedOut)\b")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")


def aws_default_endpoint(environ: Mapping[str, str]) -> str | None:
    """The endpoint that the AWS tools take from the environment."""
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


def aws_default_region(environ: Mapping[str, str]) -> str | None:
    """The region that the AWS tools take from the environment."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


class Endpoint:
    """Where the object store is: the explicit setting, else the token's, else AWS's default."""

    def __init__(self, explicit: str | None, environ: Mapping[str, str] | None = None) -> None:
        self._explicit = explicit
        self._environ = os.environ if environ is None else environ

    def url(self, grant: Grant) -> str | None:
        """The endpoint's URL; None is Amazon S3."""
        return self._explicit or grant.endpoint_url or aws_default_endpoint(self._environ)

    def unreachable(self, uri: S3Uri, grant: Grant, reason: str) -> StorageUnavailable:
        """The error where the store gave no answer: what was tried, why it failed, what to do."""
        if self._explicit:
            advice = "correct POLLY_S3_ENDPOINT_URL, or unset it to use what the service names"
        else:
            advice = "set POLLY_S3_ENDPOINT_URL to the address at which the store is reached"
        place = self.url(grant) or "Amazon S3"
        return StorageUnavailable(
            f"the object store cannot be reached at {place} for {uri} "
            f"(atlas {grant.form.atlas_id}): {reason}; {advice}"
        )

    def region(self, grant: Grant) -> str | None:
        """The region that was named by the token or the environment."""
        return grant.region or aws_default_region(self._environ)


def stale_grant(code: str, grant: Grant) -> bool:
    """Whether a refusal means that these temporary credentials are to be renewed."""
    return code in STALE_CODES and bool(grant.token)


def storage_error(code: str, status: int | None, uri: S3Uri | str, grant: Grant) -> StorageError:
    """The error for an answer of the store. It names the object, never credentials."""
    where = f"{uri} (atlas {grant.form.atlas_id})"
    if code in {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound"} or status == 404:
        return ObjectMissing(f"no such object: {where}")
    if status in {401, 403}:
        return StorageDenied(
            f"the object store refuses access to {where}: {code or status}. Check that the key "
            "may read this atlas, and that the endpoint is the store of this service"
        )
    if status is None or status >= 500 or status == 429:
        return StorageUnavailable(f"the object store fails for {where}: {code or status}")
    return StorageError(f"the object store refuses {where}: {code or status}")


def parse_metadata(data: bytes, uri: str) -> JsonObject:
    """The metadata in an object: JSON, gzipped or plain.

    Raises:
        StorageError: it is neither, or no JSON object.
    """
    try:
        found = json.loads(_inflate(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, zlib.error, RecursionError) as error:
        raise StorageError(f"the metadata object {uri} is unreadable: {error}") from error
    if not isinstance(found, dict):
        raise StorageError(
            f"the metadata object {uri} holds {type(found).__name__}, expected a JSON object"
        )
    return found


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    text = inflater.decompress(data, _LARGEST_METADATA)
    if inflater.unconsumed_tail:
        raise ValueError(f"it is larger than {_LARGEST_METADATA} bytes when unpacked")
    if not inflater.eof:
        raise ValueError("it is cut off")
    return text


class _StaleCredentialsError(Exception):
    """The store does not know these temporary credentials (any more)."""


class MetadataObjects:
    """Reads and puts whole small objects. Thread-safe.

    There is one connection pool per bucket and credentials.

    ``fallback`` reads the keys that obstore cannot.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        endpoint: Endpoint,
        *,
        fallback: Callable[[Form, str], bytes],
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
    ) -> None:
        self._credentials = credentials
        self._endpoint = endpoint
        self._fallback = fallback
        self._timeouts = (connect_timeout, read_timeout)
        self._stores: dict[tuple[Form, str], tuple[Grant, S3Store]] = {}
        self._lock = threading.Lock()

    def read(self, form: Form, location: str) -> bytes:
        """The bytes of exactly the version that the location names.

        Raises:
            ObjectMissing, StorageDenied, StorageUnavailable, StorageError.
        """
        uri = parse_s3_uri(location)
        if not _plain(uri.key):
            return self._fallback(form, location)
        return self._renewing(form, uri, lambda grant: self._get(grant, uri))

    def put(self, form: Form, target: S3Uri, body: bytes) -> tuple[S3Uri, str] | None:
        """Put an object with one request; where it is, pinned, and its entity tag.

        None where it has to be put in another way: obstore does not name every key as it is.

        Raises:
            StorageDenied, StorageUnavailable, StorageError.
        """
        if not _PUTTABLE.fullmatch(target.key) or not _plain(target.key):
            return None
        return self._renewing(form, target, lambda grant: self._put(grant, target, body))

    def _renewing(self, form: Form, uri: S3Uri, act: Callable[[Grant], T]) -> T:
        """Do it, with renewed credentials where the store refuses the old ones."""
        grant = self._credentials.grant(form)
        try:
            return act(grant)
        except _StaleCredentialsError:
            grant = self._credentials.renew(grant)
        try:
            return act(grant)
        except _StaleCredentialsError as error:
            raise StorageDenied(
                f"the object store refuses fresh credentials ({error}) for {uri}; check that the "
                "endpoint is the store of this service"
            ) from None

    def metadata(self, form: Form, location: str) -> JsonObject:
        """The metadata at a location, parsed anew at each call."""
        return parse_metadata(self.read(form, location), location)

    def _put(self, grant: Grant, target: S3Uri, body: bytes) -> tuple[S3Uri, str]:
        store = self._store(grant, target.bucket)
        try:
            done = obstore.put(store, target.key, body, use_multipart=False)
        except FileNotFoundError as error:
            raise storage_error("NoSuchBucket", 404, target, grant) from error
        except BaseError as error:
            raise self._refusal(str(error), target, grant) from None
        return target._replace(version_id=done["version"]), (done["e_tag"] or "").strip('"')

    def _get(self, grant: Grant, uri: S3Uri) -> bytes:
        store = self._store(grant, uri.bucket)
        try:
            if uri.version_id is None:
                return obstore.get(store, uri.key).bytes().to_bytes()
            options: obstore.GetOptions = {"version": uri.version_id}
            return obstore.get(store, uri.key, options=options).bytes().to_bytes()
        except FileNotFoundError as error:
            raise storage_error("NoSuchKey", 404, uri, grant) from error
        except BaseError as error:
            # The text holds the store's answer, which may repeat the access key.
            raise self._refusal(str(error), uri, grant) from None

    def _refusal(
        self, text: str, uri: S3Uri, grant: Grant
    ) -> StorageError | _StaleCredentialsError:
        code_found, status_found = _CODE.search(text), _STATUS.search(text)
        code = code_found.group(1) if code_found else ""
        if stale_grant(code, grant):
            return _StaleCredentialsError(code)
        if "redirect without LOCATION" in text:
            return StorageError(
                f"the bucket of {uri} is in another region; set AWS_REGION to the bucket's region"
            )
        if status_found is None:
            return self._endpoint.unreachable(uri, grant, _no_answer(text))
        return storage_error(code, int(status_found.group(1)), uri, grant)

    def _store(self, grant: Grant, bucket: str) -> S3Store:
        key = (grant.form, bucket)
        known = self._stores.get(key)
        if known is not None and known[0] is grant:
            return known[1]
        with self._lock:
            known = self._stores.get(key)
            if known is None or known[0] is not grant:
                known = (grant, self._open(grant, bucket))
                self._stores[key] = known
            return known[1]

    def _open(self, grant: Grant, bucket: str) -> S3Store:
        connect, read = self._timeouts
        url = self._endpoint.url(grant)
        region = self._endpoint.region(grant)
        if region is None:
            region = DEFAULT_REGION if url else bucket_region(bucket, connect, read)
        return S3Store(
            bucket,
            config={
                "access_key_id": grant.access_key,
                "secret_access_key": grant.secret_key,
                "session_token": grant.token,
                "region": region,
                "endpoint": url or f"https://s3.{region}.amazonaws.com",
                "virtual_hosted_style_request": False,
            },
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=connect),
                "timeout": timedelta(seconds=read),
                "user_agent": user_agent(),
            },
            retry_config={
                "max_retries": 5,
                "retry_timeout": timedelta(seconds=120),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=10),
                    "base": 2,
                },
            },
        )


def _plain(key: str) -> bool:
    """Whether obstore reads exactly this key: it knows no empty or dotted parts."""
    return not {"", ".", ".."} & set(key.split("/"))


def _no_answer(text: str) -> str:
    """Why there is no answer, out of obstore's text, which also shows the request."""
    if found := _CAUSE.search(text):
        return found.group(1)
    return "it timed out" if _TIMED_OUT.search(text) else "it gave no usable answer"
