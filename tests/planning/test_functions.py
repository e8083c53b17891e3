# ruff: noqa: RUF001 - typographic characters are what is repaired here
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.planning.functions import repair_encoding, split_text
from tests.planning.support import on_a_busy_machine


def broken(text: str, *layers: str) -> str:
    """The text as it looks when its UTF-8 is read as another encoding, layer by layer."""
    for layer in layers:
        characters = []
        for byte in text.encode():
            try:
                characters.append(bytes([byte]).decode(layer))
            except UnicodeDecodeError:
                characters.append(chr(byte))
        text = "".join(characters)
    return text


@pytest.mark.parametrize(
    "layers", [["latin-1"], ["cp1252"], ["cp1252", "latin-1"], ["latin-1", "cp1252"]]
)
@pytest.mark.parametrize(
    "text", ["it’s “so” – here", "5 µg at 37 °C ± 1", "TGF-β and α", "IL-1ß", "naïve café", "a… b"]
)  # fmt: skip
def test_repairs_layers(text: str, layers: list[str]) -> None:
    assert repair_encoding(broken(text, *layers)) == text


@pytest.mark.parametrize(
    "text", ["", "plain", "naïve", "µ-opioid ± 3 °C", "TGF-β’s", "日本語", "É"]
)
def test_leaves_what_is_right(text: str) -> None:
    assert repair_encoding(text) == text


@on_a_busy_machine
@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_ascii_is_never_changed(text: str) -> None:
    assert repair_encoding(text) is text


@on_a_busy_machine
@given(st.text(alphabet="aÃÂâ€™Åœ\x80\x93\u201c µ"))
def test_the_second_time_changes_nothing_after_few_layers(text: str) -> None:
    once = repair_encoding(text)
    twice = repair_encoding(once)
    assert isinstance(once, str)
    assert isinstance(twice, str)
    assert len(twice) <= len(once) <= len(text)


def test_repairs_elements_and_leaves_other_values() -> None:
    assert repair_encoding(["Âµ", 1, None]) == ["µ", 1, None]
    assert repair_encoding({"a": "Âµ"}) == {"a": "Âµ"}


def test_splits_text() -> None:
    assert split_text("a | b||c") == ["a", "b", "c"]
    assert split_text("a;b", separator=";") == ["a", "b"]
    assert split_text(["a|b"]) == ["a|b"]
