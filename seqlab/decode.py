"""Batched, stateful greedy decoding and sampling for any token model. Decoding stops when every row has ended.

Prompts may differ in length. The length of the shortest prompt is read in one parallel chunk; after that, a row that
is still inside its own prompt is fed the prompt's token. So padding never enters the state of an unfinished row. As
soon as half of the rows have ended, the model reads the others alone.
"""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.model import SequenceModel, evaluating, rows_of

Choose = Callable[[Tensor], Tensor]  # logits (batch, vocabulary) -> ids (batch,)


class Decoded(NamedTuple):
    """Prompts with their completions.

    tokens: (batch, max_length) prompt, completion, EOS if it fits, then PAD.
    finished: (batch,) bool, whether the row ended with EOS. A row that fills all max_length positions is finished if
        the model predicts EOS next.
    """

    tokens: Tensor
    finished: Tensor


def greedy(model: SequenceModel, prompts: Tensor, lengths: Tensor, *, max_length: int) -> Decoded:
    """Complete prompts with the most probable token at each step. See `decode` for the arguments."""
    return decode(model, prompts, lengths, max_length=max_length, choose=most_probable)


def most_probable(logits: Tensor) -> Tensor:
    """The id of the highest logit of each row, (batch,); the first one in case of ties."""
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
    """Complete prompts by sampling each next token. See `decode` and `sampler` for the arguments."""
    choose = sampler(generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
    return decode(model, prompts, lengths, max_length=max_length, choose=choose)


def sampler(
    *, generator: torch.Generator, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Choose:
    """Return a function that samples from softmax(logits / temperature) over the VOCABULARY.

    Args:
        generator: random generator on the model's device.
        temperature: values below 1 sharpen the distribution; 0 takes the most probable token, like `greedy`.
        top_k: sample only among the k most probable tokens.
        top_p: nucleus sampling (Holtzman et al. 2020): sample among the smallest set of most probable tokens whose
            total probability reaches top_p, after temperature and top_k.

    Raises:
        ValueError: temperature is negative or not finite, top_k is below 1, or top_p is outside (0, 1].
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature={temperature} must be finite, and 0 (greedy) or above")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1")

    if temperature == 0:
        return most_probable

    def choose(logits: Tensor) -> Tensor:
        probabilities = tempered(logits, temperature=temperature, top_k=top_k)
        if top_p is not None:
            ranked = probabilities.sort(dim=-1, descending=True, stable=True)
            beyond = ranked.values.cumsum(-1) - ranked.values >= top_p  # the more probable tokens already reach top_p
            probabilities = torch.zeros_like(probabilities).scatter(
                1, ranked.indices, ranked.values.masked_fill(beyond, 0.0)
            )
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)

    return choose


def tempered(logits: Tensor, *, temperature: float, top_k: int | None = None) -> Tensor:
    """softmax(logits / temperature) among the top_k highest logits, float32: (batch, n) -> (batch, n).

    Args:
        logits: of any size.
        temperature: above 0.
        top_k: at least 1; None: all. Exactly so many, even with ties.
    """
    float32 = torch.finfo(torch.float32)
    divisor = min(max(temperature, float32.tiny), float32.max)
    if top_k is not None:
        best = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
        logits = torch.full_like(logits, -torch.inf).scatter(1, best.indices, best.values)
    below_best = logits.float() - logits.float().amax(dim=-1, keepdim=True)  # at most 0: exp cannot overflow
    return torch.softmax(below_best / divisor, dim=-1)


def decode(model: SequenceModel, prompts: Tensor, lengths: Tensor, *, max_length: int, choose: Choose) -> Decoded:
    """Complete prompts, token by token.

    Args:
        model: any token model whose Spec has eos and pad; it is temporarily put into evaluation mode.
        prompts: (batch, width) ids, starting with SOS; only the first lengths[b] ids of row b are used.
        lengths: (batch,) prompt lengths, 1 .. min(width, max_length).
        max_length: maximum number of tokens in prompt and completion together, counting SOS but not EOS.
        choose: picks the next ids from logits.

    Raises:
        ValueError: a prompt is empty, or longer than its row or than max_length; or the spec has no eos or pad.
    """
    if len(prompts) == 0:
        return Decoded(prompts.new_empty(0, max_length), prompts.new_empty(0, dtype=torch.bool))
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > max_length:
        raise ValueError(f"prompt lengths {shortest} to {longest} must lie between 1 and max_length={max_length}")
    if longest > prompts.shape[1]:
        raise ValueError(f"a prompt length of {longest} in prompts of width {prompts.shape[1]}")
    eos, pad = model.spec.eos, model.spec.pad
    if eos is None or pad is None:
        raise ValueError(f"decoding needs ids for the end and for padding; this model's spec has eos={eos}, pad={pad}")

    with evaluating(model), in_own_precision(prompts):
        tokens = prompts.new_full((len(prompts), max_length + 1), pad)
        tokens[:, :longest] = prompts[:, :longest]
        finished = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.device)
        logits, state = model.prefill(tokens[:, :shortest], model.init_state(len(prompts), max_length))
        logits, read = logits[:, -1], torch.arange(len(prompts), device=prompts.device)
        for position in range(shortest, max_length + 1):
            inside = lengths > position
            chosen = torch.where(finished, pad, choose(logits))
            tokens[:, position] = torch.where(inside, tokens[:, position], chosen)
            finished = finished | (~inside & (chosen == eos))
            num_left = len(prompts) - int(finished.sum())
            if position == max_length or num_left == 0:
                break
            if 2 * num_left <= len(read):  # a finished row that is among those read reads PAD
                left = (~finished[read]).nonzero().squeeze(1)
                read, state = read[left], rows_of(state, left)
            found, state = model.step(tokens[read, position], state)
            # `choose` always gets all rows, so that a draw does not depend on who has ended.
            logits = found if len(read) == len(prompts) else torch.zeros_like(logits).index_copy(0, read, found)
    return Decoded(tokens[:, :max_length], finished)


def extend(model: SequenceModel, tokens: Tensor, count: int, *, choose: Choose) -> Tensor:
    """Continue sequences without EOS by `count` tokens per row, (batch, count).

    The window of spec.max_length tokens slides by one token. See `continuation` for the arguments.
    """
    with evaluating(model):
        return torch.stack(list(islice(continuation(model, tokens, choose=choose), count)), dim=1)


def in_own_precision(tokens: Tensor) -> torch.autocast:
    """Inside, a model computes in the precision of its weights, under a trainer's mixed precision too.

    So a checkpoint completes prompts in the same way wherever it is loaded.
    """
    return torch.autocast(tokens.device.type, enabled=False)


def continuation(model: SequenceModel, tokens: Tensor, *, choose: Choose, hop: int | None = 1) -> Iterator[Tensor]:
    """Continue sequences without EOS: an endless iterator over the next tokens, (batch,) each.

    Up to spec.max_length tokens the state is reused. Beyond that the window slides: the model reads the last tokens
    again from position 0, because a cache holds the old positions.

    Args:
        model: any token model, in evaluation mode.
        tokens: (batch, time) ids; time is at least 1 and the same for all rows.
        choose: picks the next ids from logits.
        hop: number of tokens by which a full window moves. With hop = 1 each token is predicted from the last
            max_length tokens, but every token costs a read of the whole window. With hop = h each token is predicted
            from at least the last max_length + 1 - h tokens, and only every h-th token costs such a read. None: the
            state is reused without limit, for models with `endless_state`.

    Raises:
        ValueError: hop is none of these.
    """
    window = model.spec.max_length
    if hop is None and not model.endless_state:
        raise ValueError(f"hop=None needs a state of constant size; {type(model).__name__} allows 1 to {window}")
    if hop is not None and not 1 <= hop <= window:
        raise ValueError(f"hop={hop} must be 1 to {window}")
    known = tokens if hop is None else tokens[:, -window:]
    with torch.inference_mode(), in_own_precision(tokens):
        logits, state = model.prefill(known, model.init_state(len(tokens), window))
        last = logits[:, -1]
    while True:
        with torch.inference_mode():
            chosen = choose(last)
        yield chosen
        with torch.inference_mode(), in_own_precision(tokens):
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
