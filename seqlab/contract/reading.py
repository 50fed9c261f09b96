"""Checks of what a model reads: the past alone, each row by itself, and the same in every way of reading."""

import torch

from seqlab.contract.measure import (
    MODES,
    TOLERANCE,
    Outcome,
    Subject,
    by_steps,
    changed,
    difference,
    in_both_modes,
    in_mode,
    leaves,
    random_inputs,
    whole_and_stepwise,
    within,
)
from seqlab.model import clone
from seqlab.ragged import real_steps


def shapes(subject: Subject) -> Outcome:
    """Outputs are (batch, time, width) of `forward` and `prefill`, (batch, width) of `step`, in float32."""
    model, inputs = subject.model, subject.inputs
    width, time = model.spec.output.width, inputs.shape[1]
    found, wanted = [], []
    for part in (inputs[:1, :1], inputs[:1], inputs[:, : time // 2], inputs):
        size = tuple(part.shape[:2])
        chunk, state = model.prefill(part, model.init_state(size[0]))
        said = [model(part), chunk]
        wanted += [(*size, width)] * 2
        if size[1] < time:
            said.append(model.step(inputs[: size[0], -1], state)[0])
            wanted.append((size[0], width))
        found += [(tuple(logits.shape), logits.dtype) for logits in said]
    for (shape, dtype), right in zip(found, wanted, strict=True):
        if shape != right or dtype != torch.float32:
            measured = f"{shape} in {dtype}, expected {right} in float32".replace("torch.", "")
            cause = "the outputs of some steps are missing, or their width is not that of spec.output"
            return Outcome(False, measured, cause)
    return Outcome(True, f"{wanted[-1]}")


def no_leak(subject: Subject) -> Outcome:
    """Outputs stay as they are when later inputs change."""
    spec, inputs = subject.model.spec, subject.inputs
    errors = {}
    for training in MODES:
        read = in_mode(subject.model, training)
        whole, starts = read(inputs), range(1, inputs.shape[1])
        errors[training] = max(
            difference(read(changed(inputs, spec, start))[:, :start], whole[:, :start]) for start in starts
        )
    return in_both_modes(
        errors,
        "an output sees later inputs: attention without a causal mask, a convolution padded on both sides, a layer "
        "that reads backwards, a mean or norm over time",
        "batch norm, or another statistic over the steps of a training batch",
    )


def sees_its_input(subject: Subject) -> Outcome:
    """The output at each step changes with the input at that step."""
    spec, inputs = subject.model.spec, subject.inputs
    whole, effects = subject.model(inputs), []
    for place in range(inputs.shape[1]):
        other = subject.model(changed(inputs, spec, place))
        effects.append(difference(other[:, place], whole[:, place]))
    measured = f"least effect {min(effects):.1e}"
    if not (passed := min(effects) > 0):
        measured += f", at step {effects.index(min(effects))}"
    return Outcome(passed, measured, "inputs are shifted by a step, or a part of them is never read")


def steps_equal_whole(subject: Subject) -> Outcome:
    """`step` after `step` gives what `forward` gives."""
    whole, stepwise = whole_and_stepwise(subject.model, subject.inputs)
    cause = "step returns no updated state, a state lacks something that forward uses, or positions begin anew"
    return within(difference(stepwise, whole), TOLERANCE, cause)


def chunks_equal_whole(subject: Subject) -> Outcome:
    """Two chunks, and steps after a chunk, give what `forward` gives."""
    model, inputs = subject.model, subject.inputs
    whole, errors = model(inputs), []
    for split in range(1, inputs.shape[1]):
        first, state = model.prefill(inputs[:, :split], model.init_state(*inputs.shape[:2]))
        chunk, _ = model.prefill(inputs[:, split:], clone(state))
        steps, _ = by_steps(model, inputs[:, split:], state)
        errors += [difference(torch.cat([first, rest], 1), whole) for rest in (chunk, steps)]
    cause = "prefill does not begin from the state that it is given, or returns a part of it"
    return within(max(errors), TOLERANCE, cause)


def rows_alone(subject: Subject) -> Outcome:
    """A row gives alone what it gives in a batch, and in training the same beside other rows."""
    model, inputs = subject.model, subject.inputs
    whole, stepwise = model(inputs), by_steps(model, inputs, model.init_state(len(inputs)))[0]
    alone = []
    for row in range(len(inputs)):
        one = inputs[row : row + 1]
        alone.append(difference(model(one)[0], whole[row]))
        alone.append(difference(by_steps(model, one, model.init_state(1))[0][0], stepwise[row]))
    others = torch.cat([inputs[:1], changed(inputs[1:], model.spec, 0)])
    read = in_mode(model, training=True)
    return in_both_modes(
        {False: max(alone), True: difference(read(others)[0], read(inputs)[0])},
        "rows are mixed: a mean, norm or softmax over the batch, or a reshape that is not batch first",
        "rows are mixed in training: batch norm, or another statistic over the batch",
    )


def padding_has_no_effect(subject: Subject) -> Outcome:
    """`packed` gives the real steps of rows of different lengths, whatever is behind the end of a row."""
    model, inputs = subject.model, subject.inputs
    lengths = torch.tensor([max(1, inputs.shape[1] // (len(inputs) - row)) for row in range(len(inputs))])
    real = real_steps(lengths, inputs.shape[1])
    at_real = real.unsqueeze(-1) if inputs.dim() == 3 else real
    other = torch.where(at_real, inputs, changed(inputs, model.spec, 0))
    cut = torch.cat([model(row[None, :length])[0] for row, length in zip(inputs, lengths.tolist(), strict=True)])
    errors = [difference(model.packed(rows, lengths), cut) for rows in (inputs, other)]
    return within(max(errors), TOLERANCE, "packed reads behind the end of a row, or returns rows in another order")


def state_is_tensors(subject: Subject) -> Outcome:
    """A state is NamedTuples of tensors, batch first, whose number and dtypes stay."""
    model, inputs = subject.model, subject.inputs
    states = [model.init_state(len(inputs))]
    states.append(model.prefill(inputs[:, :3], states[-1])[1])
    states.append(model.step(inputs[:, 3], states[-1])[1])
    kinds = [[leaf.dtype for leaf in leaves(state, len(inputs))] for state in states]
    passed = bool(kinds[0]) and kinds.count(kinds[0]) == len(kinds)
    numbers = ", ".join(f"{len(kind)}" for kind in kinds)
    cause = "init_state has other tensors, or other dtypes, than prefill and step return"
    return Outcome(passed, f"{len(kinds[0])} tensors" if passed else f"{numbers} tensors in turn", cause)


def state_is_a_value(subject: Subject) -> Outcome:
    """Reading leaves the state that was given valid, and sequences read in turns do not disturb each other."""
    model, inputs = subject.model, subject.inputs
    other = changed(inputs, model.spec, 0)
    _, state = model.prefill(inputs[:, :3], model.init_state(len(inputs)))
    kept = clone(state)
    model.step(other[:, 3], state)
    errors = [difference(model.step(inputs[:, 3], state)[0], model.step(inputs[:, 3], kept)[0])]
    alone = [whole_and_stepwise(model, rows)[1] for rows in (inputs, other)]
    states = [model.init_state(len(inputs)) for _ in alone]
    for place in range(inputs.shape[1]):
        for turn, rows in enumerate((inputs, other)):
            logits, states[turn] = model.step(rows[:, place], states[turn])
            errors.append(difference(logits, alone[turn][:, place]))
    return within(max(errors), TOLERANCE, "a state is overwritten in place, or kept on the module")


def ends_at_its_room(subject: Subject) -> Outcome:
    """A model refuses more steps than its state is made for, or its state keeps its size (`endless_state`)."""
    model, room = subject.model, subject.model.spec.max_length
    longer = random_inputs(model.spec, 2, room + 1)
    if model.endless_state:
        state = model.init_state(2)
        read = (state, model.prefill(longer, state)[1], model.init_state(2, room + 99))
        sizes = [[leaf.shape for leaf in leaves(each, 2)] for each in read]
        return Outcome(sizes.count(sizes[0]) == len(sizes), "endless", "endless_state is set, and the state grows")
    try:
        model.prefill(longer, model.init_state(2))
    except ValueError:
        return Outcome(True, f"refuses {room + 1} steps in a state for {room}")
    cause = "prefill has to raise ValueError, or the model to set endless_state, if its state keeps its size"
    return Outcome(False, f"reads {room + 1} steps in a state for {room}", cause)
