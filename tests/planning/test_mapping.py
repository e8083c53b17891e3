import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.steps import StepFailed
from tests.planning.support import evaluate, evaluator, result

ORGANISMS = "vocabulary: {human: Homo sapiens, '9606': Homo sapiens, Homo sapiens: Homo sapiens}"


def mapped(options: str, value: JsonValue) -> JsonValue:
    text = f"steps: [{{map: x, {ORGANISMS}, {options}}}]"
    return result(text, {"x": value}).get("x", "(absent)")


@pytest.mark.parametrize(
    ("options", "value", "wanted"),
    [
        ("", "human", "Homo sapiens"),
        ("", "Human", "Human"),
        ("ignore_case: true", "HUMAN", "Homo sapiens"),
        ("", 9606, "Homo sapiens"),
        ("", True, True),
        ("", None, None),
        ("unmatched: unset", "yeti", "(absent)"),
        ("unmatched: default, default: unknown", "yeti", "unknown"),
        ("unmatched: default", "yeti", None),
        ("", ["human", "yeti"], ["Homo sapiens", "yeti"]),
        ("unmatched: unset", ["human", "yeti"], ["Homo sapiens"]),
        ("unmatched: default, default: '?'", ["yeti", "human"], ["?", "Homo sapiens"]),
        ("", ["human", "Homo sapiens"], ["Homo sapiens", "Homo sapiens"]),
        ("unique: true", ["human", "Homo sapiens"], ["Homo sapiens"]),
        ("", [], []),
        ("", {"label": "human"}, {"label": "human"}),
    ],
)
def test_values_and_elements(options: str, value: JsonValue, wanted: JsonValue) -> None:
    assert mapped(options, value) == wanted


@pytest.mark.parametrize("value", ["yeti", ["human", "yeti"]])
def test_refuses_what_the_vocabulary_lacks(value: JsonValue) -> None:
    with pytest.raises(StepFailed, match=r'field x: expected an entry of .*, found "yeti"'):
        mapped("unmatched: fail", value)


TISSUES = """
steps:
  - map: tissue
    from: abstract
    match: words
    ignore_case: true
    results: {results}
    vocabulary: {{liver: liver, hepatic: liver, bone: bone, bone marrow: bone marrow, T-cell: T}}
"""


@pytest.mark.parametrize(
    ("abstract", "first", "every"),
    [
        ("Liver and bone.", "liver", ["liver", "bone"]),
        ("delivery, livers", None, None),
        ("bone marrow of hepatic origin", "bone marrow", ["bone marrow", "liver"]),
        ("BONE-MARROW; bone", "bone marrow", ["bone marrow", "bone"]),
        ("hepatic (liver) tissue", "liver", ["liver"]),
        ("a T cell, a T-cell", "T", ["T"]),
        ("", None, None),
    ],
)
def test_words_of_a_text(abstract: str, first: str | None, every: list[str] | None) -> None:
    for results, wanted in (("first", first), ("all", every)):
        made = result(TISSUES.format(results=results), {"abstract": abstract})
        assert made.get("tissue") == wanted


def test_words_in_a_list_of_texts() -> None:
    made = result(TISSUES.format(results="all"), {"abstract": ["bone", 3, "liver"]})
    assert made["tissue"] == ["bone", "liver"]


def test_attributes_are_read_and_the_type_is_written() -> None:
    text = "steps: [{map: '@data_type', from: '@dataset_id', vocabulary: {GSE1: Bulk}}]"
    assert evaluate(text, {}).data_type == "Bulk"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.yaml", "human: Homo sapiens\n9606: Homo sapiens\n"),
        ("v.json", '{"human": "Homo sapiens", "9606": "Homo sapiens"}'),
        ("v.csv", "found,wanted\nhuman,Homo sapiens\n9606,Homo sapiens\n"),
        ("v.tsv", "found\twanted\r\nhuman\tHomo sapiens\r\n9606\tHomo sapiens\r\n"),
    ],
)
def test_vocabulary_files(name: str, content: str) -> None:
    metadata: JsonObject = {"x": ["human", 9606]}
    made = result(f"steps: [{{map: x, vocabulary: {name}}}]", metadata, {name: content})
    assert made == {"x": ["Homo sapiens", "Homo sapiens"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.yaml", "- a\n", "expected a mapping"),
        ("v.yaml", "{}", "the vocabulary is empty"),
        ("v.yaml", "a: 1\na: 2\n", "the key 'a' is there twice"),
        ("v.yaml", "A: 1\na: 2\n", "two things of 'a' when case is ignored"),
        ("v.csv", "found,wanted\na,b\na,c\n", "line 3: 'a' is already in line 2"),
        ("v.csv", "found,wanted,more\na,b,c\n", "line 2: expected two cells"),
        ("v.json", "{", "v.json cannot be parsed"),
    ],
)
def test_refuses_unusable_vocabularies(name: str, content: str, message: str) -> None:
    text = f"steps: [{{map: x, vocabulary: {name}, ignore_case: true}}]"
    with pytest.raises(InvalidInput, match=message):
        evaluator(text, {name: content})


def test_refuses_words_that_are_none_or_say_two_things() -> None:
    with pytest.raises(InvalidInput, match="holds no word"):
        evaluator("steps: [{map: x, match: words, vocabulary: {'+': plus}}]")
    with pytest.raises(InvalidInput, match="two things of the words 'T cell'"):
        evaluator("steps: [{map: x, match: words, vocabulary: {T-cell: a, T cell: b}}]")
