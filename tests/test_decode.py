"""Greedy decoding with state against re-reading the prefix, for every model; where it ends, and what it refuses."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from rule_extrapolation.baselines import EndAtOnce, NGram, Oracle
from rule_extrapolation.letters import ANBN
from rule_extrapolation.prompts import framed, oracle_sequences, prompts
from seqlab.decode import continuation, decode, extend, greedy
from seqlab.model import SequenceModel
from seqlab.spec import Classes, Spec, Tokens
from tests.reference.decoding import Markov, greedy_by_rereading
from tests.small_models import MODELS, lively, ragged_prompts, small_model, token_spec

ROOM = 9
CASES = [(name, {}) for name in MODELS] + [("transformer", {"norm": "post"}), ("linear", {"mask": "upstream"})]
CASE_IDS = ["-".join([name, *options.values()]) for name, options in CASES]


def always(*tokens_by_token: int, eos: int = 1) -> Markov:
    """The Markov model that writes tokens_by_token[i] after i."""
    return Markov(torch.nn.functional.one_hot(torch.tensor(tokens_by_token)).float(), eos=eos)


def assert_as_reread(model, max_length, lengths=(3, 1, 9, 2, 5, 4, 7, 8)):
    rows, padded, counts = ragged_prompts(lengths)
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


def test_rows_that_have_ended_are_read_no_more_once_they_are_half():
    model = always(3, 1, 2, 4, 1, 5)  # 0 -> 3 -> 4 -> EOS; 5 -> 5 for ever
    prompts = torch.tensor([[4], [5], [3], [0], [5], [4]])
    decoded = greedy(model, prompts, torch.ones(6, dtype=torch.int64), max_length=10)
    assert decoded.tokens[[1, 4]].equal(torch.full((2, 10), 5)) and decoded.finished.tolist() == [1, 0, 1, 1, 0, 1]
    assert model.num_read == 6 + 6 + 3 * 8  # two have ended, then three, then one of those that are left


def test_a_state_of_another_kind_is_refused_by_its_name():
    class Listed(SequenceModel):
        def init_state(self, batch, length=None):
            return [torch.zeros(batch)]

        def prefill(self, inputs, state):
            return torch.eye(6)[torch.tensor([3, 1, 2, 4, 1, 5])[inputs]], state

    model = Listed(Spec(Tokens(6), Classes(6), max_length=9, sos=0, eos=1, pad=2))
    with pytest.raises(TypeError, match="list in the state is neither a tensor nor a NamedTuple"):
        greedy(model, torch.tensor([[4], [5]]), torch.tensor([1, 1]), max_length=5)


def test_reads_the_shared_part_of_the_prompts_at_once():
    model = always(1, 1, 1, 1)
    greedy(model, torch.zeros(4, 50, dtype=torch.int64), torch.full((4,), 50), max_length=60)
    assert model.num_calls == 1


def test_takes_and_gives_back_the_training_mode():
    """Dropout is off while decoding, and on again after it."""
    model = small_model("transformer", token_spec(ROOM), dropout=0.5).train()
    _, padded, lengths = ragged_prompts([1, 4, 2])
    first = greedy(model, padded, lengths, max_length=ROOM)
    assert model.training
    second = greedy(model.eval(), padded, lengths, max_length=ROOM)
    assert not model.training
    assert torch.equal(first.tokens, second.tokens)


def test_leaves_the_prompts_as_they_are():
    _, padded, lengths = ragged_prompts([1, 4, 2])
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


def test_a_refusal_leaves_the_training_mode_as_it_was():
    model = small_model("linear", token_spec()).train()
    with pytest.raises(ValueError, match="linear is built for"):
        greedy(model, torch.tensor([[0]]), torch.tensor([1]), max_length=model.spec.max_length + 5)
    assert model.training


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("hop", [1, 4, 9])
def test_a_full_window_moves_on_by_its_hop(name, hop):
    """From a prompt of 6, windows of 9: read from the start until 9 are known, then the last 10 - hop, and so on."""
    model = lively(small_model(name, Spec(Tokens(7), Classes(7), max_length=9))).eval()
    tokens = torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(3))
    found = torch.stack(list(islice(continuation(model, tokens, choose=most_probable, hop=hop), 25)), 1)
    start = 0
    for place in range(6, 31):
        if place - start > 9:
            start = place - (10 - hop)
        with torch.inference_mode():
            tokens = torch.cat([tokens, most_probable(model(tokens[:, start:])[:, -1])[:, None]], 1)
    assert torch.equal(found, tokens[:, 6:])


@pytest.mark.parametrize("name", [name for name in MODELS if small_model(name, token_spec()).endless_state])
def test_an_endless_state_is_carried_on(name):
    spec = Spec(Tokens(7), Classes(7), max_length=9)
    model = lively(small_model(name, spec)).eval()
    tokens = torch.randint(7, (4, 12), generator=torch.Generator().manual_seed(3))  # the prompt too may be longer
    found = torch.stack(list(islice(continuation(model, tokens, choose=most_probable, hop=None), 30)), 1)
    with torch.inference_mode():
        for _ in range(30):
            tokens = torch.cat([tokens, most_probable(model(tokens)[:, -1])[:, None]], 1)
    assert torch.equal(found, tokens[:, 12:])


def most_probable(logits):
    return logits.argmax(-1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [1, 5, 9, 12])
def test_extend_slides_its_window(name, length):
    """Each new token is what the model says when it reads the last max_length tokens from the start."""
    spec = Spec(Tokens(7), Classes(7), max_length=9)
    model = lively(small_model(name, spec)).eval()
    tokens = torch.randint(7, (4, length), generator=torch.Generator().manual_seed(3))
    found = extend(model, tokens, 12, choose=lambda logits: logits.argmax(-1))
    with torch.inference_mode():
        for _ in range(12):
            tokens = torch.cat([tokens, model(tokens[:, -9:])[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, tokens[:, length:])
    assert len(found.unique()) > 1


@pytest.mark.parametrize("name", MODELS)
def test_completions_do_not_depend_on_a_trainers_autocast(name):
    model = lively(small_model(name, token_spec(ROOM))).eval()
    _, padded, counts = ragged_prompts((3, 1, 2, 5))

    def logits():
        seen = []

        def choose(logits):
            seen.append(logits)
            return logits.argmax(-1)

        decode(model, padded, counts, max_length=ROOM, choose=choose)
        list(islice(continuation(model, padded[:, :1], choose=choose), 4))
        return seen

    expected = logits()
    with torch.autocast("cpu", torch.bfloat16):
        found = logits()
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_what_cannot_be_decoded_is_said():
    without_end = small_model("lstm", replace(token_spec(), eos=None, pad=None))
    with pytest.raises(ValueError, match=r"needs ids for the end and for padding; .* eos=None, pad=None"):
        greedy(without_end, torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64), max_length=4)
    start = torch.zeros(1, 1, dtype=torch.int64)
    for hop, part in ((0, "hop=0 must be 1 to 9"), (10, "hop=10 must be"), (None, "needs a state of constant size")):
        with pytest.raises(ValueError, match=part):
            next(continuation(small_model("transformer", token_spec()), start, choose=lambda logits: logits, hop=hop))
