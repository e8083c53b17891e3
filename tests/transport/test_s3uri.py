"""Addresses of objects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.transport.s3uri import S3Uri, parse_s3_uri


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (S3Uri("b", "9/v2/D/D.gct"), "s3://b/9/v2/D/D.gct"),
        (S3Uri("b", "a#1.csv", "v/1 +"), "s3://b/a%231.csv?versionId=v%2F1+%2B"),
        (S3Uri("b", "a?1 %41ä.csv"), "s3://b/a%3F1%20%2541%C3%A4.csv"),
    ],
)
def test_keys_are_quoted(uri: S3Uri, text: str) -> None:
    assert str(uri) == text
    assert parse_s3_uri(text) == uri


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    version=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_every_key_survives(key: str, version: str | None) -> None:
    uri = S3Uri("bucket", key, version)
    assert parse_s3_uri(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "/local/file",
        "https://b/k",
        "s3://",
        "s3://b",
        "s3://b/",
        "s3:///k",
        "s3://b/k?x=1",
        "s3://b/k?versionId=1&x=2",
        "s3://b/a#1.csv",
        "s3://b/a?1.csv",
    ],
)
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_s3_uri(text)


def test_an_empty_version_is_none() -> None:
    assert parse_s3_uri("s3://b/k?versionId=").version_id is None
    assert parse_s3_uri("s3://b/x/k.gct").name == "k.gct"
