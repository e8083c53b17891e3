"""The rules of session tokens (wire.md §4.1)."""

from collections.abc import Callable, Collection

from polly_core.models.wire import CopyDestination, SessionTokenAttributes
from polly_core.server.auth import Access, AccessControl, Principal
from polly_core.server.documents import TokenRequest
from polly_core.server.ports import IssuedTokens, TokenIssuer


class TokenService:
    """Hands out temporary S3 credentials, never more than the key itself may. Thread-safe."""

    def __init__(
        self,
        issuer: TokenIssuer,
        access: AccessControl,
        *,
        instance_id: str,
        capabilities: Callable[[], Collection[str]],
    ) -> None:
        self._issuer = issuer
        self._access = access
        self._instance_id = instance_id
        self._capabilities = capabilities

    def issue(self, principal: Principal, request: TokenRequest) -> SessionTokenAttributes:
        """Credentials for one atlas, or to copy from it to another.

        Raises:
            NotFound: no such atlas, or no access to it.
            AccessDenied: a copy to an atlas that the key may not write.
        """
        source = self._access.authorize(principal, request.source, write=False)
        level = principal.access(source) or Access.READ
        if request.destination is None:
            issued = self._issuer.issue(source, write=level is Access.WRITE)
        else:
            destination = self._access.authorize(principal, request.destination, write=True)
            issued = self._issuer.issue(source, write=False, destination=destination)
        return self._attributes(issued, level)

    def _attributes(self, issued: IssuedTokens, level: Access) -> SessionTokenAttributes:
        values: dict[str, object] = {
            "bucket_name": issued.source.bucket_name,
            "prefix": issued.source.prefix,
            "access_level": level.value,
            "tokens": issued.tokens,
            "endpoint_url": issued.endpoint_url,
            "region": issued.region,
        }
        if issued.destination is not None:
            values["copy_dest_details"] = CopyDestination(
                bucket_name=issued.destination.bucket_name,
                prefix=issued.destination.prefix,
                access_level=Access.WRITE.value,
            )
        if capabilities := tuple(self._capabilities()):
            values["capabilities"] = capabilities
            values["instance_id"] = self._instance_id
        return SessionTokenAttributes.model_validate(values)
