"""The objects of one atlas: uploads and server-side copies to where they belong."""

from pathlib import Path

from polly_core.catalog.data import check_file_name, existing_file
from polly_core.catalog.envelopes import check_id
from polly_core.catalog.ports import ObjectKey
from polly_core.errors import InvalidInput
from polly_core.models.catalog import AtlasId
from polly_core.transport.credentials import CredentialCache, Form, Grant
from polly_core.transport.s3uri import S3Uri, parse_s3_uri
from polly_core.transport.uploads import Uploads


class HttpStore:
    """``Store`` over S3. Thread-safe; nothing is imported or asked before the first transfer."""

    def __init__(self, credentials: CredentialCache, uploads: Uploads, atlas_id: AtlasId) -> None:
        self._credentials = credentials
        self._uploads = uploads
        self._form = Form(atlas_id)

    def upload(self, source: Path, key: ObjectKey, *, anew: bool = False) -> str:
        """Put a local file, checksummed; its location.

        What has the same content there already is not sent again. A failed upload is aborted.

        Args:
            anew: send it without looking; no object had this location before.

        Raises:
            InvalidInput: the file cannot be read or changes meanwhile, or nothing can have this
                key.
            AccessDenied: the key may only read; nothing was sent.
            StorageError: the store refuses or fails.
        """
        name = object_name(key)
        path = existing_file(source)
        target = place(self._writable(self._form), name)
        try:
            return str(self._uploads.upload(self._form, path, target, anew=anew))
        except OSError as error:
            raise InvalidInput(
                f"dataset {key.dataset_id}: the file {path} cannot be read ({error}); nothing was "
                "uploaded. Make it readable and run again"
            ) from error

    def copy(self, location: str, key: ObjectKey, *, atlas_id: AtlasId) -> str:
        """Copy an object of another atlas (or of this one) server-side; its location here.

        What has the same content there already is not copied again.

        Raises:
            InvalidInput: nothing can have this location or key.
            AccessDenied: the key may not write here; nothing was copied.
            ObjectMissing: there is no such object.
            StorageError: the store refuses or fails.
        """
        name = object_name(key)
        source = parse_s3_uri(location)
        here = self._form.atlas_id
        form = self._form if atlas_id == here else Form(atlas_id, here)
        target = place(self._writable(form), name)
        return str(self._uploads.copy(form, source, target, looking=self._form))

    def _writable(self, form: Form) -> Grant:
        grant = self._credentials.grant(form)
        grant.require_write()
        return grant


def object_name(key: ObjectKey) -> str:
    """The part of the canonical key below ``v2/`` (wire.md §5.1).

    Raises:
        InvalidInput: the id, the extension or the file name would lead elsewhere.
    """
    check_id(key.dataset_id, "dataset_id")
    if key.file_name:
        check_file_name(key.file_name)
        return f"{key.dataset_id}/.sfiles/{key.file_name}"
    if key.extension and not key.extension.startswith("."):
        raise InvalidInput(
            f"dataset {key.dataset_id}: expected an extension that begins with a dot, found "
            f"{key.extension!r}"
        )
    name = f"{key.dataset_id}{key.extension}"
    check_file_name(name)
    return f"{key.dataset_id}/{name}"


def place(grant: Grant, name: str) -> S3Uri:
    """Where an object of this name belongs (wire.md §5.1)."""
    prefix = f"{grant.prefix}/" if grant.prefix else ""
    return S3Uri(grant.bucket, f"{prefix}v2/{name}")
