"""Chance levels against trying every completion, and the four baselines through the decoder."""

from collections import Counter

import pytest
import torch

from rule_extrapolation.baselines import EndAtOnce, NGram, Oracle, Uniform, chance
from rule_extrapolation.bracket_rules import Matched
from rule_extrapolation.dyck import PARENTHESES, Brackets, Dyck, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.prompts import framed, oracle_sequences, prompts
from rule_extrapolation.rules import EOS, PAD, SOS
from seqlab.decode import greedy, sample
from seqlab.spec import Classes, Spec, Tokens

GRAMMARS = [BaN(), BbaN(), ANBN(), ANBNCN(), Dyck(), ShuffleDyck(), ANBNAN(), Brackets(), Separated()]


def spec_of(grammar, max_length=32):
    size = grammar.vocabulary_size
    return Spec(Tokens(size), Classes(size), max_length=max_length + 1, sos=SOS, eos=EOS, pad=PAD)


def chance_by_trying(grammar, prompt, max_length):
    """The same probabilities as a sum over every completion, scored by the predicates."""
    num_draws, choices = max_length - len(prompt), len(grammar.symbols) + 1
    totals = Counter()
    for length in range(num_draws + 1):
        completions = grammar.all_strings(length)
        weight = choices ** -(length + 1) if length < num_draws else choices**-length
        strings = torch.cat([torch.tensor(prompt, dtype=torch.long).expand(len(completions), -1), completions], 1)
        rule_1, rule_2 = grammar.rule_1(strings), grammar.rule_2(strings)
        later = grammar.rule_2_completion(strings[:, grammar.completion_from(len(prompt)) :])
        totals["rule_1"] += weight * int(rule_1.sum())
        totals["rule_2"] += weight * int(rule_2.sum())
        totals["rule_2_completion"] += weight * int(later.sum())
        totals["rule_1_and_rule_2_completion"] += weight * int((rule_1 & later).sum())
        totals["grammatical"] += weight * int((rule_1 & rule_2).sum())
        totals["finished"] += choices ** -(length + 1) * len(completions)
    return dict(totals)


@pytest.mark.parametrize("grammar", GRAMMARS, ids=[grammar.name for grammar in GRAMMARS])
@pytest.mark.parametrize("group", ["id", "ood", "sos"])
def test_chance_is_the_sum_over_all_completions(grammar, group):
    members = getattr(prompts(grammar, 2), group)
    longest = max(map(len, members)) + (7 if len(grammar.symbols) == 2 else 5)
    expected = Counter()
    for prompt in members:
        expected.update(chance_by_trying(grammar, prompt, longest))
    mean = {name: total / len(members) for name, total in expected.items()}
    assert chance(grammar, members, longest) == pytest.approx(mean, abs=1e-12)


def test_chance_with_no_draw_left_and_with_no_prompts():
    levels = chance(ANBN(), [(3, 4)], 2)
    assert levels == pytest.approx(
        dict.fromkeys(["rule_1", "rule_2", "rule_2_completion", "rule_1_and_rule_2_completion", "grammatical"], 1.0)
        | {"finished": 1 / 3}
    )
    assert chance(AbN(), prompts(AbN()).ood, 32) == {}
    with pytest.raises(ValueError, match="a prompt has 3 symbols, max_length is 2"):
        chance(ANBN(), [(3, 4, 4)], 2)


@pytest.mark.parametrize(
    ("grammar", "level", "digits"),
    [(ANBN(), 0.154, 3), (ANBNCN(), 0.0334, 4), (Dyck(), 0.146, 3), (ShuffleDyck(), 0.146, 3)],
    ids=lambda value: getattr(value, "name", None),
)
def test_chance_of_rule_1_out_of_distribution(grammar, level, digits):
    assert round(chance(grammar, prompts(grammar).ood, 32)["rule_1"], digits) == level


def test_end_at_once_keeps_rule_1_where_the_prompt_does():
    grammar = ANBN()
    tokens, lengths = framed(prompts(grammar).ood)
    decoded = greedy(EndAtOnce(spec_of(grammar)), tokens, lengths, max_length=33)
    assert decoded.finished.all() and (decoded.tokens[torch.arange(len(tokens)), lengths] == EOS).all()
    assert (int(grammar.rule_1(decoded.tokens[:, 1:]).sum()), len(tokens)) == (69, 251)


@pytest.mark.parametrize("grammar", [ANBN(), Dyck()], ids=lambda grammar: grammar.name)
def test_sampled_uniform_comes_to_the_chance_levels(grammar):
    members = prompts(grammar).ood[100:105] or prompts(grammar).ood[:5]
    tokens, lengths = framed(members * 2000)
    generator = torch.Generator().manual_seed(0)
    decoded = sample(Uniform(spec_of(grammar)), tokens, lengths, max_length=11, generator=generator)
    exact = chance(grammar, members, 10)
    strings = decoded.tokens[:, 1:]
    assert not (strings[decoded.finished] == SOS).any()
    for name, hits in {"finished": decoded.finished, "rule_1": grammar.rule_1(strings)}.items():
        deviation = (exact[name] * (1 - exact[name]) / len(tokens)) ** 0.5
        assert 0 < exact[name] < 1
        assert abs(float(hits.double().mean()) - exact[name]) < 4 * deviation


def plain_n_gram(strings, order, width):
    """Next-token counts by context as dictionaries, for every length of context."""
    counts = {}
    for row in strings.tolist():
        row = row[: row.index(EOS) + 1]
        for place in range(1, len(row)):
            before = tuple([PAD] * order + row[:place])
            for length in range(order):
                counts.setdefault(before[len(before) - length :], Counter())[row[place]] += 1
    return counts


@pytest.mark.parametrize("order", [2, 3, 4])
def test_n_gram_is_relative_frequency_with_shorter_contexts_for_unseen_ones(order):
    grammar = Dyck()
    lengths = grammar.lengths(8)[torch.arange(12) % 4]
    generator = torch.Generator().manual_seed(3)
    symbols = grammar.batch(lengths, torch.rand(12, 8, dtype=torch.float64, generator=generator))
    strings = torch.full((12, 10), PAD)
    strings[:, 0], strings[:, 1:9] = SOS, symbols
    strings[torch.arange(12), lengths + 1] = EOS
    model = NGram(spec_of(grammar), strings, order=order)
    counts = plain_n_gram(strings, order, 7)
    unseen = 0
    for inputs in torch.cartesian_prod(*[torch.arange(7)] * order):  # one token more than the model may look at
        context = tuple(inputs.tolist())[1:]
        while context not in counts:
            context = context[1:]
            unseen += 1
        expected = torch.tensor([counts[context][token] for token in range(7)]) / counts[context].total()
        torch.testing.assert_close(model(inputs[None])[0, -1].exp(), expected)
    assert unseen > 0
    torch.testing.assert_close(model(torch.tensor([[SOS]]))[0, -1].exp()[3], counts[(SOS,)][3] / torch.tensor(12.0))


def test_n_gram_refuses_order_one():
    with pytest.raises(ValueError, match="order=1 must be at least 2"):
        NGram(spec_of(ANBN()), torch.tensor([[SOS, 3, 4, EOS]]), order=1)


@pytest.mark.parametrize("grammar", [ANBN(), Dyck(), ShuffleDyck()], ids=lambda grammar: grammar.name)
def test_the_oracle_completes_what_can_be_completed(grammar):
    found = prompts(grammar)
    members = [*found.id, *found.ood, ()]
    tokens, lengths = framed(members)
    decoded = greedy(Oracle(spec_of(grammar), oracle_sequences(grammar, members, 32)), tokens, lengths, max_length=33)
    holds = grammar.grammatical(decoded.tokens[:, 1:])
    assert decoded.finished.all() and grammar.rule_1(decoded.tokens[:, 1:]).all()
    assert holds[: len(found.id)].all() and not holds[len(found.id) : -1].any() and holds[-1]


def test_the_oracle_refuses_another_batch():
    with pytest.raises(ValueError, match="2 sequences for a batch of 3"):
        Oracle(spec_of(ANBN()), torch.tensor([[SOS, EOS], [SOS, EOS]])).init_state(3)


@pytest.mark.parametrize("name", ["Uniform", "EndAtOnce", "NGram", "Oracle"])
def test_in_one_chunk_step_by_step_and_resumed_are_the_same(name):
    grammar = ANBN()
    strings = oracle_sequences(grammar, [(3,), (3, 3, 4), (4, 3)], 8)
    model = {
        "Uniform": lambda: Uniform(spec_of(grammar)),
        "EndAtOnce": lambda: EndAtOnce(spec_of(grammar)),
        "NGram": lambda: NGram(spec_of(grammar), strings),
        "Oracle": lambda: Oracle(spec_of(grammar), strings),
    }[name]()
    inputs = torch.randint(3, 5, (3, 12), generator=torch.Generator().manual_seed(1))
    whole = model(inputs)
    assert whole.shape == (3, 12, 5)
    first, state = model.prefill(inputs[:, :5], model.init_state(3))
    rest, state = model.prefill(inputs[:, 5:9], state)
    steps = []
    for place in range(9, 12):
        logits, state = model.step(inputs[:, place], state)
        steps.append(logits)
    assert torch.equal(torch.cat([first, rest, torch.stack(steps, 1)], 1), whole)
    assert all(len(part) == 3 for part in state)


def test_upstreams_rule_2_of_dyck_has_another_chance():
    """It asks of a completion that parentheses are matched; rule 2 here also that brackets balance inside them."""

    class Upstream(Dyck):
        rule_2 = rule_2_completion = Matched(*PARENTHESES)

    out = prompts(Dyck()).ood
    assert round(chance(Upstream(), out, 32)["rule_2_completion"], 3) == 0.382
    assert round(chance(Dyck(), out, 32)["rule_2_completion"], 3) == 0.360
