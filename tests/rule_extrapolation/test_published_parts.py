"""The published faults of a Transformer, of the languages and of the splits, against plain references."""

from collections import Counter
from itertools import product

import pytest
import torch

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck, ShuffleDyck
from rule_extrapolation.letters import ANBN, BbaN
from rule_extrapolation.published_datamodule import SameStringsDataModule
from rule_extrapolation.published_grammars import NestedPromptsShuffleDyck, PrimitiveDyck, PublishedBbaN
from rule_extrapolation.published_transformer import BatchPositionsTransformer
from rule_extrapolation.rules import PAD
from seqlab.decode import greedy
from seqlab.models.transformer import Transformer
from seqlab.nn.native.choice import available
from tests.small_models import lively, ragged_prompts, token_spec

SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ff_dim": 24, "dropout": 0.0}
BACKENDS = ["torch", *(["native"] if available() == "native" else [])]


def transformer(backend="torch", kind=BatchPositionsTransformer, **sizes):
    torch.manual_seed(0)
    return lively(kind(token_spec(12), backend=backend, **SIZES | sizes)).eval()


@pytest.fixture
def rows():
    return torch.randint(3, 7, (5, 12), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
@pytest.mark.parametrize("backend", BACKENDS)
def test_positions_are_those_of_a_table_that_is_read_along_the_batch(rows, backend):
    """What (time, batch, width) code does with (batch, time, width): x + table[:len(x)]."""
    model, ours = transformer(backend), transformer(backend, Transformer)
    table = ours.positions.table_TC[:, None]
    ours.positions.forward = lambda x, start=0: x + table[: x.shape[0]]
    assert torch.allclose(model(rows), ours(rows), atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", [BatchPositionsTransformer, Transformer])
def test_one_layer_sees_a_set_and_a_row_knows_its_place(rows, kind):
    """The order of what precedes the last step changes nothing, and the order of rows does. Ours differs in both."""
    model, faulty = transformer(kind=kind, num_layers=1), kind is BatchPositionsTransformer
    last = model(rows)[:, -1]
    shuffled = torch.cat([rows[:, :-1].flip(1), rows[:, -1:]], 1)
    assert torch.allclose(model(shuffled)[:, -1], last, atol=1e-4) == faulty
    turned = model(rows.roll(1, 0)).roll(-1, 0)[:, -1]
    assert torch.allclose(turned, last, atol=1e-4) != faulty


@torch.inference_mode()
@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_and_packed_rows_keep_the_place_of_a_row(rows, backend):
    model = transformer(backend)
    whole, lengths = model(rows), torch.tensor([3, 12, 1, 7, 12])
    packed = model.packed(rows, lengths)
    expected = torch.cat([whole[row, :length] for row, length in enumerate(lengths.tolist())])
    assert torch.allclose(packed, expected, atol=1e-5)
    state = model.init_state(5, 12)
    for step in range(12):
        logits, state = model.step(rows[:, step], state)
        assert torch.allclose(logits, whole[:, step], atol=1e-5)
    _, prompts, sizes = ragged_prompts([4, 2, 5])
    assert greedy(model, prompts, sizes, max_length=12).tokens.shape == (3, 12)


WORDS = ["".join(word) for length in range(8) for word in product("ab", repeat=length)]


def published_l2(word):
    """Rule 1, and rule 2 of a whole string or of a completion, as the public code decides them."""
    after_last_b = word.rpartition("b")[2]
    ordered = "b" in word and "b" not in word[word.index("a") :] if "a" in word else "b" in word
    return after_last_b.count("a") % 2 == 0, ordered


def test_l2_has_the_published_rules_and_is_the_same_language():
    grammar, ours = PublishedBbaN(), BbaN()
    for word in WORDS:
        tokens = torch.tensor([grammar.parse(word)], dtype=torch.long)
        rule_1, rule_2 = published_l2(word)
        assert bool(grammar.rule_1(tokens)) == rule_1, word
        assert bool(grammar.rule_2(tokens)) == bool(grammar.rule_2_completion(tokens)) == rule_2, word
        assert bool(grammar.grammatical(tokens)) == bool(ours.grammatical(tokens)), word
        state = grammar.rule_1.start
        for token in tokens[0].tolist():
            state = grammar.rule_1.step(state, token)
        assert grammar.rule_1.accepts(state) == rule_1
    assert bool(grammar.rule_1(torch.tensor([[3, 4, 3, 3]])))  # abaa: three a's, two after the last b
    assert not bool(ours.rule_1(torch.tensor([[3, 4, 3, 3]])))


def walk(length, numbers):
    """The published sampler: one of what the stack allows, until it is empty or only closing is left."""
    word, stack = [], []
    while len(word) < length:
        number = numbers[len(word)]
        if not stack:
            choice = "(" if number < 0.5 else "["
        elif len(word) + len(stack) >= length or number >= 2 / 3:
            word.append({"(": ")", "[": "]"}[stack.pop()])
            if not stack:
                break
            continue
        else:
            choice = "(" if number < 1 / 3 else "["
        word.append(choice)
        stack.append(choice)
    return "".join(word)


def test_primitive_dyck_is_the_walk_that_ends_at_the_first_empty_stack():
    grammar = PrimitiveDyck()
    uniforms = torch.rand(3000, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lengths = 2 * torch.randint(1, 9, (3000,), generator=torch.Generator().manual_seed(1))
    strings = grammar.batch(lengths, uniforms)
    texts = [grammar.text(token for token in row if token != PAD) for row in strings.tolist()]
    assert texts == [walk(*row) for row in zip(lengths.tolist(), uniforms.tolist(), strict=True)]
    assert grammar.grammatical(torch.where(strings == PAD, 1, strings)).all()
    shares = Counter(map(len, texts))
    assert shares[2] / 3000 == pytest.approx(1 / 8 + 7 / 8 / 3, abs=0.03)  # all of length 2, and a third of the others
    assert all(word[0] + word[-1] in ("()", "[]") for word in texts)


def test_primitive_words_are_those_that_the_walk_can_yield():
    grammar = PrimitiveDyck()
    words = {grammar.text(word) for word in grammar.strings(6).tolist()}
    assert len(words) == 16 and len(Dyck().strings(6)) == 40
    thirds = (1 / 6, 1 / 2, 5 / 6)
    assert words == {word for numbers in product(thirds, repeat=6) if len(word := walk(6, numbers)) == 6}


def test_l6_prompts_are_nested():
    nested, ours = (set(grammar.prompt_candidates(6)) for grammar in (NestedPromptsShuffleDyck(), ShuffleDyck()))
    assert nested < ours and len(nested) == 32
    words = torch.tensor([prompt[2:] for prompt in sorted(nested)])
    assert Dyck().grammatical(words).all()


@pytest.mark.parametrize("grammar", [PrimitiveDyck(), ANBN()], ids=lambda grammar: grammar.name)
def test_the_splits_are_the_same_strings(grammar):
    data = SameStringsDataModule(grammar=grammar, max_length=16, num_train=24, num_val=24, num_test=24, batch_size=8)
    epoch = torch.cat([data.train_batch(step) for step in range(3)])
    for split in ("val", "test"):
        assert sorted(epoch.tolist()) == sorted(data.evaluation_set(split).tolist())
    assert torch.equal(data.samples("val", 5, 7), data.samples("train", 0, 24)[5:12])


def test_a_language_with_one_string_per_length_has_each_once():
    data = SameStringsDataModule(grammar=ANBN(), max_length=256, num_train=128)
    assert data.steps_per_epoch == 1
    assert sorted((data.train_batch(0) == 3).sum(1).tolist()) == list(range(1, 129))


def test_no_lowest_loss_is_given_for_words_that_end_early():
    """Their sampler is not uniform: the sampler's own loss lies below the optimum of uniform words."""
    data = GrammarDataModule(grammar=PrimitiveDyck(), max_length=16, num_test=64)
    assert data.next_token is None and data.test_optimum is None
    assert GrammarDataModule(grammar=Dyck(), max_length=16, num_test=64).test_optimum is not None
