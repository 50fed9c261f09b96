"""The contract of seqlab.model as checks: what each measures, whether that passes, and the likely cause if not.

tests/contract holds every model of conf/model to them, `seqlab check` a model of one's own.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch

from seqlab.contract import reading, weights
from seqlab.contract.measure import Outcome, Subject

Check = Callable[[Subject], Outcome]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "shapes of outputs": reading.shapes,
        "no leak from the future": reading.no_leak,
        "each step sees its input": reading.sees_its_input,
        "steps against the whole": reading.steps_equal_whole,
        "chunks against the whole": reading.chunks_equal_whole,
        "a row alone against the batch": reading.rows_alone,
        "padding has no effect": reading.padding_has_no_effect,
        "a state is tensors": reading.state_is_tensors,
        "a state is a value": reading.state_is_a_value,
        "the room of a state": reading.ends_at_its_room,
        "gradients in every parameter": weights.gradients,
        "saved and loaded": weights.saved_and_loaded,
        "the same in evaluation": weights.deterministic,
        "float64": weights.float64,
        "bfloat16": weights.bfloat16,
        "built without memory": weights.without_memory,
    }
)


def outcome(check: Check, subject: Subject) -> Outcome:
    """The outcome of a check. What the model raises is one too."""
    try:
        with torch.no_grad():
            return check(subject)
    except Exception as error:  # a model can raise anything
        reason = (str(error).strip() or "without a message").splitlines()[0]
        cause = "the model raises this where it has to compute"
        return Outcome(False, f"{type(error).__name__}: {reason}", cause, error)


def outcomes(subject: Subject) -> Iterator[tuple[str, Outcome]]:
    """The outcome of each check, by name. Where outputs have another shape, a check that cannot go on says so."""
    misshapen = False
    for name, check in CHECKS.items():
        found = outcome(check, subject)
        if check is reading.shapes:
            misshapen = not found.passed and found.error is None
        elif misshapen and found.error is not None:
            found = found._replace(cause="outputs have another shape than the check expects")
        yield name, found
