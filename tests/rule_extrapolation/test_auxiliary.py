"""The second loss on OOD prompts: its completions, its value by hand, and that it turns rule 1 on and off."""

import pytest
import torch

from rule_extrapolation.auxiliary import AuxiliaryLoss, adversarial, oracle
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.letters import ANBN, BaN
from rule_extrapolation.prompts import prompts
from seqlab.errors import InputError
from seqlab.run.build import build
from tests.small_models import lively, small_model

KINDS = ("oracle", "adversarial")


def published(word, kind):
    """What the public code appends to an OOD prompt of aNbN."""
    surplus = word.count("a") - word.count("b")
    return ("b" if surplus >= 0 else "a") * (abs(surplus) + (kind == "adversarial"))


@pytest.mark.parametrize("kind", KINDS)
def test_completions_on_anbn_are_the_published_ones(kind):
    grammar, choose = ANBN(), {"oracle": oracle, "adversarial": adversarial}[kind]
    for prompt in prompts(grammar, 6).ood:
        assert grammar.text(choose(grammar, prompt, 8)) == published(grammar.text(prompt), kind)


@pytest.mark.parametrize("grammar", [ANBN(), BaN(), Dyck()], ids=lambda grammar: grammar.name)
def test_one_keeps_rule_1_and_the_other_misses_it(grammar):
    for prompt in prompts(grammar, 4).ood:
        kept, missed = oracle(grammar, prompt, 12), adversarial(grammar, prompt, 12)
        assert kept is not None and missed is not None
        whole = [torch.tensor([[*prompt, *completion, 1]]) for completion in (kept, missed)]
        assert [bool(grammar.rule_1(string)) for string in whole] == [True, False]
        assert missed[:-1] == kept
        assert not any(bool(grammar.grammatical(string)) for string in whole)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["transformer", "lstm", "linear"])
def test_the_loss_is_that_of_the_completions_alone_by_hand(compose, name):
    data = build(compose("data=L3", f"model={name}")).datamodule
    model = lively(small_model(name, data.spec)).eval()
    loss = AuxiliaryLoss(ANBN(), data.prompts.ood, "oracle", data.max_length)
    by_hand = []
    for prompt in data.prompts.ood:
        completion = oracle(ANBN(), prompt, data.max_length)
        assert completion is not None
        logs = model(torch.tensor([[0, *prompt, *completion]]))[0].double().log_softmax(-1)
        by_hand += [-logs[len(prompt) + place, token].item() for place, token in enumerate((*completion, 1))]
    assert loss(model).item() == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    assert int(loss.scored.sum()) == len(by_hand)


def test_the_task_adds_it_with_its_weight_and_measures_it_apart(compose):
    plain, heavy = (
        build(compose("data=L3", "model=lstm", *words)).task
        for words in ((), ("task.auxiliary=adversarial", "task.auxiliary_weight=2.5"))
    )
    model, batch = small_model("lstm", plain.data.spec).eval(), plain.data.train_batch(0)
    expected = plain.loss(model, batch) + 2.5 * heavy.auxiliary(model)
    assert heavy.loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-6)
    results = heavy.evaluate(model, "val")
    assert results["val/auxiliary_loss"] == pytest.approx(heavy.auxiliary(model).item(), rel=1e-6)
    assert results["val/loss"] == plain.evaluate(model, "val")["val/loss"]
    assert "OOD prompts too (adversarial)" in heavy.title() and "OOD prompts" not in plain.title()
    with pytest.raises(InputError, match=r"task\.auxiliary=adversarial: no OOD prompt of aNbM"):
        build(compose("data=aNbM", "model=lstm", "task.auxiliary=adversarial"))


def test_training_on_it_turns_rule_1_on_and_off(compose):
    """A few steps on the second loss alone: every OOD completion keeps rule 1, or none does."""
    shares = []
    for kind in KINDS:
        task = build(compose("data=L3", "model=lstm", f"task.auxiliary={kind}")).task
        model = small_model("lstm", task.data.spec)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in range(150):
            optimizer.zero_grad()
            task.auxiliary(model).backward()
            optimizer.step()
        shares.append(task.evaluate(model.eval(), "test")["test/ood/rule_1"].value)
    assert shares[0] > 0.9 and shares[1] < 0.1
