import pytest

from polly_core.errors import InvalidInput
from polly_core.planning.selection import Where
from tests.planning.support import record


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("data_type == 'Bulk RNAseq'", False),
        ("starts_with(dataset_id, 'GSE') && last_modified_at > `1`", False),
        ("study_id || !(data_type == 'x')", False),
        ("[dataset_id, data_type][0]", False),
        ("contains(['a', 'b'], data_type)", False),
        ("metadata.organism == 'x'", True),
        ("data_type == 'x' && metadata.tags[?@ == 'y']", True),
        ("length(metadata.samples[*].metadata) > `1`", True),
        ("@", True),
        ("values(@)", True),
        ("*", True),
        ("@ | data_type", True),
        ("sort_by(metadata.samples, &organism)", True),
        ("metadata.{a: organism}", True),
    ],
)
def test_knows_whether_metadata_must_be_read(text: str, needs: bool) -> None:
    assert Where(text).needs_metadata is needs


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("data_type == 'Bulk RNAseq'", True),
        ("study_id", False),
        ("metadata.n == `0`", True),
        ("metadata.n", True),
        ("metadata.empty", False),
        ("metadata.none", False),
        ("metadata.tags[?@ == 'y']", True),
        ("metadata.tags[?@ == 'z']", False),
        ("contains(metadata.tags, 'x') && dataset_id == 'GSE1'", True),
    ],
)
def test_matches_as_jmespath_has_truth(text: str, selected: bool) -> None:
    found = Where(text).matches(record(), {"n": 0, "empty": [], "tags": ["x", "y"]})
    assert found is selected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression is empty"),
        ("data_type ==", "position 13, it ends too early"),
        ("data_type = 'x'", "position 11, unexpected '='"),
        ("metadata.n < 3", "position 14, unexpected 3; .*in backticks: `3`"),
        ("metadata.n < `3", "position 14"),
        ("frobnicate(data_type)", r"calls frobnicate\(\), which is unknown"),
        ("organism == 'x'", "asks for 'organism'; .*a metadata field is metadata.organism"),
        ("metdata.organism", "did you mean metadata?"),
        ('data_type == "Bulk"', "a text is written 'Bulk'"),
    ],
)
def test_refuses_wrong_expressions_with_the_position(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        Where(text)
    assert str(caught.value).startswith("--where: ")


def test_names_the_dataset_on_which_it_fails() -> None:
    where = Where("contains(metadata.title, 'x')")
    with pytest.raises(InvalidInput, match=r"dataset GSE1: .*guard the field"):
        where.matches(record(), {})
