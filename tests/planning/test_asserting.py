"""Assertions: which hold, and what is said of those that do not."""

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId, DatasetRecord, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.asserting import Assertions

RECORD = DatasetRecord(
    dataset_id=DatasetId("GSE1"),
    version_id=VersionId("v2"),
    data_type="Bulk RNAseq",
    data_format="gct",
    data_location="s3://b/d",
    metadata_location="s3://b/m",
    last_modified_at=5,
)
METADATA: JsonObject = {
    "organism": "human",
    "tags": ["a", "b"],
    "sample": {"organ name": "liver"},
    "samples": [{"id": 1}],
    "odd": "\ud83e",
    "long": "x" * 500,
}


def told(text: str) -> list[str]:
    return [str(one) for one in Assertions([text]).broken(RECORD, METADATA)]


@pytest.mark.parametrize(
    "text",
    [
        "metadata.organism == 'human'",
        "contains(metadata.tags, 'a') && data_type == 'Bulk RNAseq'",
        "starts_with(dataset_id, 'GSE')",
        "metadata.samples[*].id",
        "!study_id",
        "last_modified_at > `4`",
    ],
)
def test_what_holds_is_not_told(text: str) -> None:
    assert told(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("metadata.organism == 'Homo sapiens'", 'metadata.organism is "human"'),
        ("study_id", "study_id is null"),
        (
            "metadata.organism == 'x' || data_type == 'y'",
            'metadata.organism is "human", data_type is "Bulk RNAseq"',
        ),
        ("metadata.tags[1] == 'z'", 'metadata.tags[1] is "b"'),
        (
            "metadata.sample.\"organ name\" == 'lung'",
            'metadata.sample."organ name" is "liver"',
        ),
        ("metadata.samples[?id > `3`] | [0]", 'metadata.samples is [{"id": 1}]'),
        ("length(metadata.samples[*].id) > `2`", 'metadata.samples is [{"id": 1}]'),
        ("length(keys(metadata.sample)) == `9`", 'metadata.sample is {"organ name": "liver"}'),
        ("sort_by(metadata.samples, &id)[0].id == `2`", 'metadata.samples is [{"id": 1}]'),
        ("metadata.odd == 'x'", 'metadata.odd is "\\ud83e"'),
        ("`false`", "it is false"),
        ("contains(metadata.absent, 'x')", "cannot be evaluated: contains() takes array or"),
    ],
)
def test_what_does_not_hold_is_told_with_what_was_found(text: str, found: str) -> None:
    (said,) = told(text)
    assert said.startswith(f"assertion {text} does not hold at version v2: {found}")
    assert said.encode()


def test_long_values_are_cut() -> None:
    (said,) = told("metadata.long == 'y'")
    assert len(said) < 250
    assert "(502 characters)" in said


def test_metadata_is_read_only_where_it_is_asked_for() -> None:
    assert not Assertions(["study_id", "data_type"]).needs_metadata
    assert Assertions(["study_id", "metadata.x"]).needs_metadata


def test_each_counts_once_and_none_is_nothing() -> None:
    assert Assertions(["study_id", "study_id"]).texts == ("study_id",)
    assert not Assertions([])
    (gone,) = Assertions(["study_id"]).all_broken("the dataset is gone")
    assert str(gone) == "assertion study_id does not hold: the dataset is gone"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("metadata.organism ==", "it ends too early"),
        ("organism == 'x'", "asks for 'organism'"),
        ("nosuch(metadata.x)", "calls nosuch"),
        ("", "is empty"),
    ],
)
def test_what_is_no_expression_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match="--assert") as refused:
        Assertions([text])
    assert why in str(refused.value)
