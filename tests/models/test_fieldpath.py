import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.models.fieldpath import format_field, parse_field
from tests.planning.support import on_a_busy_machine


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("organism", ("organism",)),
        ("a.b.c", ("a", "b", "c")),
        ("organism part.label", ("organism part", "label")),
        ('characteristics."cell.line"', ("characteristics", "cell.line")),
        ('"@data_type"', ("@data_type",)),
        ('"say \\"hi\\" \\\\".x', ('say "hi" \\', "x")),
        ('""', ("",)),
    ],
)
def test_reads_keys(text: str, keys: tuple[str, ...]) -> None:
    assert parse_field(text).keys == keys


def test_reads_attributes() -> None:
    path = parse_field("@data_type")
    assert (path.attribute, path.keys) == ("@data_type", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "position 1"),
        ("a..b", "position 3"),
        ("a.", "position 3"),
        ('"open', "position 1"),
        ('"a"b', "expected a dot after a key, found 'b'"),
        ('a"b', "expected a dot after a key"),
        ("@owner", "expected one of @data_type"),
    ],
)
def test_refuses_malformed_names(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_field(text)


@on_a_busy_machine
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_format_is_read_back(keys: list[str]) -> None:
    assert parse_field(format_field(keys)).keys == tuple(keys)
