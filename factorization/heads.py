"""Three output heads for a factor: all bits at once, one class per prime, autoregressive bits."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from factorization.bits import from_bits, to_bits
from seqlab.decode import Choose, most_probable
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

    def sampled(self, model: nn.Module, inputs: Tensor, choose: Choose) -> Tensor:
        """Sampled factors (batch,): `choose` takes the logits of alternatives (batch, n) and returns (batch,)."""
        ...

    def read(self, inputs: Tensor) -> Tensor:
        """What the model reads of inputs before its first answer."""
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

    def sampled(self, model: nn.Module, inputs: Tensor, choose: Choose) -> Tensor:
        """Each bit independently."""
        logits = last_logits(model, inputs)
        bits = [choose(torch.stack([torch.zeros_like(one), one], 1)) for one in logits.unbind(1)]
        return from_bits(torch.stack(bits, 1))

    def read(self, inputs: Tensor) -> Tensor:
        """The inputs themselves."""
        return inputs


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

    def sampled(self, model: nn.Module, inputs: Tensor, choose: Choose) -> Tensor:
        """A prime of the set."""
        return self.primes.to(inputs.device)[choose(last_logits(model, inputs))]

    def read(self, inputs: Tensor) -> Tensor:
        """The inputs themselves."""
        return inputs


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

    def read(self, inputs: Tensor) -> Tensor:
        """The inputs and the separator."""
        return torch.cat([inputs, torch.full_like(inputs[:, :1], self.separator)], 1)

    def loss(self, model: nn.Module, inputs: Tensor, factors: Tensor) -> Tensor:
        """Mean cross-entropy of the factors' bits given the true earlier bits: inputs (batch, digits)."""
        bits = to_bits(factors, self.factor_bits)
        logits = model(torch.cat([self.read(inputs), bits[:, :-1]], 1))[:, inputs.shape[1] :]
        return cross_entropy(logits.flatten(0, 1), bits.flatten())

    def answer(self, model: Any, inputs: Tensor) -> Answer:
        """Greedy decoding, bit by bit. A bit's confidence is its probability among the two bits."""
        bits, confidence = self._decoded(model, inputs, most_probable)
        return Answer(from_bits(bits), confidence)

    def sampled(self, model: Any, inputs: Tensor, choose: Choose) -> Tensor:
        """Bit by bit, each given those before it."""
        return from_bits(self._decoded(model, inputs, choose)[0])

    def _decoded(self, model: Any, inputs: Tensor, choose: Choose) -> tuple[Tensor, Tensor]:
        """Chosen bits and their probabilities among the two, (batch, factor_bits) each."""
        logits, state = model.prefill(self.read(inputs), model.init_state(len(inputs), self.spec.max_length))
        bits, confidence = [], []
        for place in range(self.factor_bits):
            if place:
                logits, state = model.step(bits[-1], state)
            two = precise(logits if place else logits[:, -1])[:, :2]
            bits.append(choose(two))
            confidence.append(two.softmax(-1).gather(1, bits[-1][:, None])[:, 0])
        return torch.stack(bits, 1), torch.stack(confidence, 1)
