"""``Polly.auth``: the key and the service that catalogs use by default.

The only place of the library that reads the environment.
"""

import os
import re

from pydantic import SecretStr

from polly_core.errors import InvalidInput, NotAuthenticated
from polly_core.settings import Settings
from polly_core.transport.default import DefaultSession, PollySession
from polly_core.transport.service import Service

__all__ = ["Polly", "PollySession", "UnauthorizedException"]

UnauthorizedException = NotAuthenticated
"""What using a catalog before ``Polly.auth`` raises, under the tutorial's name."""

_COMPUTE_VARIABLE = "POLLY_TYPE"
_ENV = re.compile(r"[0-9A-Za-z-]+")
_COMPUTE_URL = re.compile(r"https://(.+?)\.elucidata\.io")


class _PollyType(type):
    """Lets ``Polly.default_session`` be read and set like an attribute of the class."""

    @property
    def default_session(cls) -> PollySession | None:
        """The session that catalogs use, or None before ``Polly.auth``."""
        return DefaultSession.peek()

    @default_session.setter
    def default_session(cls, session: PollySession | None) -> None:
        DefaultSession.set(session)


class Polly(metaclass=_PollyType):
    """Authorization to use Polly."""

    @classmethod
    def auth(cls, token: str, env: str = "", default_env: str = "polly") -> None:
        """
        Authorizes the process to use Polly. Nothing is sent.

        The service is, the first that is given: ``env``, ``POLLY_API_URL``, the environment that
        ``POLLY_TYPE`` names, ``default_env``. Credentials of an earlier key are never used again.

        Args:
            token: access key, copied from Polly

        Raises:
            InvalidInput: the key or the address cannot be used.

        Examples:
            >>> from polly_core.auth import Polly
            >>> Polly.auth("<access_key>")
        """
        DefaultSession.set(_open_session(token, env, default_env))

    @classmethod
    def get_session(cls, token: str | None = None, env: str = "polly") -> PollySession:
        """
        The session that catalogs use; a new one where a token is given.

        Raises:
            UnauthorizedException: ``Polly.auth`` was not called and no token is given.

        Examples:
            >>> session = Polly.get_session("<access_key>")
        """
        if token:
            # The default is no choice of the caller: a configured address goes before it.
            cls.auth(token, env="" if env == "polly" else env)
        return DefaultSession.get()


def _open_session(token: str, env: str, default_env: str) -> PollySession:
    settings = Settings()
    name, url = _address(settings, env, default_env)
    service = Service(
        api_url=url,
        api_key=SecretStr(token),
        s3_endpoint_url=settings.s3_endpoint_url,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
    )
    return PollySession(service, env=name)


def _address(settings: Settings, env: str, default_env: str) -> tuple[str, str]:
    """The name of the environment and the base URL of its service."""
    if env:
        return env, _hosted_url(env)
    if "api_url" in settings.model_fields_set:
        return default_env, settings.api_url
    compute = os.environ.get(_COMPUTE_VARIABLE)
    if compute is not None:
        found = _COMPUTE_URL.search(compute)
        if found is None:
            raise InvalidInput(
                f"expected {_COMPUTE_VARIABLE} to be like https://<env>.elucidata.io, "
                f"found {compute!r}"
            )
        return found.group(1), _hosted_url(found.group(1))
    return default_env, _hosted_url(default_env)


def _hosted_url(env: str) -> str:
    if not _ENV.fullmatch(env):
        raise InvalidInput(f"expected an environment like 'polly', found env={env!r}")
    return f"https://api.discover.{env}.elucidata.io"
