"""Decoding with state against re-reading the prefix, for every model; sampling against known distributions."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from rule_extrapolation.baselines import EndAtOnce, NGram, Oracle, Uniform
from rule_extrapolation.letters import ANBN
from rule_extrapolation.prompts import framed, oracle_sequences, prompts
from seqlab.decode import greedy, sample
from seqlab.model import SequenceModel
from seqlab.spec import Classes, Spec, Tokens
from tests.reference.decoding import greedy_by_rereading, sample_by_rereading
from tests.small_models import MODELS, small_model, token_spec

ROOM = 9
CASES = [(name, {}) for name in MODELS] + [("transformer", {"norm": "post"}), ("linear", {"mask": "upstream"})]
CASE_IDS = ["-".join([name, *options.values()]) for name, options in CASES]


class Steps(NamedTuple):
    num_steps: Tensor


class Markov(SequenceModel):
    """Logits of the next token from a table, by the token before; counts how often it is called."""

    def __init__(self, table: Tensor, *, eos: int = 1):
        size = len(table)
        super().__init__(Spec(Tokens(size), Classes(size), max_length=ROOM, sos=0, eos=eos, pad=2))
        self.table = table
        self.num_calls = 0

    def init_state(self, batch: int, length: int | None = None) -> Steps:
        return Steps(torch.zeros(batch, dtype=torch.int64))

    def prefill(self, inputs: Tensor, state: Steps) -> tuple[Tensor, Steps]:
        self.num_calls += 1
        return self.table[inputs], Steps(state.num_steps + inputs.shape[1])


def always(*tokens_by_token: int, eos: int = 1) -> Markov:
    """The Markov model that writes tokens_by_token[i] after i."""
    return Markov(torch.nn.functional.one_hot(torch.tensor(tokens_by_token)).float(), eos=eos)


def lively(model: SequenceModel) -> SequenceModel:
    """With weights so large that the model says different things after different prompts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def ragged(lengths, *, seed=0, size=7):
    """Random prompts that start with SOS: lists, and what the decoder takes, filled up with a misleading id."""
    generator = torch.Generator().manual_seed(seed)
    rows = [[0, *torch.randint(size, (length - 1,), generator=generator).tolist()] for length in lengths]
    padded = torch.tensor([row + [1] * (max(lengths) - len(row)) for row in rows])
    return rows, padded, torch.tensor(lengths)


def assert_as_reread(model, max_length, lengths=(3, 1, 9, 2, 5, 4, 7, 8)):
    rows, padded, counts = ragged(lengths)
    decoded = greedy(model, padded, counts, max_length=max_length)
    eos, pad = model.spec.eos, model.spec.pad
    model.eval()
    expected = [greedy_by_rereading(model, row, max_length=max_length, eos=eos, pad=pad) for row in rows]
    assert decoded.tokens.tolist() == [tokens for tokens, _ in expected]
    assert decoded.finished.tolist() == [finished for _, finished in expected]
    return decoded


@pytest.mark.parametrize(("name", "options"), CASES, ids=CASE_IDS)
def test_greedy_equals_rereading_the_prefix(name, options):
    """Each id in turn is EOS, so that rows end early, late, and never."""
    finished = set()
    for seed in range(2):
        for eos in (0, 1, 3, 4, 5, 6):
            model = lively(small_model(name, replace(token_spec(ROOM), eos=eos), seed=seed, **options))
            decoded = assert_as_reread(model, ROOM)
            finished |= set(decoded.finished.tolist())
    assert finished == {True, False}


@pytest.mark.parametrize(("name", "options"), CASES, ids=CASE_IDS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_sampling_equals_rereading_the_prefix(name, options, temperature):
    for seed in range(4):
        model = lively(small_model(name, token_spec(ROOM), seed=seed, **options)).eval()
        rows, padded, lengths = ragged([3, 1, 6, 2, 9], seed=seed)
        ours, theirs = (torch.Generator().manual_seed(seed) for _ in range(2))
        decoded = sample(model, padded, lengths, max_length=ROOM, generator=ours, temperature=temperature)
        tokens, finished = sample_by_rereading(
            model, rows, max_length=ROOM, eos=1, pad=2, generator=theirs, temperature=temperature
        )
        assert torch.equal(decoded.tokens, tokens)
        assert torch.equal(decoded.finished, finished)


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_decodes_beyond_the_length_of_the_spec(name):
    model = lively(small_model(name, replace(token_spec(ROOM), eos=3)))
    assert assert_as_reread(model, 2 * ROOM).tokens.shape[1] == 18


def test_linear_refuses_to_decode_beyond_its_length():
    model = small_model("linear", token_spec(ROOM))
    with pytest.raises(ValueError, match="linear is built for 9 steps and cannot read 10"):
        greedy(model, torch.tensor([[0]]), torch.tensor([1]), max_length=10)


@pytest.mark.parametrize("max_length", [3, 5])
def test_decodes_in_less_room_than_the_spec(max_length):
    for name in MODELS:
        assert_as_reread(lively(small_model(name, token_spec(ROOM))), max_length, lengths=(3, 1, 2))


def test_pad_after_eos_and_rows_that_do_not_end():
    model = always(3, 1, 2, 4, 1, 5)  # 0 -> 3 -> 4 -> EOS; 5 -> 5 for ever
    tokens, finished = greedy(model, torch.tensor([[0, 1], [0, 5]]), torch.tensor([1, 2]), max_length=6)
    assert tokens.tolist() == [[0, 3, 4, 1, 2, 2], [0, 5, 5, 5, 5, 5]]
    assert finished.tolist() == [True, False]


@pytest.mark.parametrize(
    ("max_length", "tokens", "finished"),
    [
        (5, [0, 3, 4, 1, 2], True),
        (4, [0, 3, 4, 1], True),
        (3, [0, 3, 4], True),  # fills the room, and would write EOS next
        (2, [0, 3], False),  # fills the room, and would go on
        (1, [0], False),
    ],
)
def test_finished_where_the_room_ends(max_length, tokens, finished):
    decoded = greedy(always(3, 1, 2, 4, 1), torch.tensor([[0]]), torch.tensor([1]), max_length=max_length)
    assert decoded.tokens.tolist() == [tokens] and decoded.finished.tolist() == [finished]


def test_special_tokens_inside_a_prompt_end_nothing():
    """A row that is inside its prompt takes the prompt's token, also where that is EOS, PAD or SOS."""
    model = always(3, 4, 3, 4, 1)
    lengths = torch.tensor([1, 4])
    tokens, finished = greedy(model, torch.tensor([[0, 0, 0, 0], [0, 1, 2, 0]]), lengths, max_length=7)
    assert tokens.tolist() == [[0, 3, 4, 1, 2, 2, 2], [0, 1, 2, 0, 3, 4, 1]]
    assert finished.all()


def test_stops_when_every_row_has_ended():
    model = always(3, 1, 2, 4, 1)
    greedy(model, torch.tensor([[0, 3], [0, 0]]), torch.tensor([1, 1]), max_length=1000)
    assert model.num_calls == 3  # the prompt, 3, 4
    model = always(3, 1, 2, 3, 1)
    greedy(model, torch.tensor([[0, 4], [0, 0]]), torch.tensor([2, 1]), max_length=100)
    assert model.num_calls == 100  # the other row never ends


def test_reads_the_shared_part_of_the_prompts_at_once():
    model = always(1, 1, 1, 1)
    greedy(model, torch.zeros(4, 50, dtype=torch.int64), torch.full((4,), 50), max_length=60)
    assert model.num_calls == 1


def test_takes_and_gives_back_the_training_mode():
    """Dropout is off while decoding, and on again after it."""
    model = small_model("transformer", token_spec(ROOM), dropout=0.5).train()
    _, padded, lengths = ragged([1, 4, 2])
    first = greedy(model, padded, lengths, max_length=ROOM)
    assert model.training
    second = greedy(model.eval(), padded, lengths, max_length=ROOM)
    assert not model.training
    assert torch.equal(first.tokens, second.tokens)


def test_leaves_the_prompts_as_they_are():
    _, padded, lengths = ragged([1, 4, 2])
    before = padded.clone()
    greedy(always(1, 1, 1, 1, 1, 1, 1), padded, lengths, max_length=ROOM)
    assert torch.equal(padded, before)


def test_no_prompts():
    tokens, finished = greedy(
        always(1, 1, 1), torch.empty(0, 3, dtype=torch.int64), torch.empty(0, dtype=torch.int64), max_length=5
    )
    assert tokens.shape == (0, 5) and finished.shape == (0,) and finished.dtype == torch.bool


@pytest.mark.parametrize("lengths", [[0, 2], [1, 6]])
def test_refuses_empty_and_too_long_prompts(lengths):
    with pytest.raises(ValueError, match=rf"{lengths[0]} to {lengths[1]} must lie between 1 and max_length=5"):
        greedy(always(1, 1, 1), torch.zeros(2, 6, dtype=torch.int64), torch.tensor(lengths), max_length=5)


@pytest.mark.parametrize("width", [1, 2])
def test_refuses_lengths_beyond_the_prompts(width):
    with pytest.raises(ValueError, match=f"a prompt length of 3 in prompts of width {width}"):
        greedy(always(1, 1, 1), torch.zeros(2, width, dtype=torch.int64), torch.tensor([1, 3]), max_length=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature=0\.0 must be above 0"),
        ({"temperature": -1.0}, r"temperature=-1\.0 must be above 0"),
        ({"top_k": 0}, "top_k=0 must be at least 1"),
    ],
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        sample(
            always(1, 1), torch.tensor([[0]]), torch.tensor([1]), max_length=2, generator=torch.Generator(), **options
        )


WEIGHTS = torch.tensor(  # not normalised; the row is the token before
    [[1, 2, 3, 4, 5.0], [5, 4, 3, 2, 1], [1, 1, 1, 1, 1], [8, 1, 0, 1, 2], [1, 9, 2, 4, 30]], dtype=torch.float64
)


def drawn(num_draws, **options):
    """How often each token follows each token, (before, next): every row of WEIGHTS is drawn from num_draws times."""
    before = torch.arange(5).repeat_interleave(num_draws)
    prompts = torch.stack([torch.zeros_like(before), before], 1)
    generator = torch.Generator().manual_seed(1)
    lengths = torch.full_like(before, 2)
    model = Markov(WEIGHTS.log().float())
    decoded = sample(model, prompts, lengths, max_length=3, generator=generator, **options)
    return torch.stack([following.bincount(minlength=5) for following in decoded.tokens[:, 2].view(5, num_draws)])


def assert_distributed(counts, weights):
    """Pearson's chi-square, row by row, below the 99.9% point of 4 degrees of freedom."""
    expected = weights / weights.sum(1, keepdim=True) * counts.sum(1, keepdim=True)
    assert (counts[expected == 0] == 0).all()
    chi_square = torch.where(expected > 0, (counts - expected) ** 2 / expected, 0).sum(1)
    assert (chi_square < 18.47).all(), chi_square


def test_sampling_normalises_over_the_vocabulary_of_each_row():
    counts = drawn(4000)
    assert_distributed(counts, WEIGHTS)
    with pytest.raises(AssertionError):  # the test would notice the published fault, a softmax along another axis
        assert_distributed(counts, WEIGHTS / WEIGHTS.sum(0))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature):
    assert_distributed(drawn(4000, temperature=temperature), WEIGHTS ** (1 / temperature))


def test_top_k_draws_among_the_k_most_probable():
    kept = torch.tensor([[0, 0, 0, 4, 5.0], [5, 4, 0, 0, 0], [0, 0, 0, 0, 0], [8, 0, 0, 0, 2], [0, 9, 0, 0, 30]])
    counts = drawn(4000, top_k=2)
    told_apart = [0, 1, 3, 4]
    assert_distributed(counts[told_apart], kept[told_apart].double())
    assert (counts[2] > 0).sum() == 2  # two of five equal ones


def test_top_k_of_more_than_the_vocabulary_is_no_limit():
    assert torch.equal(drawn(1000, top_k=5), drawn(1000, top_k=99))
    assert_distributed(drawn(1000, top_k=99), WEIGHTS)


@pytest.mark.parametrize("name", MODELS)
def test_top_k_of_one_is_greedy(name):
    model = lively(small_model(name, replace(token_spec(ROOM), eos=4)))
    _, padded, lengths = ragged([3, 1, 6, 2, 9])
    sampled = sample(model, padded, lengths, max_length=ROOM, generator=torch.Generator(), top_k=1, temperature=9.0)
    expected = greedy(model, padded, lengths, max_length=ROOM)
    assert torch.equal(sampled.tokens, expected.tokens) and torch.equal(sampled.finished, expected.finished)


def test_sampling_is_a_function_of_the_generator():
    first, second, other = (
        sample(
            Markov(WEIGHTS.log().float()),
            torch.zeros(20, 1, dtype=torch.int64),
            torch.ones(20, dtype=torch.int64),
            max_length=ROOM,
            generator=torch.Generator().manual_seed(seed),
        ).tokens
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("name", ["EndAtOnce", "NGram", "Oracle"])
def test_greedy_baselines_equal_rereading_the_prefix(name):
    grammar = ANBN()
    spec = Spec(Tokens(5), Classes(5), max_length=9, sos=0, eos=1, pad=2)
    members = [(), (3,), (3, 3, 4), (4, 3), (3, 3, 3, 3), *prompts(grammar, 3).id]
    sequences = oracle_sequences(grammar, members, 8)
    padded, lengths = framed(members)

    def baseline(rows):
        makers = {
            "EndAtOnce": lambda: EndAtOnce(spec),
            "NGram": lambda: NGram(spec, oracle_sequences(grammar, [(3, 3), (3,), (3, 3, 3)], 8)),
            "Oracle": lambda: Oracle(spec, sequences[rows]),
        }
        return makers[name]()

    decoded = greedy(baseline(slice(None)), padded, lengths, max_length=9)
    for row, prompt in enumerate(members):
        alone = baseline(slice(row, row + 1))
        tokens, finished = greedy_by_rereading(alone, [0, *prompt], max_length=9, eos=1, pad=2)
        assert decoded.tokens[row].tolist() == tokens
        assert bool(decoded.finished[row]) == finished


def test_the_uniform_baseline_equals_rereading_the_prefix():
    model = Uniform(token_spec(ROOM))
    rows, padded, lengths = ragged([3, 1, 6, 2, 9] * 20)
    ours, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
    decoded = sample(model, padded, lengths, max_length=ROOM, generator=ours)
    tokens, finished = sample_by_rereading(model, rows, max_length=ROOM, eos=1, pad=2, generator=theirs)
    assert torch.equal(decoded.tokens, tokens) and torch.equal(decoded.finished, finished)
    assert finished.any() and not finished.all()
