"""Where a flow gets its key from."""

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from polly_core.errors import CannotProceed
from tasks.credentials import PollyCredentials, surroundings
from tests.support.prefect import PrefectServer

SECRET = "a-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("POLLY_API_KEY", "POLLY_LEDGER_URL", "POLLY_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POLLY_HOME", str(tmp_path))
    monkeypatch.setenv("POLLY_API_URL", "http://environment.test")


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLLY_API_KEY", SECRET)
    found = surroundings()
    assert found.api_key.get_secret_value() == SECRET
    assert found.api_url == "http://environment.test"
    assert found.ledger_url == f"sqlite:///{tmp_path / 'ledger.db'}"
    assert SECRET not in repr(found)


def test_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotProceed, match="POLLY_API_KEY"):
        surroundings()


def test_a_workers_default_ledger_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers would each have their own, and write the same datasets."""
    monkeypatch.setenv("POLLY_API_KEY", SECRET)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))
    with pytest.raises(CannotProceed, match="POLLY_LEDGER_URL"):
        surroundings()
    monkeypatch.setenv("POLLY_LEDGER_URL", "sqlite:////tmp/shared.db")
    assert surroundings().ledger_url == "sqlite:////tmp/shared.db"


def test_from_a_block(prefect_server: PrefectServer) -> None:
    """What it says beats the environment, what it leaves out does not; the key stays hidden."""
    name = f"block-{uuid4().hex}"
    block = PollyCredentials(api_key=SecretStr(SECRET), s3_endpoint_url="http://s3.test")
    assert SECRET not in repr(block)
    with prefect_server.in_use() as client:
        block.save(name)
        found = surroundings(name)
        assert found.api_key.get_secret_value() == SECRET
        assert found.api_url == "http://environment.test"
        assert found.s3_endpoint_url == "http://s3.test"
        shown = client.read_block_document_by_name(
            name, block_type_slug="polly-credentials", include_secrets=False
        )
        assert SECRET not in shown.model_dump_json()
        with pytest.raises(CannotProceed, match="no 'Polly Credentials' block is called 'other'"):
            surroundings("other")
