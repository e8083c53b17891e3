"""Files by path or URI: what is refused, and what may be said of them."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from polly_core.errors import InvalidInput
from polly_core.transport.sources import (
    PATTERN,
    fetch_source,
    given_source,
    read_source,
    without_query,
    without_secrets,
)

SECRET = [
    "https://user:pw%2Fhush@host/m.csv",
    "https://hush@host/m.csv?a=1",
    "s3://id:hush@bucket/m.csv",
    "ftp://u:hush@host/m.csv",
    "https://host/m.csv?X-Amz-Credential=a&X-Amz-Signature=hush",
    "https://host/m.csv?AWSAccessKeyId=a&Signature=hush&Expires=1",
    "https://host/m.csv?sv=1&sig=hush",
    "https://host/m.csv?version=2&token=hush",
    "https://host/m.csv?private_token=hush",
    "https://host/m.csv?api_key=hush",
]
PLAIN = [
    "m.csv",
    "folder/a@b?token=x.csv",
    "/data/what?.csv",
    "s3://bucket/a@b/m.csv",
    "https://host/a@b/m.csv?version=2&design=x",
    "",
]


@pytest.mark.parametrize("uri", SECRET)
@pytest.mark.parametrize("use", [without_secrets, given_source, read_source])
def test_a_uri_that_holds_a_secret_is_refused_without_repeating_it(
    uri: str, use: Callable[[str], object]
) -> None:
    with pytest.raises(InvalidInput, match="s3:// URI") as refused:
        use(uri)
    assert "hush" not in str(refused.value)
    assert "m.csv" in str(refused.value)


def test_nothing_is_fetched_from_such_a_uri(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is signed"):
        fetch_source(SECRET[4], tmp_path / "sources")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", PLAIN)
def test_others_are_left_as_they_are(uri: str) -> None:
    assert without_secrets(uri) == uri


def test_the_pattern_of_forms_refuses_the_usual_spellings() -> None:
    """An exact check follows; this one is also made by Prefect's server and form."""
    assert [uri for uri in SECRET if re.search(PATTERN, uri)] == []
    assert [uri for uri in PLAIN if not re.search(PATTERN, uri)] == []


def test_what_cannot_be_read_is_told_without_its_query() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}/m.csv?who=hush"
        with pytest.raises(InvalidInput, match=r"/m\.csv\?… cannot be read: .*refused") as failed:
            read_source(uri)
    assert "hush" not in str(failed.value)
    assert failed.value.__cause__ is None


def test_shown() -> None:
    assert without_query("https://u:p@host/a?b=c") == "https://host/a?…"
    assert without_query("what is this?really") == "what is this?really"
