"""Sampled completions of prompts, several of each."""

import torch

from rule_extrapolation.prompts import Prompt, framed
from seqlab.decode import Decoded, sample
from seqlab.model import SequenceModel, device_of


def sampled(
    model: SequenceModel, prompts: list[Prompt], *, max_length: int, temperature: float, num_draws: int, seed: int
) -> Decoded:
    """Complete each prompt `num_draws` times, token by token from softmax(logits / temperature) over the vocabulary.

    The draws are independent given the model. The prompts of a language are enumerated and not drawn, so a Wilson
    interval over prompts x draws speaks of the draws, and is if anything too wide: prompts differ in their chances,
    and a sum over different chances varies less than a binomial of the same mean.

    Args:
        model: a token model.
        prompts: content ids.
        max_length: maximum number of symbols in prompt and completion together.
        temperature: above 0; 1 samples from the model's own distribution.
        num_draws: completions of a prompt.
        seed: of the draws, which are a function of it and of the model alone.

    Returns:
        len(prompts) x num_draws rows; those of a prompt follow one another.
    """
    device = device_of(model)
    tokens, lengths = (part.to(device) for part in framed(prompts))
    generator = torch.Generator(device).manual_seed(seed)
    draws = [  # one after another: the cache of a model for all at once can be large
        sample(model, tokens, lengths, max_length=max_length + 1, generator=generator, temperature=temperature)
        for _ in range(num_draws)
    ]
    return Decoded(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*draws, strict=True)))
