"""Bodies whose metadata is kept as text."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polly_core.errors import BadRequest
from polly_core.server.jsontext import parse_body, parse_object

PATH = ("data", "attributes", "metadata")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


def around(metadata: str) -> bytes:
    text = (
        f' {{"data" : {{ "id":"x", "attributes":\n{{"a":[1],"metadata":{metadata} ,"b":{{}}}}}}}} '
    )
    return text.encode()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=OBJECTS, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 2]))
def test_reads_what_the_standard_library_reads(
    document: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        body = json.dumps(document).encode()
    assert parse_body(body) == (document, None)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(metadata=OBJECTS)
def test_keeps_the_member_at_the_path_as_it_was_sent(metadata: dict[str, object]) -> None:
    text = json.dumps(metadata)
    document, kept = parse_body(around(text), PATH)
    assert kept == text
    assert document == json.loads(around(text))


@pytest.mark.parametrize(
    "number",
    [
        "1.0",
        "1.10",
        "-0.0",
        "1E5",
        "0.1234567890123456789012345",
        "123456789012345678901234567890",
        "1e-400",
    ],
)
def test_numbers_keep_every_digit(number: str) -> None:
    _, kept = parse_body(around(f'{{"n": {number}}}'), PATH)
    assert kept == f'{{"n": {number}}}'


def test_the_last_of_two_members_counts() -> None:
    body = b'{"data":{"attributes":{"metadata":{"a":1},"metadata":{"b":2}}}}'
    document, kept = parse_body(body, PATH)
    assert kept == '{"b":2}'
    assert document == json.loads(body)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"null", "expected an object"),
        (b'"text"', "expected an object"),
        (b'{"a":1} x', "Extra data at line 1, column 9"),
        (b'{"a":1,}', "line 1, column 8"),
        (b"{'a':1}", "line 1, column 2"),
        (b'{"a" 1}', "Expecting ':'"),
        (b'{"a":1 "b":2}', "Expecting ','"),
        (b'{"a":', "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON value"),
        (b'{"a": 1e400}', "1e400 is beyond what readers can hold"),
        (b'{"a": "\x01"}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 7)"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}", "not usable JSON"),
    ],
)
def test_refuses_what_is_not_json(body: bytes, complaint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_body(body, PATH)
    assert complaint in refused.value.detail
    assert refused.value.status == 400


def test_a_body_that_is_no_object_is_told_in_one_text() -> None:
    with pytest.raises(BadRequest) as refused:
        parse_body(b"[1]", PATH)
    assert str(refused.value) == "400 Bad Request: The body: expected an object"


def test_the_kept_member_is_checked_as_well() -> None:
    with pytest.raises(BadRequest, match="NaN"):
        parse_body(around('{"n": NaN}'), PATH)


@pytest.mark.parametrize("text", ["", "x", "[1]", "{", '{"a": Infinity}', "[" * 100_000])
def test_refuses_parameters_that_are_no_objects(text: str) -> None:
    with pytest.raises(BadRequest, match="params"):
        parse_object(text, "params")
