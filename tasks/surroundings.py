"""Where the service, the key and the ledger are, from settings. It needs no Prefect."""

from pydantic import SecretStr

from polly_core.engine.request import Surroundings
from polly_core.errors import CannotProceed
from polly_core.settings import Settings


def surroundings_from(
    settings: Settings,
    *,
    api_key: SecretStr | None = None,
    api_url: str = "",
    s3_endpoint_url: str = "",
) -> Surroundings:
    """The surroundings; what is given here beats the settings.

    Raises:
        CannotProceed: there is no key.
    """
    key = api_key or settings.api_key
    if key is None:
        raise CannotProceed(
            "no API key: set POLLY_API_KEY (and POLLY_API_URL for your own server), or, for a "
            "flow, save a 'Polly Credentials' block and give its name as 'credentials'"
        )
    return Surroundings(
        api_url=api_url or settings.api_url,
        api_key=key,
        s3_endpoint_url=s3_endpoint_url or settings.s3_endpoint_url,
        ledger_url=settings.ledger(),
        home=settings.home,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        allowed_modules=settings.allowed_modules,
    )
