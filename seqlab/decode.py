"""Greedy decoding and sampling on any token model, batched, with state, stopping when every row has ended.

Prompts may have different lengths: what all rows share is read in one parallel chunk, and a row that is still inside
its own prompt is forced to take the prompt's token. So padding never enters a state.
"""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.model import SequenceModel, evaluating

Choose = Callable[[Tensor], Tensor]  # logits (batch, vocabulary) -> ids (batch,)


class Decoded(NamedTuple):
    """Prompts and what follows them.

    tokens: (batch, max_length) prompt, completion, EOS where it fits, then PAD.
    finished: (batch,) bool, whether the row ended with EOS. A row that fills all max_length places is finished when
        the model would write EOS next.
    """

    tokens: Tensor
    finished: Tensor


def greedy(model: SequenceModel, prompts: Tensor, lengths: Tensor, *, max_length: int) -> Decoded:
    """Complete prompts with the most probable token at each step. See `decode` for the arguments."""
    return decode(model, prompts, lengths, max_length=max_length, choose=most_probable)


def most_probable(logits: Tensor) -> Tensor:
    """The id of the highest logit of each row, (batch,); the first of equals."""
    return logits.argmax(dim=-1)


def sample(
    model: SequenceModel,
    prompts: Tensor,
    lengths: Tensor,
    *,
    max_length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Decoded:
    """Complete prompts by drawing each next token. See `decode` and `sampler` for the arguments."""
    choose = sampler(generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
    return decode(model, prompts, lengths, max_length=max_length, choose=choose)


def sampler(
    *, generator: torch.Generator, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Choose:
    """Draws from softmax(logits / temperature) over the VOCABULARY.

    Args:
        generator: the source of randomness, on the model's device.
        temperature: below 1 sharpens; 0 takes the most probable token, as `greedy` does.
        top_k: draw among the k most probable tokens only.
        top_p: draw among the fewest most probable tokens that hold this much of the probability (after temperature
            and top_k; Holtzman et al. 2020, nucleus sampling).

    Raises:
        ValueError: for a temperature that is negative or not finite, top_k below 1, or top_p outside (0, 1].
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature={temperature} must be finite, and 0 (greedy) or above")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1")

    if temperature == 0:
        return most_probable
    float32 = torch.finfo(torch.float32)
    divisor = min(max(temperature, float32.tiny), float32.max)

    def choose(logits: Tensor) -> Tensor:
        if top_k is not None:
            best = logits.topk(min(top_k, logits.shape[-1]), dim=-1)  # exactly so many, also where logits are equal
            logits = torch.full_like(logits, -torch.inf).scatter(1, best.indices, best.values)
        below_best = logits.float() - logits.float().amax(dim=-1, keepdim=True)  # so that nothing gets too large
        probabilities = torch.softmax(below_best / divisor, dim=-1)
        if top_p is not None:
            ranked = probabilities.sort(dim=-1, descending=True, stable=True)
            beyond = ranked.values.cumsum(-1) - ranked.values >= top_p  # what stands before is enough already
            probabilities = torch.zeros_like(probabilities).scatter(
                1, ranked.indices, ranked.values.masked_fill(beyond, 0.0)
            )
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)

    return choose


def decode(model: SequenceModel, prompts: Tensor, lengths: Tensor, *, max_length: int, choose: Choose) -> Decoded:
    """Complete prompts, token by token.

    Args:
        model: any token model whose Spec names eos and pad; it is put into evaluation mode for the while.
        prompts: (batch, width) ids, starting with SOS; row b counts up to lengths[b], the rest is ignored.
        lengths: (batch,) prompt lengths, 1 .. min(width, max_length).
        max_length: the most tokens in prompt and completion together, SOS counted, EOS not.
        choose: picks the next ids from logits.

    Raises:
        ValueError: when a prompt is empty, or longer than its row or than max_length.
    """
    if len(prompts) == 0:
        return Decoded(prompts.new_empty(0, max_length), prompts.new_empty(0, dtype=torch.bool))
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > max_length:
        raise ValueError(f"prompt lengths {shortest} to {longest} must lie between 1 and max_length={max_length}")
    if longest > prompts.shape[1]:
        raise ValueError(f"a prompt length of {longest} in prompts of width {prompts.shape[1]}")
    eos, pad = model.spec.eos, model.spec.pad
    assert eos is not None and pad is not None

    with evaluating(model):
        tokens = prompts.new_full((len(prompts), max_length + 1), pad)
        tokens[:, :longest] = prompts[:, :longest]
        finished = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.device)
        logits, state = model.prefill(tokens[:, :shortest], model.init_state(len(prompts), max_length))
        logits = logits[:, -1]
        for position in range(shortest, max_length + 1):
            inside = lengths > position
            chosen = torch.where(finished, pad, choose(logits))
            tokens[:, position] = torch.where(inside, tokens[:, position], chosen)
            finished = finished | (~inside & (chosen == eos))
            if position == max_length or bool(finished.all()):
                break
            # A finished row goes on reading PAD: nobody looks at it again, and rows do not see each other.
            logits, state = model.step(tokens[:, position], state)
    return Decoded(tokens[:, :max_length], finished)


def extend(model: SequenceModel, tokens: Tensor, count: int, *, choose: Choose) -> Tensor:
    """What follows sequences that have no end: `count` more tokens a row, (batch, count).

    The window of spec.max_length tokens slides by one. See `continuation` for the arguments.
    """
    with evaluating(model):
        return torch.stack(list(islice(continuation(model, tokens, choose=choose), count)), dim=1)


def continuation(model: SequenceModel, tokens: Tensor, *, choose: Choose, hop: int | None = 1) -> Iterator[Tensor]:
    """The tokens (batch,) that follow sequences without an end, one after the other, for ever.

    Up to the Spec's max_length the state carries on. Beyond it the window slides: the model reads its last tokens anew,
    from position 0 on, because a cache holds positions that have moved.

    Args:
        model: any token model, in evaluation mode.
        tokens: (batch, time) ids, time at least 1, the same for all rows.
        choose: picks the next ids from logits.
        hop: by how many tokens a full window moves on: with 1 each token is told from all max_length before it, at
            the cost of reading them anew each time; with h from at least max_length + 1 - h. None: the state carries on
            for ever, for models with `endless_state`.
    """
    window = model.spec.max_length
    assert model.endless_state if hop is None else 1 <= hop <= window
    known = tokens if hop is None else tokens[:, -window:]
    with torch.inference_mode():
        logits, state = model.prefill(known, model.init_state(len(tokens), window))
        last = logits[:, -1]
    while True:
        with torch.inference_mode():
            chosen = choose(last)
        yield chosen
        with torch.inference_mode():
            if hop is None:
                last, state = model.step(chosen, state)
                continue
            known = torch.cat([known, chosen.unsqueeze(1)], dim=1)
            if known.shape[1] <= window:
                last, state = model.step(chosen, state)
            else:
                known = known[:, -(window + 1 - hop) :]
                logits, state = model.prefill(known, model.init_state(len(tokens), window))
                last = logits[:, -1]
