"""Functions and models that the tests allow changes to call."""

from pydantic import BaseModel, Field, field_validator

from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.steps import DatasetView

NOT_A_FUNCTION = 3


def shout(value: JsonValue, dataset: DatasetView, *, mark: str = "!") -> JsonValue:
    return f"{value} {dataset.dataset_id}{mark}"


def spoil_then_return(dataset: DatasetView) -> JsonObject:
    metadata = dataset.metadata
    metadata["seen"] = [dataset.data_type, dataset.study_id]
    inner = metadata.get("inner")
    if isinstance(inner, dict):
        inner["spoiled"] = True
    return metadata


def spoil_value(value: JsonValue, dataset: DatasetView) -> JsonValue:
    if isinstance(value, list):
        value.append("spoiled")
    return value


def fail(value: JsonValue, dataset: DatasetView) -> JsonValue:
    raise KeyError("age")


def leave(value: JsonValue, dataset: DatasetView) -> JsonValue:
    raise SystemExit(3)


class Odd(BaseException):
    pass


def be_odd(value: JsonValue, dataset: DatasetView) -> JsonValue:
    raise Odd("oh")


def not_json(value: JsonValue, dataset: DatasetView) -> object:
    return {"ok": [1, {2, 3}]}


def endless(value: JsonValue, dataset: DatasetView) -> object:
    return [float("inf")]


def wrong_kind(dataset: DatasetView) -> str:
    return "metadata"


class Sample(BaseModel):
    organism: str
    age: int = Field(default=1, ge=0)
    tags: list[str] = []

    @field_validator("organism")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "yeti":
            raise ValueError("no such organism")
        if value == "mistake":
            raise ZeroDivisionError("oh")
        return value
