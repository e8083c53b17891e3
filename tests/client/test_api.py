"""The public API: the reference's parameters, in its order, with its defaults."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from polly_core import auth, data_management, threading_utils
from polly_core.catalog.resources import format_moment

REQUIRED = inspect.Parameter.empty
PARAMS: dict[str, object] = {"ingestion_params": None, "other_params": None}
# Parameters by name with their defaults; those after None stand behind a star.
REFERENCE: dict[str, tuple[dict[str, object], dict[str, object], bool]] = {
    "Catalog.__init__": ({"omixatlas_id": REQUIRED}, {}, False),
    "Catalog.create_dataset": (
        {"dataset_id": REQUIRED, "data_type": REQUIRED, "data": REQUIRED, "metadata": REQUIRED},
        PARAMS,
        True,
    ),
    "Catalog.get_dataset": ({"dataset_id": REQUIRED}, {}, False),
    "Catalog.list_datasets": ({}, {"limit": None, "prefetch_metadata": False}, False),
    "Catalog.update_dataset": (
        {"dataset_id": REQUIRED, "data_type": None, "metadata": None, "data": None},
        PARAMS,
        True,
    ),
    "Catalog.delete_dataset": ({"dataset_id": REQUIRED}, {}, True),
    "Catalog.set_parent_study": ({"dataset_id": REQUIRED, "study_id": REQUIRED}, PARAMS, True),
    "Catalog.list_datasets_in_study": ({"study_id": REQUIRED}, {}, False),
    "Catalog.list_studies": ({}, {}, False),
    "Catalog.get_version": ({"dataset_id": REQUIRED, "version_id": REQUIRED}, {}, False),
    "Catalog.list_versions": ({"dataset_id": REQUIRED}, {"include_deleted": False}, False),
    "Catalog.rollback": ({"dataset_id": REQUIRED, "version_id": REQUIRED}, PARAMS, True),
    "Catalog.attach_file": (
        {"dataset_id": REQUIRED, "path": REQUIRED},
        {"tag": None, "source_version_id": None, "file_name": None},
        True,
    ),
    "Catalog.get_file": ({"dataset_id": REQUIRED, "file_name": REQUIRED}, {}, False),
    "Catalog.list_files": ({"dataset_id": REQUIRED}, {}, False),
    "Catalog.delete_file": ({"dataset_id": REQUIRED, "file_name": REQUIRED}, {}, False),
    "Catalog.clear_token_cache": ({}, {}, False),
    "Catalog.trigger_ingestion": ({"dataset_id": REQUIRED}, PARAMS, False),
    "Catalog.__contains__": ({"dataset_id": REQUIRED}, {}, False),
    "Dataset.metadata": ({}, {}, False),
    "Dataset.load": ({}, {}, False),
    "Dataset.download": ({"path": REQUIRED}, {}, False),
    "DatasetVersion.metadata": ({}, {}, False),
    "DatasetVersion.load": ({}, {}, False),
    "DatasetVersion.download": ({"path": REQUIRED}, {}, False),
    "SupplementaryFile.download": ({"path": REQUIRED}, {}, False),
    "copy_dataset": (
        {
            "src_omixatlas_id": REQUIRED,
            "src_dataset_id": REQUIRED,
            "dest_omixatlas_id": REQUIRED,
            "dest_dataset_id": REQUIRED,
            "overwrite": False,
        },
        PARAMS,
        True,
    ),
}


def ours(name: str) -> Callable[..., object]:
    found: object = data_management
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


@pytest.mark.parametrize("name", REFERENCE)
def test_the_parameters_are_those_of_the_reference(name: str) -> None:
    positional, keywords, free = REFERENCE[name]
    parameters = dict(inspect.signature(ours(name)).parameters)
    parameters.pop("self", None)
    places = {
        parameter.name: parameter.default
        for parameter in parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert list(places.items()) == list(positional.items())
    for keyword, default in keywords.items():
        assert parameters[keyword].default == default
    kinds = {parameter.kind for parameter in parameters.values()}
    assert (inspect.Parameter.VAR_KEYWORD in kinds) == free


def test_helpers_have_the_reference_parameters() -> None:
    assert str(inspect.signature(threading_utils.for_each_threaded)).startswith("(items:")
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(
            threading_utils.for_each_threaded
        ).parameters.items()
    }
    assert defaults == {
        "items": REQUIRED,
        "fn": REQUIRED,
        "max_workers": 10,
        "max_error_perc": 0,
        "verbose": False,
    }
    assert list(inspect.signature(auth.Polly.auth).parameters) == ["token", "env", "default_env"]
    assert list(inspect.signature(auth.Polly.get_session).parameters) == ["token", "env"]


def test_reprs_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    auth.Polly.auth("key")
    when = format_moment(1_700_000_000_000)
    base: dict[str, Any] = {"dataset_id": "GSE1", "omixatlas_id": "9"}
    dataset: dict[str, Any] = {
        **base,
        "data_type": "Bulk",
        "data_format": "gct",
        "last_modified_at": 1_700_000_000_000,
    }
    file: dict[str, Any] = {
        **base,
        "file_name": "f.csv",
        "file_format": "csv",
        "created_at": 1_700_000_000_000,
    }
    assert repr(data_management.Dataset(**dataset)) == (
        f"Dataset(dataset_id='GSE1', data_type='Bulk', last_modified_at='{when}', "
        "data_format='gct')"
    )
    assert repr(data_management.Dataset(**dataset, study_id="S")) == (
        f"Dataset(dataset_id='GSE1', data_type='Bulk', last_modified_at='{when}', "
        "data_format=gct, study_id='S')"
    )
    version = data_management.DatasetVersion(version_id="v", created_at=1_700_000_000_000, **base)
    assert repr(version) == f"DatasetVersion(version_id='v', created_at='{when}')"
    assert repr(data_management.SupplementaryFile(**file)) == (
        f"SupplementaryFile(file_name='f.csv', file_format='csv', created_at='{when}')"
    )
    assert repr(data_management.SupplementaryFile(**file, tag="T", derived_from="s3://b/k")) == (
        f"SupplementaryFile(file_name='f.csv', file_format='csv', created_at='{when}', tag='T', "
        "derived_from=...)"
    )
    assert repr(data_management.Catalog("9")) == "Catalog(omixatlas_id='9')"
    auth.Polly.default_session = None


def test_unknown_attributes_are_kept() -> None:
    auth.Polly.auth("key")
    found = data_management.Dataset(dataset_id="D", omixatlas_id="9", novel={"a": [1]})
    assert found.attributes["novel"] == {"a": [1]}
    auth.Polly.default_session = None
