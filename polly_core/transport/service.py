"""Which service is spoken to, with which key and under which time limits."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from polly_core.errors import InvalidInput


def normalise_url(url: str) -> str:
    """The one spelling of a service's base URL: lower-case scheme and host, no trailing slash.

    Raises:
        InvalidInput: it is not an http or https URL, or holds a user name, query or fragment.
    """
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "the service URL holds a user name or password; leave it out, the key goes separately"
        )
    if parts.query or parts.fragment:
        raise InvalidInput(f"the service URL {url!r} has a query or fragment; leave it out")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme.lower()}://{host}{port}{parts.path.rstrip('/')}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(
            f"expected a service URL like https://api.example.org, found {url!r}; "
            "set POLLY_API_URL to the address of the service"
        )
    return parts


@dataclass(frozen=True, slots=True)
class Service:
    """One service and one key. Times are seconds.

    Raises ``InvalidInput`` for a URL or key that cannot be used.
    """

    api_url: str
    api_key: SecretStr
    s3_endpoint_url: str | None = None
    """Beats the endpoint that a session token names."""
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    pool_size: int = 64
    """The most connections that are open at a time."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_url", normalise_url(self.api_url))
        if self.s3_endpoint_url is not None:
            object.__setattr__(self, "s3_endpoint_url", normalise_url(self.s3_endpoint_url))
        key = self.api_key.get_secret_value()
        if not key or not key.isascii() or not key.isprintable() or key != key.strip():
            raise InvalidInput(
                "the API key is empty or holds blanks, line ends or other characters that no key "
                "has; check POLLY_API_KEY or what was given to Polly.auth"
            )
