"""Three output heads for a factor: all bits at once, one class per prime, autoregressive bits."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from factorization.bits import from_bits, to_bits
from seqlab.model import precise
from seqlab.spec import Bits, Classes, Spec, Tokens, Vectors


class Answer(NamedTuple):
    """Predicted factors (batch,) int64 and the predicted probability of each of their bits, (batch, factor_bits)."""

    factors: Tensor
    confidence: Tensor


class Head(Protocol):
    """Defines the loss and the decoding of a model's outputs. The model is built from `spec`."""

    spec: Spec
    description: str

    def loss(self, model: nn.Module, inputs: Tensor, factors: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar."""
        ...

    def answer(self, model: nn.Module, inputs: Tensor) -> Answer:
        """The factors that a model predicts, with confidences."""
        ...


def last_logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """The logits (batch, outputs) of a model; of a sequence model, those of the last step."""
    logits = model(inputs)
    return logits[:, -1] if logits.dim() == 3 else logits


class BitsHead:
    """One logit per bit, most significant first, trained with binary cross-entropy."""

    description = "one sigmoid a bit"

    def __init__(self, *, steps: int, width: int, factor_bits: int):
        self.spec = Spec(Vectors(width), Bits(factor_bits), max_length=steps, readout="last")
        self.factor_bits = factor_bits

    def loss(self, model: nn.Module, inputs: Tensor, factors: Tensor) -> Tensor:
        """Mean binary cross-entropy of the factors' bits: inputs (batch, steps, width), factors (batch,)."""
        bits = to_bits(factors, self.factor_bits).float()
        return binary_cross_entropy_with_logits(last_logits(model, inputs), bits)

    def answer(self, model: nn.Module, inputs: Tensor) -> Answer:
        """Each bit independently: 1 if its probability is above one half."""
        probability = last_logits(model, inputs).sigmoid()
        bits = (probability > 0.5).long()
        return Answer(from_bits(bits), torch.where(bits == 1, probability, 1 - probability))


class ClassHead:
    """One logit per prime of the set, trained with cross-entropy. It cannot learn primes absent from training."""

    description = "one class a prime"

    def __init__(self, *, steps: int, width: int, factor_bits: int, primes: Tensor):
        self.spec = Spec(Vectors(width), Classes(len(primes)), max_length=steps, readout="last")
        self.factor_bits = factor_bits
        self.primes = primes  # ascending

    def loss(self, model: nn.Module, inputs: Tensor, factors: Tensor) -> Tensor:
        """Mean cross-entropy of the factors' classes: inputs (batch, steps, width), factors (batch,)."""
        classes = torch.searchsorted(self.primes.to(factors.device), factors)
        return cross_entropy(last_logits(model, inputs), classes)

    def answer(self, model: nn.Module, inputs: Tensor) -> Answer:
        """The most probable prime. A bit's probability is the sum over all primes with this bit value."""
        probability = last_logits(model, inputs).softmax(-1)
        primes = self.primes.to(inputs.device)
        factors = primes[probability.argmax(-1)]
        ones = probability @ to_bits(primes, self.factor_bits).to(probability.dtype)
        return Answer(factors, torch.where(to_bits(factors, self.factor_bits) == 1, ones, 1 - ones))


class TokenHead:
    """Autoregressive bits, for any token model: the digits of N, a separator, then the bits of p.

    Inputs are (batch, digits) ids; the separator has the last id. The loss covers only the bits of p. Decoding is
    greedy among the two bits.
    """

    description = "autoregressive bits"

    def __init__(self, *, steps: int, base: int, factor_bits: int):
        self.separator = base
        self.factor_bits = factor_bits
        self.spec = Spec(Tokens(base + 1), Classes(base + 1), max_length=steps + factor_bits)

    def _prompts(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, torch.full_like(inputs[:, :1], self.separator)], 1)

    def loss(self, model: nn.Module, inputs: Tensor, factors: Tensor) -> Tensor:
        """Mean cross-entropy of the factors' bits given the true earlier bits: inputs (batch, digits)."""
        bits = to_bits(factors, self.factor_bits)
        logits = model(torch.cat([self._prompts(inputs), bits[:, :-1]], 1))[:, inputs.shape[1] :]
        return cross_entropy(logits.flatten(0, 1), bits.flatten())

    def answer(self, model: Any, inputs: Tensor) -> Answer:
        """Greedy decoding, bit by bit. A bit's confidence is its probability among the two bits."""
        prompts = self._prompts(inputs)
        logits, state = model.prefill(prompts, model.init_state(len(inputs), self.spec.max_length))
        bits, confidence = [], []
        for place in range(self.factor_bits):
            if place:
                logits, state = model.step(bits[-1], state)
            probability = precise(logits if place else logits[:, -1])[:, :2].softmax(-1)
            best = probability.max(-1)
            bits.append(best.indices)
            confidence.append(best.values)
        return Answer(from_bits(torch.stack(bits, 1)), torch.stack(confidence, 1))
