"""Temporary S3 credentials: asked for once, shared by all threads, renewed ahead of their end."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from polly_core.errors import AccessDenied, CatalogError, ReadFailed
from polly_core.models.wire import Document, SessionTokenAttributes
from polly_core.transport.session import ReadSession

logger = logging.getLogger(__name__)

_AHEAD_SECONDS = 600.0
_AHEAD_SHARE = 0.25
# Below this the old credentials are not good enough for one more request.
_LAST_SECONDS = 30.0
# With a wrong clock fresh credentials look expired: they are used at least this long.
_LEAST_SECONDS = 60.0


class Form(NamedTuple):
    """What credentials are for: one atlas, or copying from it to another one."""

    atlas_id: str
    copy_to: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Temporary credentials and where they hold. ``bucket`` and ``prefix`` are for uploads."""

    form: Form
    bucket: str
    prefix: str
    access_level: str | None
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    endpoint_url: str | None
    region: str | None
    capabilities: frozenset[str]
    instance_id: str | None
    renew_at: float
    """Wall-clock seconds from which on it is renewed ahead."""
    usable_until: float

    def require_write(self) -> None:
        """Raises ``AccessDenied`` where the service says that the key may only read."""
        if self.access_level not in {None, "write"}:
            atlas = self.form.copy_to or self.form.atlas_id
            raise AccessDenied(
                "Access denied",
                f"this key may not write to omixatlas_id='{atlas}' (its access level is "
                f"{self.access_level!r}); nothing was uploaded. Ask for write access, then "
                "run `catalog.clear_token_cache()` before retrying",
                status=403,
            )


class _Slot:
    """The credentials of one form. One thread at a time asks for new ones."""

    __slots__ = ("grant", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.grant: Grant | None = None


class CredentialCache:
    """The credentials of one key on one service. Thread-safe.

    It belongs to the session that asks: another key has another cache.
    """

    def __init__(self, session: ReadSession, *, now: Callable[[], float] = time.time) -> None:
        self._session = session
        self._now = now
        self._slots: dict[Form, _Slot] = {}
        self._slots_lock = threading.Lock()

    def grant(self, form: Form) -> Grant:
        """Credentials that hold now. Cold threads wait for the one request that is under way.

        Raises what a read raises: ``NotFound`` for an unknown atlas, ``AccessDenied`` for a copy
        to an atlas that the key may not write.
        """
        slot = self._slots.get(form) or self._slot(form)
        grant = slot.grant
        now = self._now()
        if grant is not None and now < grant.renew_at:
            return grant
        if grant is not None and now < grant.usable_until:
            return self._renew_ahead(slot, grant)
        with slot.lock:
            if slot.grant is grant:
                slot.grant = self._ask(form)
            assert slot.grant is not None
            return slot.grant

    def renew(self, refused: Grant) -> Grant:
        """Credentials newer than those that the store refused, asked for once however many ask."""
        slot = self._slot(refused.form)
        with slot.lock:
            if slot.grant is None or slot.grant is refused:
                slot.grant = self._ask(refused.form)
            return slot.grant

    def clear(self, atlas_id: str) -> None:
        """Forget every credential for an atlas, those for copies from and to it included."""
        with self._slots_lock:
            self._slots = {
                form: slot
                for form, slot in self._slots.items()
                if atlas_id not in {form.atlas_id, form.copy_to}
            }

    def _slot(self, form: Form) -> _Slot:
        with self._slots_lock:
            return self._slots.setdefault(form, _Slot())

    def _renew_ahead(self, slot: _Slot, grant: Grant) -> Grant:
        """One thread renews; the others go on with what still holds, and so does it on failure."""
        if not slot.lock.acquire(blocking=False):
            return grant
        try:
            if slot.grant is grant:
                slot.grant = self._ask(grant.form)
            return slot.grant or grant
        except CatalogError as error:
            logger.warning(
                "credentials of atlas %s not renewed yet: %s", grant.form.atlas_id, error
            )
            return grant
        finally:
            slot.lock.release()

    def _ask(self, form: Form) -> Grant:
        answer = self._session.post_session_tokens(
            {
                "data": {
                    "type": "session-tokens",
                    "attributes": {
                        "omixatlas_id": form.atlas_id,
                        "copy_dest_omixatlas_id": form.copy_to,
                    },
                }
            }
        )
        try:
            document = Document[SessionTokenAttributes].model_validate_json(answer.body)
            return _read_grant(form, document.data.attributes, now=self._now())
        except (ValidationError, ValueError) as error:
            # The answer holds secrets, and a validation error repeats its input: neither is shown.
            raise ReadFailed(
                "The session token is unreadable",
                f"atlas {form.atlas_id}: {_without_input(error)}",
                status=answer.status,
            ) from None


def _read_grant(form: Form, attributes: SessionTokenAttributes, *, now: float) -> Grant:
    place = attributes if form.copy_to is None else attributes.copy_dest_details
    if place is None:
        raise ValueError("the answer lacks copy_dest_details")
    expires = datetime.fromisoformat(attributes.tokens.Expiration)
    if expires.tzinfo is None:
        raise ValueError("the expiration has no time zone")
    life = expires.timestamp() - now
    ahead = min(_AHEAD_SECONDS, max(life, 0.0) * _AHEAD_SHARE)
    return Grant(
        form=form,
        bucket=place.bucket_name,
        prefix=place.prefix.strip("/"),
        access_level=place.access_level,
        access_key=attributes.tokens.AccessKeyId,
        secret_key=attributes.tokens.SecretAccessKey,
        token=attributes.tokens.SessionToken,
        endpoint_url=attributes.endpoint_url,
        region=attributes.region,
        capabilities=frozenset(attributes.capabilities),
        instance_id=attributes.instance_id,
        renew_at=now + max(life - ahead, _LEAST_SECONDS),
        usable_until=now + max(life - _LAST_SECONDS, _LEAST_SECONDS),
    )


def _without_input(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_input=False, include_url=False)
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)
    return str(error)
