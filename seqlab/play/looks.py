"""What the page shows of one run for one prompt. Several visitors may ask a run at once: they wait for one another."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from torch import Tensor

from seqlab.activations import attention_weights, state_norms
from seqlab.answers import Answer, Sampling, Steps
from seqlab.errors import InputError, refuse_bytes
from seqlab.model import SequenceModel, num_parameters
from seqlab.run.build import Run, load_run

LONGEST_PROMPT = 2000  # characters


class Look(NamedTuple):
    """A run's answer to a prompt.

    error: why there is none, in one line; else the rest is filled.
    answer: the task's description of the prediction, as `seqlab predict` prints it.
    best: the best possible completion, where it is known.
    steps: the distribution at each step, if the task has one.
    rules: which rules can still be kept at each step, by the rule in words.
    greedy, samples: completions with what is wrong with them, if the task has any.
    """

    error: str = ""
    answer: str = ""
    best: str = ""
    steps: Steps | None = None
    rules: Mapping[str, Sequence[bool]] = {}
    greedy: Sequence[Answer] = ()
    samples: Sequence[Answer] = ()


class Inside(NamedTuple):
    """What goes on inside a run's model while it reads a prompt.

    error: why nothing can be shown, in one line.
    attention: by layer, (heads, steps, steps).
    norms: of each part of the state, (steps,).
    """

    error: str = ""
    attention: Mapping[str, Tensor] = {}
    norms: Mapping[str, Tensor] = {}


class Looked:
    """A loaded run on the page.

    Args:
        run: the run.
        place: the directory or file that it was loaded from.
    """

    def __init__(self, run: Run, place: str):
        self.run, self.place, self.lock = run, place, Lock()
        name = run.config["name"] | run.task.names()
        seed, parameters = run.config["seed"], num_parameters(run.model)
        self.title = f"{name['model']} on {name['data']}, seed {seed}, {parameters:,} parameters"

    @classmethod
    def load(cls, place: str, checkpoint: str) -> "Looked":
        """Load a run as `seqlab predict` does. Raises InputError if it does not load."""
        return cls(load_run(place, checkpoint), place)

    def prompts(self) -> list[str]:
        """Prompts to click on; none where they come from data that are not here."""
        try:
            with self.lock:
                return [prompt for prompt in self.run.task.sample_prompts() if prompt.strip()]
        except (ValueError, OSError):
            return []

    def look(self, prompt: str, sampling: Sampling) -> Look:
        """Answer a prompt. A bad one is answered by its error."""
        task, model = self.run.task, self.run.model
        try:
            with self.lock:
                parsed = self._parsed(prompt)
                answer, best, rules = task.describe(model, parsed), task.best(parsed), task.rules_left(parsed)
                try:
                    steps = task.steps(model, parsed)
                    samples = task.answers(model, parsed, sampling)
                except InputError:  # a task of values
                    return Look("", answer, best)
                return Look("", answer, best, steps, rules, task.answers(model, parsed), samples)
        except ValueError as error:
            return Look(error=_line(error))

    def inside(self, prompt: str) -> Inside:
        """Watch the model read a prompt."""
        task, model = self.run.task, self.run.model
        try:
            with self.lock:
                inputs = task.inputs(self._parsed(prompt))
                norms = state_norms(model, inputs) if isinstance(model, SequenceModel) else {}
                return Inside("", attention_weights(model, inputs), norms)
        except ValueError as error:
            return Inside(error=_line(error))

    def _parsed(self, prompt: str) -> object:
        if len(prompt) > LONGEST_PROMPT:
            raise InputError(f"the prompt has {len(prompt):,} characters, at most {LONGEST_PROMPT:,} are allowed here")
        refuse_bytes(prompt)
        return self.run.task.read_prompt(prompt)


def _line(error: ValueError) -> str:
    return f"error: {' '.join(str(error).split())}"
