"""The step ``compute``: a field's value by JMESPath over the dataset."""

from polly_core.models.change import Compute
from polly_core.models.fieldpath import parse_field
from polly_core.planning.expression import Expression
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.values import not_json


def compute(title: str, step: Compute) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the expression is no JMESPath, or asks for a name that no dataset has.
    """
    expression = Expression(step.expression, f"{title}, expression")
    target = parse_field(step.field)

    def act(state: State) -> State:
        value = expression.search(state.document())
        if problem := not_json(value):
            raise Refused(step.field, f"{step.expression!r} to give JSON", problem)
        if value is not None:
            return state.put(target, value)
        match step.unmatched:
            case "keep":
                return state
            case "unset":
                return state.drop(target)
            case "default":
                return state.put(target, step.default)
            case "fail":
                raise Refused(
                    step.field,
                    f"{step.expression!r} to give a value",
                    "null, as for a field that is absent; say unmatched: keep, unset or default",
                )

    return act
