"""No prompt ends in a traceback: of every kind of data, on tiny untrained models, any text is answered or refused."""

import re
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import InputError
from seqlab.model import SequenceModel
from seqlab.models.linear import Linear
from seqlab.python import TrainedRun
from seqlab.run.build import build
from seqlab.spec import Classes, Spec, Tokens
from seqlab.task import Task
from tests.overridden import with_value
from tests.test_pairs import ALIKE

DATA = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "data").glob("*.yaml"))
PIECES = [
    "1", "2", "7", "255", "256", "8633", "1" * 5000, "0" * 5000 + "7", "-", "--5", "+3", "1_0", "0.5", "0.5*", "*",
    "**", "1e400", "-1e308", "1e308", "1e-400", "3.5e38*", "nan", "inf", "-inf", "NaN", "٣", "²", "1,5", ",", ";",
    "\x00", "\n", "\u2028", "a", "b", "c", "ab" * 40, "(", "[", ")", "()", "[]", "<|document|>", "\udcff", "\ud800",
    "😀", "é", "\ufeff",
]  # fmt: skip
WORDS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4) | st.integers().map(str) | st.floats().map(repr))
# what a command line can hand over: bytes that are no UTF-8 come as lone surrogates
PROMPTS = (
    st.builds(lambda words, between: between.join(words), WORDS, st.sampled_from([" ", ",", "", "\n"]))
    | st.text(st.characters(exclude_categories=[]))
    | st.binary(max_size=30).map(lambda raw: raw.decode(errors="surrogateescape"))
    | st.lists(st.integers(0, 300) | st.floats(-1e300, 1e300), min_size=20, max_size=30).map(
        lambda v: " ".join(map(str, v))
    )
)
FORECASTS = {"series", "returns", "adding"}


@pytest.fixture(scope="module")
def run_of(compose):
    """Kind of data -> an untrained run on it."""
    made = {}

    def run(data):
        if data == "returns":
            pytest.importorskip("arch")
        if data not in made:
            model = "linear" if data in FORECASTS else "lstm"
            made[data] = build(compose(f"data={data}", f"model={model}"))
        return made[data]

    return run


def answered(run, prompt, describe=True):
    """Whether a prompt is read, and what is said of it then; else why it is not, in one line."""
    try:
        parsed = run.task.read_prompt(prompt)
        said = run.task.describe(run.model, parsed) if describe else ""
    except InputError as error:
        assert str(error) and len(str(error).splitlines()) == 1, repr(str(error))
        assert len(str(error)) < 400, str(error)
        return False
    assert not re.search(r"^(forecast|truth).*\b(nan|inf)\b", said, re.MULTILINE), said
    return True


@pytest.mark.parametrize("data", [pytest.param(data, marks=[pytest.mark.slow] * (data in ALIKE)) for data in DATA])
def test_any_prompt_is_answered_or_refused(run_of, data):
    run = run_of(data)
    num_read = 0
    for piece in ["", *PIECES]:
        for prompt in (piece, f"1 2 {piece}", f"1 2 {piece} " * 12, f"0.5* {piece} 0.5*"):
            num_read += answered(run, prompt, describe=num_read < 3)
    asking = {"copy", "semiprimes", "recall"}  # ten symbols, a product of two primes, pairs and then their keys
    assert num_read or data in asking


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_any_prompt_at_length(run_of, data):
    run = run_of(data)

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(PROMPTS, st.integers(0, 9))
    def holds(prompt, number):
        answered(run, prompt, describe=data != "text" or number == 0)  # an answer of a language model takes a second

    holds()


@pytest.mark.parametrize(
    ("data", "prompt", "message"),
    [
        ("series", "nan " * 22, "'nan' is not a number; allowed: finite numbers"),
        ("series", "inf " * 22, "'inf' is not a number"),
        ("series", "1 " * 21 + "1e400", "'1e400' is not a number"),
        ("series", "1 " * 21 + "1_0", "'1_0' is not a number"),
        ("series", "1 " * 21 + "٣", "'٣' is not a number"),
        ("series", "1 " * 21 + "1e300", r"1e\+300 is too far from the training part"),
        ("series", "1 " * 21 + "-1e308", r"-1e\+308 is too far"),
        ("adding", "0.5* nan*", "'nan' is not a number"),
        ("adding", "0.5* 0.1 *", "'' is not a number"),
        ("adding", "0.5** 0.1*", r"'0.5\*' is not a number"),
        ("adding", "1e39* 0.1*", r"1e\+39 is too large"),
        ("adding", "3e38* 3e38*", r"3e\+38 is too large"),
        ("semiprimes", "1" * 5000, r"^'1+\.\.\.1+' has more bits than the model reads"),
        ("semiprimes", "-" + "1" * 5000, r"is below 4"),
        ("semiprimes", "1_5", "'1_5' is not a whole number"),
        ("semiprimes", "١٥", "is not a whole number"),
        ("copy", "1 2 ٣", "'٣' is not a symbol"),
        ("text", "a\udcff", r"the prompt is not UTF-8: its character 2 is '\\udcff'"),
    ],
)
def test_what_is_wrong_is_named(run_of, data, prompt, message):
    with pytest.raises(InputError, match=message):
        run_of(data).task.parse_prompt(prompt)


def test_a_forecast_that_is_no_number_is_refused(run_of):
    """Values that the model can read may still be too much for it."""
    run = run_of("series")
    prompt = run.task.parse_prompt("1e38 " + "1 " * 21)
    with pytest.raises(InputError, match="the forecast is not finite: these values are too far from the tr"):
        run.model.load_state_dict({name: value * 1e6 for name, value in run.model.state_dict().items()})
        run.task.describe(run.model, prompt)


@pytest.mark.parametrize("data", DATA)
def test_the_sample_prompt_is_one_of_the_task(run_of, data):
    run = run_of(data)
    prompt = run.task.sample_prompt()
    assert prompt is not None and prompt.isprintable()  # on one line of a shell
    assert run.task.describe(run.model, run.task.read_prompt(prompt)).strip()


@pytest.mark.parametrize(
    ("prompts", "shown"),
    [
        (["\n", "ROMEO:\n"], "ROMEO:"),
        (["\n\t \n", "One\ttwo\nThree four\n"], "Three four"),
        (["\n"], ""),
        ([], ""),
    ],
)
def test_a_text_is_shown_by_a_line_that_one_can_type(compose, prompts, shown):
    config = compose("data=text", "model=lstm")
    assert build(with_value(config, "task.prompts", prompts)).task.sample_prompt() == shown


class Sums(Task[Any, SequenceModel]):
    """A task as a stranger writes it: nothing holds what is typed against the Spec."""

    columns = MappingProxyType({"loss": "test/loss"})

    def title(self):
        return "sums"

    def loss(self, model, batch):
        return model(batch).mean()

    def evaluate(self, model, split):
        return {}

    def baselines(self):
        return {}

    def parse_prompt(self, text):
        if text == "letters":
            return torch.tensor([[{"a": 0}[letter] for letter in text]])
        return torch.tensor([[float(word) if "." in word else int(word) for word in text.split()]])

    def describe(self, model, prompt):
        return f"sums {model(prompt).argmax(-1)[0].tolist()}"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("0 9", "'0 9': there is no id 9; allowed: ids 0 .. 2"),
        ("-1", "'-1': there is no id -1; allowed: ids 0 .. 2"),
        ("0.5 1", "'0.5 1': inputs (1, 2) in float32; expected (batch, time) in int64: ids 0 .. 2"),
        ("", "'': there is nothing to read; allowed: ids 0 .. 2, one or more"),
        ("x", "'x': invalid literal for int() with base 10: 'x'; the model reads ids 0 .. 2"),
        ("letters", "'letters': KeyError: 'l'; the model reads ids 0 .. 2"),
        (
            "1 " * 99 + "3",
            "'1 1 1 1 1 1 1 1 1 1 1 1 1 1 ... 1 1 1 1 1 1 1 1 1 1 1 1 1 3': there is no id 3; allowed: ids 0 .. 2",
        ),
    ],
)
def test_prompts_of_any_task_are_held_against_the_spec(prompt, message):
    spec = Spec(Tokens(3), Classes(3), max_length=8)
    task, model = Sums(SimpleNamespace(spec=spec)), Linear(spec, d_model=4)
    run = TrainedRun(model, task.data, {}, task, None, None)
    assert run.predict("0 1 2").startswith("sums [")
    for ask in (run.predict, run.complete, run.next_probabilities, run.activations):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            ask(prompt)
