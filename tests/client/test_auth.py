"""``Polly.auth``: which key, which service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polly_core.auth import Polly, PollySession, UnauthorizedException
from polly_core.data_management import Catalog, copy_dataset
from polly_core.errors import AccessDenied, InvalidInput, Unauthorized
from tests.transport.stub import Reply, dataset, serving


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No session, no settings."""
    for name in ("POLLY_API_URL", "POLLY_TYPE", "POLLY_S3_ENDPOINT_URL", "POLLY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Polly.default_session = None
    yield
    Polly.default_session = None


def test_nothing_works_before_auth() -> None:
    for use in (
        lambda: Catalog("9"),
        Polly.get_session,
        lambda: copy_dataset("9", "A", "17", "B"),
    ):
        with pytest.raises(UnauthorizedException, match=r"Polly\.auth"):
            use()


@pytest.mark.parametrize(
    ("environ", "env", "url"),
    [
        ({}, "", "https://api.discover.polly.elucidata.io"),
        ({}, "test", "https://api.discover.test.elucidata.io"),
        ({"POLLY_TYPE": "https://dev.elucidata.io"}, "", "https://api.discover.dev.elucidata.io"),
        (
            {"POLLY_TYPE": "https://dev.elucidata.io", "POLLY_API_URL": "http://own:1/"},
            "",
            "http://own:1",
        ),
        ({"POLLY_API_URL": "http://own:1"}, "test", "https://api.discover.test.elucidata.io"),
    ],
)
def test_which_service(
    environ: dict[str, str], env: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    Polly.auth("key", env=env)
    assert Polly.get_session().discover_url == url


def test_get_session_with_a_token_authorizes() -> None:
    session = Polly.get_session("key")
    assert session is Polly.default_session
    assert Polly.get_session() is session
    assert session.discover_url == "https://api.discover.polly.elucidata.io"


@pytest.mark.parametrize("token", ["", "two words\n"])
def test_an_unusable_key_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="key"):
        Polly.auth(token)


@pytest.mark.parametrize("environ", [{"POLLY_TYPE": "nonsense"}, {"POLLY_API_URL": "nonsense"}])
def test_an_unusable_address_is_refused(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match="nonsense"):
        Polly.auth("key")
    with pytest.raises(InvalidInput):
        Polly.auth("key", env="evil.example/")


def test_a_catalog_follows_the_session() -> None:
    answer = Reply(200, {"data": dataset()})
    with serving(answer, answer) as one, serving(answer) as two:
        Polly.auth("key-one")
        session = Polly.get_session()
        session.discover_url = one.url
        catalog = Catalog("9")
        catalog.get_dataset("GSE1")
        session.discover_url = f"{two.url}/"
        catalog.get_dataset("GSE1")
        Polly.auth("key-two")
        Polly.get_session().discover_url = one.url
        catalog.get_dataset("GSE1")
        assert [asked.headers["x-api-key"] for asked in one.asked] == ["key-one", "key-two"]
        assert [asked.headers["x-api-key"] for asked in two.asked] == ["key-one"]


def test_the_key_is_in_no_repr() -> None:
    Polly.auth("hidden-key")
    session = Polly.get_session()
    assert isinstance(session, PollySession)
    assert "hidden-key" not in repr(session)
    assert "hidden-key" not in repr(session.transport())
    assert "hidden-key" not in repr(vars(Catalog("9")))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_says_where_and_what_to_check(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Reply(status, {"message": "Unauthorized"})) as stub:
        monkeypatch.setenv("POLLY_API_URL", stub.url)
        Polly.auth("some-wrong-key")
        with pytest.raises((Unauthorized, AccessDenied)) as caught:
            list(Catalog("9").list_datasets())
    assert f"{stub.url} does not" in str(caught.value)
    assert "check POLLY_API_KEY, or the key that was given to Polly.auth" in str(caught.value)
    assert "some-wrong-key" not in str(caught.value)
