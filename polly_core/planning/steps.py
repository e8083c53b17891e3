"""Evaluating a change on one dataset: compiled once, then pure and thread-safe."""

from collections.abc import Collection
from dataclasses import dataclass

from polly_core.errors import PollyError
from polly_core.models.catalog import DatasetRecord
from polly_core.models.change import (
    Call,
    Cast,
    Compute,
    Join,
    JsonPatch,
    Map,
    Replace,
    Split,
    Step,
    step_kind,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.actions import simple_action
from polly_core.planning.calling import DatasetView, call
from polly_core.planning.casting import cast
from polly_core.planning.computing import compute
from polly_core.planning.editing import Base, edits_of
from polly_core.planning.expression import Expression, ExpressionFailed
from polly_core.planning.joining import join
from polly_core.planning.jsonpatch import json_patch
from polly_core.planning.mapping import map_values
from polly_core.planning.resources import Loaded
from polly_core.planning.rewriting import replace, split
from polly_core.planning.rowpatch import apply_row, put_meaning
from polly_core.planning.state import Action, FieldMissing, Refused, State, describe_missing

__all__ = ["DatasetView", "Evaluation", "Evaluator", "StepFailed"]


class StepFailed(PollyError):
    """A change cannot be done to a dataset; ``reasons`` name every step that refused."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a change makes of a dataset."""

    metadata: JsonObject
    """Shares with the metadata that was given what was not changed; must not be changed itself."""
    data_type: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    title: str
    when: Expression | None
    action: Action
    fails_without_field: bool

    def applies(self, state: State) -> bool:
        """Whether it is to be done to the dataset. Raises ``ExpressionFailed``."""
        try:
            return self.when is None or self.when.holds(state.document())
        except ExpressionFailed as error:
            raise ExpressionFailed(f"when: {error}") from None


class Evaluator:
    """A compiled change. Evaluates any number of datasets, from any number of threads."""

    def __init__(self, loaded: Loaded, *, allowed_modules: Collection[str] = ()) -> None:
        """Compile the steps with the files they refer to.

        Args:
            allowed_modules: names of the modules whose functions may be called, each in full.

        Raises:
            InvalidInput: an expression, vocabulary, table or function cannot be used.
        """
        self._steps = tuple(
            _compile(number, step, loaded, allowed_modules)
            for number, step in enumerate(loaded.change.steps, 1)
        )

    def evaluate(
        self,
        record: DatasetRecord,
        metadata: JsonObject,
        row: JsonObject | None = None,
        *,
        base: Base | None = None,
    ) -> Evaluation:
        """What becomes of the dataset. No argument is touched.

        Args:
            row: the item's manifest row; it is the change where the change has no steps.
            base: the version that the row was exported from; only what was edited since counts.

        Raises:
            StepFailed: a step refuses this dataset; the steps after it were tried as well.
        """
        state = State(record, metadata, record.data_type)
        if not self._steps:
            return _patched(state, row or {}, base)
        reasons: list[str] = []
        for step in self._steps:
            try:
                if step.applies(state):
                    state = step.action(state)
            except FieldMissing as missing:
                if step.fails_without_field:
                    reasons.append(f"{step.title}: {describe_missing(missing, state)}")
            except (Refused, ExpressionFailed) as refused:
                reasons.append(f"{step.title}: {refused}")
        if reasons:
            raise StepFailed(tuple(reasons))
        return Evaluation(state.metadata, state.data_type)


def _patched(state: State, row: JsonObject, base: Base | None) -> Evaluation:
    try:
        state = apply_row(state, row) if base is None else _edited(state, row, base)
    except Refused as refused:
        raise StepFailed((f"manifest row: {refused}",)) from None
    return Evaluation(state.metadata, state.data_type)


def _edited(state: State, row: JsonObject, base: Base) -> State:
    edits = edits_of(row, base, state)
    if edits.problems:
        raise StepFailed(tuple(f"manifest row: {problem}" for problem in edits.problems))
    for path, wanted in edits.fields:
        state = put_meaning(state, path, wanted)
    return state


def _compile(
    number: int, step: Step, loaded: Loaded, allowed_modules: Collection[str]
) -> _Compiled:
    title = f"step {number} ({step_kind(step)})"
    when = None if step.when is None else Expression(step.when, f"{title}, when")
    action = _action(title, step, loaded, allowed_modules)
    fails = getattr(step, "missing", "fail") == "fail"
    return _Compiled(title, when, action, fails)


def _action(title: str, step: Step, loaded: Loaded, allowed_modules: Collection[str]) -> Action:
    action: Action
    match step:
        case Map():
            action = map_values(title, step, loaded.resources)
        case Join():
            action = join(title, step, loaded.resources)
        case Call():
            action = call(title, step, allowed_modules)
        case Split():
            action = split(title, step)
        case Cast():
            action = cast(step)
        case Replace():
            action = replace(title, step)
        case Compute():
            action = compute(title, step)
        case JsonPatch():
            action = json_patch(step)
        case _:
            action = simple_action(step)
    return action
