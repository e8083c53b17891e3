"""Configuration from the environment (prefix ``POLLY_``) and a ``.env`` file.

Read once, at the edges: auth, cli, deployments, flows and tasks.
"""

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

HOSTED_API_URL = "https://api.discover.polly.elucidata.io"


def default_home() -> Path:
    """The user's data folder for this program."""
    return Path(platformdirs.user_data_dir("polly-bulk", appauthor=False))


class Settings(BaseSettings):
    """What the environment says. Secrets are never shown by ``repr``."""

    model_config = SettingsConfigDict(env_prefix="POLLY_", env_file=".env", extra="ignore")

    api_key: SecretStr | None = None
    api_url: str = HOSTED_API_URL
    s3_endpoint_url: str | None = None
    """Beats the endpoint that a session token names."""
    ledger_url: str | None = None
    """SQLAlchemy URL; a SQLite file in ``home`` when absent."""
    home: Path = Field(default_factory=default_home)
    """Default ledger, local Prefect server, logs."""
    connect_timeout: float = Field(default=10.0, gt=0)
    read_timeout: float = Field(default=60.0, gt=0)
    allowed_modules: tuple[str, ...] = ()
    """Modules whose functions a change may call (``call: module:function``), as a JSON list."""

    def ledger(self) -> str:
        """The ledger's URL, the default included."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"
