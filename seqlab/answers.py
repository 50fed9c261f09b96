"""What a task shows of a model's answer to one prompt: distributions step by step, completions, how to sample."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from seqlab.decode import Choose, most_probable, tempered
from seqlab.randomness import uniforms


class Steps(NamedTuple):
    """The model's distribution at each step of a prompt.

    places: one name for each step: mostly what the model has read last.
    outcomes: the names of what may come next.
    probabilities: (steps, outcomes) float32. A row sums to 1, except where an answer is a set: then each outcome has
        the probability of being in it.
    """

    places: Sequence[str]
    outcomes: Sequence[str]
    probabilities: Tensor

    def best(self, number: int) -> list[list[tuple[str, float]]]:
        """The most probable outcomes of each step with their probabilities, at most `number`, the highest first.

        >>> Steps(["start"], ["a", "b"], torch.tensor([[0.25, 0.75]])).best(1)
        [[('b', 0.75)]]
        """
        values, indices = self.probabilities.sort(dim=1, descending=True, stable=True)
        rows = zip(indices[:, :number].tolist(), values[:, :number].tolist(), strict=True)
        return [[(self.outcomes[int(i)], float(p)) for i, p in zip(places, ps, strict=True)] for places, ps in rows]


def quoted(text: str) -> str:
    """The name of an outcome as it is, or quoted where blanks and line breaks would hide it.

    >>> quoted("a b"), quoted(" a"), quoted("")
    ('a b', "' a'", "''")
    """
    return text if text.strip() == text and text.isprintable() and text else repr(text)


class Fault(NamedTuple):
    """What is wrong with a completion.

    place: the symbol of prompt and completion together that decides it; their number, if it is that they end there.
    reason: in words.
    """

    place: int
    reason: str


class Answer(NamedTuple):
    """A prompt as the model read it, and its completion.

    prompt, completion: their symbols, terms or tokens.
    blank: what stands between two of them.
    faults: what is wrong with it, where the task can tell.
    note: what else to know of it, such as that it has not ended.
    """

    prompt: Sequence[str]
    completion: Sequence[str]
    blank: str = " "
    faults: Sequence[Fault] = ()
    note: str = ""

    @property
    def text(self) -> str:
        """The completion alone."""
        return self.blank.join(self.completion)


class Sampling(NamedTuple):
    """How to sample completions. Sample i of a prompt is a function of (seed, prompt, i), whatever their number.

    number: of samples.
    temperature: divides the logits; 0 takes the most probable outcome.
    top_k: sample among the k most probable outcomes; None: among all.
    seed: of the samples.
    """

    number: Annotated[int, Ge(1)] = 1
    temperature: Annotated[float, Interval(ge=0)] = 1.0
    top_k: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 1

    def chooser(self, prompt: object) -> Choose:
        """Picks for sample i, at call t, by the uniform number (seed, prompt, t, i): logits (number, n) -> (number,).

        Args:
            prompt: plain types.
        """
        calls = 0

        def choose(logits: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            if self.temperature == 0:
                return most_probable(logits)
            probabilities = tempered(logits, temperature=self.temperature, top_k=self.top_k).double().cpu()
            numbers = uniforms(self.seed, f"samples of {prompt!r}, step {calls}", 0, self.number, 1)
            totals = probabilities.cumsum(-1)
            chosen = torch.searchsorted(totals, numbers * totals[:, -1:], right=True).squeeze(1)
            return chosen.clamp(max=logits.shape[-1] - 1).to(logits.device)

        return choose


GREEDY = Sampling(temperature=0)  # the most probable outcome at each step
