"""Which service, with which key."""

import pytest
from pydantic import SecretStr

from polly_core.errors import InvalidInput
from polly_core.transport.service import Service, normalise_url

KEY = SecretStr("key")


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://API.Example.org/", "https://api.example.org"),
        ("HTTP://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" http://host/Path/ ", "http://host/Path"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_one_spelling(given: str, normal: str) -> None:
    assert normalise_url(given) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.org",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://u:p@host",
        "http://host?x=1",
        "http://host#x",
        "/path",
        "http://[::1",
    ],
)
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Service(url, KEY)


def test_a_password_in_the_url_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise_url("http://user:hidden@host")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "a b\n", "key\r\nx-evil: 1", "schlüssel"])
def test_an_unusable_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Service("http://host", SecretStr(key))
    assert not key.strip() or key not in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    assert "hidden" not in repr(Service("http://host", SecretStr("hidden")))
