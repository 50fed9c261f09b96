"""Counting which rules completions satisfy: against a slow plain version, string by string."""

import random
import re

import pytest
import torch

from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.metrics import NAMES, RuleProportions, after, named, rule_results, score
from rule_extrapolation.rules import EOS, PAD, SOS
from seqlab.decode import Decoded
from seqlab.proportion import Proportion


def matched(text, pair):
    """One kind of bracket: rub out empty pairs until nothing changes."""
    kept = "".join(character for character in text if character in pair)
    while pair in kept:
        kept = kept.replace(pair, "")
    return not kept


def nested(text):
    """Parentheses are matched, and between the two of each pair brackets are."""
    if not matched(text, "()"):
        return False
    for start in (place for place, character in enumerate(text) if character == "("):
        stop = next(stop for stop in range(start, len(text)) if matched(text[start : stop + 1], "()"))
        if not matched(text[start:stop], "[]"):
            return False
    return True


def even_a(text):
    return text.count("a") % 2 == 0


def as_many(text, symbols):
    return len({text.count(symbol) for symbol in symbols}) == 1


def one_kind(text):
    return not (set(text) & set("()") and set(text) & set("[]"))


def around(text):
    block = re.fullmatch("(a*)b+(a*)", text)
    return block[1] == block[2] if block else "b" not in text and even_a(text)


def shape(pattern):
    return lambda text: bool(re.fullmatch(pattern, text))


# grammar: rule 1, rule 2, rule_2_completion
PLAIN = {
    BaN(): (even_a, shape("b.*"), shape("b.*")),
    BbaN(): (even_a, shape("b+a*"), shape("b*a*")),
    ANBN(): (lambda s: as_many(s, "ab"), shape("a*b*"), shape("a*b*")),
    ANBNCN(): (lambda s: as_many(s, "abc"), shape("a*b*c*"), shape("a*b*c*")),
    AbN(): (lambda s: as_many(s, "ab"), shape(".*"), shape(".*")),
    ANBM(): (shape(".*"), shape("a*b*"), shape("a*b*")),
    ANBNAN(): (lambda s: s.count("a") == 2 * s.count("b"), around, shape("a*b*a*")),
    Dyck(): (lambda s: matched(s, "[]"), nested, nested),
    ShuffleDyck(): (lambda s: matched(s, "[]"), lambda s: matched(s, "()"), lambda s: matched(s, "()")),
    Parentheses(): (lambda s: matched(s, "()"), shape("[()]*"), shape("[()]*")),
    Brackets(): (lambda s: matched(s, "[]"), shape(r"[\[\]]*"), shape(r"[\[\]]*")),
    Separated(): (lambda s: matched(s, "()") and matched(s, "[]"), one_kind, one_kind),
}
every_grammar = pytest.mark.parametrize("grammar", PLAIN, ids=[grammar.name for grammar in PLAIN])
WIDTH = 12


def random_strings(grammar, number, seed=0):
    """(texts, prompt lengths, finished): half of them of the language, some with a symbol changed."""
    generator = random.Random(seed)
    members = [grammar.text(row) for length in range(9) for row in grammar.strings(length).tolist()]
    rows = []
    for i in range(number):
        finished = generator.random() < 0.7
        if i % 2:
            text = generator.choice(members)
        else:
            text = "".join(generator.choice(grammar.symbols) for _ in range(generator.randint(0, WIDTH)))
        if text and i % 5 == 0:
            place = generator.randrange(len(text))
            text = text[:place] + generator.choice(grammar.symbols) + text[place + 1 :]
        finished = finished or len(text) < WIDTH  # an unfinished string fills all places
        rows.append((text, generator.randint(0, min(len(text), 8)), finished))
    return rows


def as_tensors(grammar, rows, seed=0):
    """Ids (number, WIDTH), with EOS and then anything after it; finished; prompt lengths."""
    generator = random.Random(seed)
    ids = []
    for text, _, _ in rows:
        content = grammar.parse(text)
        rest = [generator.randrange(grammar.vocabulary_size) for _ in range(WIDTH)]
        ids.append([*content, EOS, *rest][:WIDTH])
    lengths = torch.tensor([length for _, length, _ in rows])
    return torch.tensor(ids), torch.tensor([finished for *_, finished in rows]), lengths


def slowly(grammar, text, prompt_length, finished):
    """What holds for one string, in the order of NAMES."""
    rule_1, rule_2, completion = PLAIN[grammar]
    start = prompt_length if grammar.completion_start is None else min(prompt_length, grammar.completion_start)
    holds = rule_1(text), rule_2(text), completion(text[start:])
    return [*holds, holds[0] and holds[2], holds[0] and holds[1], finished]


@every_grammar
def test_score_is_the_plain_version(grammar):
    rows = random_strings(grammar, 400)
    expected = [slowly(grammar, *row) for row in rows]
    assert score(grammar, *as_tensors(grammar, rows)).tolist() == expected
    for name, column in zip(NAMES, zip(*expected, strict=True), strict=True):
        always = {"aNbM": ("rule_1",), "abN": ("rule_2", "rule_2_completion")}.get(grammar.name, ())
        assert set(column) == ({True} if name in always else {True, False}), name  # both answers occur


@every_grammar
def test_shares_are_the_plain_counts(grammar):
    rows = random_strings(grammar, 200, seed=1)
    expected = [slowly(grammar, *row) for row in rows]
    metric = RuleProportions(grammar)
    tensors = as_tensors(grammar, rows)
    for part in (slice(0, 70), slice(70, 71), slice(71, 71), slice(71, 200)):
        metric.update(*(tensor[part] for tensor in tensors))
    over_finished = [holds for holds in expected if holds[-1]]
    plain = {
        name: Proportion(sum(column), 200) for name, column in zip(NAMES, zip(*expected, strict=True), strict=True)
    }
    for name, column in zip(NAMES, zip(*over_finished, strict=True), strict=True):
        plain[f"finished_only/{name}"] = Proportion(sum(column), len(over_finished))
    assert metric.compute() == plain


def test_states_add_up_over_processes():
    rows = random_strings(Dyck(), 300, seed=2)
    tensors = as_tensors(Dyck(), rows)
    whole, parts = RuleProportions(Dyck()), [RuleProportions(Dyck()), RuleProportions(Dyck())]
    whole.update(*tensors)
    parts[0].update(*(tensor[:100] for tensor in tensors))
    parts[1].update(*(tensor[100:] for tensor in tensors))
    merged = RuleProportions(Dyck())
    for name, reduce in merged._reductions.items():
        assert callable(reduce)
        setattr(merged, name, reduce(torch.stack([getattr(part, name) for part in parts])))
    merged._update_count = 1
    assert merged.compute() == whole.compute()
    assert merged.compute() != parts[1].compute()


def test_tokens_after_eos_do_not_count():
    grammar = ANBN()
    content = torch.tensor([grammar.parse("aabb")])
    for rest in ([EOS, 4, 3, 3, 3], [EOS, SOS, PAD, 5, 9], [EOS, EOS, PAD, PAD, PAD]):
        string = torch.cat([content, torch.tensor([rest])], 1)
        assert score(grammar, string, torch.tensor([True]), torch.tensor([2])).all()


def test_a_special_token_inside_satisfies_nothing():
    for token in (SOS, PAD):
        string = torch.tensor([[3, token, 4, EOS]])
        holds = score(ANBN(), string, torch.tensor([True]), torch.tensor([1]))[0]
        assert dict(zip(NAMES, holds.tolist(), strict=True)) == {name: name == "finished" for name in NAMES}


def test_nothing_finished_has_no_share():
    metric = RuleProportions(ANBN())
    metric.update(torch.tensor([[3, 3, 4, 4], [3, 4, 3, 3]]), torch.tensor([False, False]), torch.tensor([1, 1]))
    shares = metric.compute()
    assert shares["grammatical"] == Proportion(1, 2)
    assert shares["finished"].value == 0.0
    for name in NAMES:
        share = shares[f"finished_only/{name}"]
        assert (share.value, share.interval, share.trials) == (None, None, 0)


def test_every_share_has_its_wilson_interval():
    metric = RuleProportions(ANBN())
    strings = torch.tensor([[3, 4, EOS], [4, 3, EOS], [3, 3, EOS], [3, 4, EOS]])
    metric.update(strings, torch.tensor([True] * 4), torch.tensor([1] * 4))
    share = metric.compute()["grammatical"]
    assert share == Proportion(2, 4)
    assert share.interval == pytest.approx((0.1500, 0.8500), abs=1e-4)  # Wilson 1927, 2 of 4
    assert metric.compute()["finished"].interval == pytest.approx((0.5101, 1.0), abs=1e-4)


def test_reset_forgets():
    metric = RuleProportions(ANBN())
    metric.update(torch.tensor([[3, 4, EOS]]), torch.tensor([True]), torch.tensor([1]))
    metric.reset()
    assert {share.trials for share in metric.compute().values()} == {0}


def test_after_takes_the_rest_of_each_row():
    strings = torch.tensor([[3, 4, 5, EOS], [6, 5, 4, 3], [3, EOS, PAD, PAD]])
    expected = [[4, 5, EOS, EOS], [EOS, EOS, EOS, EOS], [3, EOS, PAD, PAD]]
    assert after(strings, torch.tensor([1, 4, 0])).tolist() == expected


def test_the_completion_is_scored_from_the_prompt_on_or_after_the_prefix():
    place, finished = NAMES.index("rule_2_completion"), torch.tensor([True])
    string = torch.tensor([[*ANBN().parse("baab"), EOS]])
    holds = [bool(score(ANBN(), string, finished, torch.tensor([n]))[0, place]) for n in (0, 1, 2, 4)]
    assert holds == [False, True, True, True]
    string = torch.tensor([[*Dyck().parse(")[()("), EOS]])  # matched in the prompt, open in the completion
    assert not score(Dyck(), string, finished, torch.tensor([4]))[0, place]


def test_names():
    metric = RuleProportions(ANBN())
    metric.update(torch.tensor([[3, 4, EOS]]), torch.tensor([True]), torch.tensor([1]))
    assert set(named("test/id", metric.compute())) == {
        f"test/{g}/{name}" for g in ("id", "id_finished") for name in NAMES
    }


def test_results_of_sets_of_prompts_with_repeats():
    """Rows follow the prompts in order, each repeated; sets of different prompt lengths."""
    prompts = {"id": [(3,), (3, 3)], "ood": [(4,)], "sos": [()]}
    texts = ["ab", "a", "aabb", "ab", "b", "bab", "", "ab"]
    tokens = torch.tensor([[SOS, *ANBN().parse(text), EOS, *[PAD] * 4][:6] for text in texts])
    decoded = Decoded(tokens, torch.tensor([True, True, True, False, True, True, True, True]))
    results = rule_results(ANBN(), prompts, "val", decoded, repeats=2)
    assert results["val/id/grammatical"] == Proportion(3, 4)
    assert results["val/id/finished"] == Proportion(3, 4)
    assert results["val/id_finished/grammatical"] == Proportion(2, 3)
    assert results["val/ood/rule_2_completion"] == Proportion(2, 2)  # "" and "ab"
    assert results["val/ood/rule_1"] == Proportion(0, 2)
    assert results["val/sos/grammatical"] == Proportion(2, 2)
