"""What an operator may set on the HTTP side."""

from pydantic import Field

from polly_core.models.jsonvalue import Model
from polly_core.models.wire import DEFAULT_BODY_LIMIT


class ServerSettings(Model):
    """Limits and the mount path of the catalog API."""

    body_limit: int = Field(default=DEFAULT_BODY_LIMIT, gt=0)
    """Largest request body in bytes."""
    root_path: str = Field(default="", pattern=r"^(/[^/?#]+)*$")
    """Path prefix under which clients reach the API; links never contain it."""
