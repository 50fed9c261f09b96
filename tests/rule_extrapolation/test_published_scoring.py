"""The published protocol: what it switches on, and that its loss and scores have the faults that are asked for."""

import json
import math

import pytest
import torch

from rule_extrapolation.baselines import EndAtOnce
from rule_extrapolation.metrics import model_loss
from rule_extrapolation.rules import EOS, PAD
from rule_extrapolation.scoring import SCORED, Scoring, padded_loss
from seqlab.model import SequenceModel
from seqlab.proportion import Proportion
from seqlab.run.build import build
from seqlab.show.curves import read_metrics
from tests.small_models import small_model

PUBLISHED = "protocol=published"
LONG = ("data.max_length=256", "data.prompt_lengths=[8]", "data.num_val=128")
KEYS = {  # of the configuration, for each fault that the model or the language can have
    ".task.scoring.loss_on_pad",
    ".task.scoring.only_finished",
    ".task.scoring.maximum",
    ".task.scoring._target_",
    ".data._target_",
    ".data.num_train",
    ".schedule.unit",
}
FURTHER = {
    ("transformer", "L2"): {".model._target_", ".data.grammar._target_"},
    ("transformer", "L3"): {".model._target_"},
    ("linear", "L5"): {".model.mask", ".data.grammar._target_"},
    ("lstm", "L6"): {".data.grammar._target_"},
}


class Counting(SequenceModel):
    """The exact distribution of a^n b^n with n uniform over 1 .. most, and of PAD after EOS: nothing is learned."""

    def __init__(self, spec, most):
        super().__init__(spec)
        self.most = most

    def init_state(self, batch, length=None):
        raise NotImplementedError

    def prefill(self, inputs, state):
        raise NotImplementedError

    def forward(self, inputs):
        a, b = ((inputs == token).cumsum(1).double() for token in (3, 4))
        ended = (inputs == EOS).cumsum(1) > 0
        left = self.most - a + 1  # of the strings with at least so many a's
        more = torch.where(a == 0, 1.0, torch.where(b > 0, 0.0, (left - 1) / left))
        balanced = (b > 0) & (b == a)
        chances = torch.zeros(*inputs.shape, self.spec.output.width, dtype=torch.float64)
        chances[..., 3] = more
        chances[..., 4] = (1 - more) * ~balanced
        chances[..., EOS] = balanced.double()
        chances[ended] = torch.eye(self.spec.output.width, dtype=torch.float64)[PAD]
        return chances.log()


def leaves(config, path=""):
    if not isinstance(config, dict):
        return {path: config}
    return {key: value for name, below in config.items() for key, value in leaves(below, f"{path}.{name}").items()}


@pytest.fixture
def task_of(compose):
    """Overrides -> the task that they build."""
    return lambda *overrides: build(compose(*overrides)).task


@pytest.mark.parametrize(("model", "data"), FURTHER)
def test_each_fault_has_one_key_and_nothing_else_changes(compose, model, data):
    choice = f"model={model}", f"data={data}"
    ours, published = (leaves(compose(*choice, *words)) for words in ((), (PUBLISHED,)))
    changed = {key for key in {*ours, *published} if ours.get(key) != published.get(key)}
    assert changed == KEYS | FURTHER[model, data]
    assert leaves(compose(*choice, "protocol=none")) == ours


def test_the_floor_of_the_padded_loss_is_the_published_one(task_of):
    task = task_of("data=L3", "model=lstm", PUBLISHED, *LONG)
    strings = task.data.evaluation_set("val")
    assert len({tuple(row) for row in strings.tolist()}) == len(strings) == 128
    best = Counting(task.data.spec, 128)
    assert task.loss(best, strings).item() == pytest.approx(math.log(128) / 257, rel=1e-6)
    assert task.loss(best, strings).item() == pytest.approx(0.01888, abs=5e-6)
    assert task.num_targets(strings) == 128 * 257
    real = int((strings[:, 1:] != PAD).sum())
    assert task_of("data=L3", "model=lstm").num_targets(strings) == real
    assert model_loss(best, strings)[0].item() == pytest.approx(math.log(128) * 128 / real, rel=1e-6)


def test_a_padded_loss_is_that_of_every_target_by_hand(task_of):
    task = task_of("data=L5", "model=lstm", PUBLISHED)
    model = small_model("lstm", task.data.spec).eval()
    strings = task.data.train_batch(0)
    with torch.inference_mode():
        loss, accuracy, count = padded_loss(model, strings)
        logits = model(strings[:, :-1]).double().log_softmax(-1)
    by_hand = [
        (-logits[row, step, target].item(), int(logits[row, step].argmax()) == target)
        for row, targets in enumerate(strings[:, 1:].tolist())
        for step, target in enumerate(targets)
    ]
    assert count == len(by_hand) == strings[:, 1:].numel()
    assert loss.item() == pytest.approx(sum(value for value, _ in by_hand) / count, rel=1e-5)
    assert accuracy.item() == pytest.approx(sum(right for _, right in by_hand) / count)


def test_ending_at_once_has_the_published_score(task_of):
    """All of the linear model's published scores on aNbN are those of an empty completion."""
    task = task_of("data=L3", PUBLISHED, *LONG)
    results = task.evaluate(EndAtOnce(task.data.spec), "test")
    checks = {name.replace("test/", "val/"): [(50, result.value)] for name, result in results.items() if "/o" in name}
    for scoring in (Scoring(), Scoring(only_finished=True), Scoring(only_finished=True, maximum=True)):
        assert scoring.scored(results, checks)["test/scored_ood_rule_1"] == 69 / 251
    assert task.baselines()["eos"]["test/scored_ood_rule_1"] == 69 / 251 == pytest.approx(0.2749, abs=5e-5)


RESULTS = {"loss": 0.5} | {
    f"{group}{end}/{name}": Proportion(*counts)
    for name in ("rule_1", "rule_2_completion", "grammatical")
    for group, end, counts in [
        ("id", "", (3, 4)), ("ood", "", (1, 8)), ("sos", "", (0, 1)),
        ("id", "_finished", (3, 3)), ("ood", "_finished", (1, 2)), ("sos", "_finished", (0, 0)),
    ]
}  # fmt: skip
CHECKS = {"val/ood/rule_1": [(50, 0.75), (100, 0.25)], "val/ood_finished/rule_1": [(100, 0.5), (150, 0.625)]}


@pytest.mark.parametrize(
    ("scoring", "ood", "sos"),
    [
        (Scoring(), 0.125, 0.0),
        (Scoring(only_finished=True), 0.5, 0.0),  # none of the empty prompt finished: 0, not null
        (Scoring(maximum=True), 0.75, 0.0),
        (Scoring(maximum=True, only_finished=True), 0.625, 0.0),
    ],
)
def test_what_is_scored(scoring, ood, sos):
    scored = scoring.scored({f"test/{name}": result for name, result in RESULTS.items()}, CHECKS)
    assert (scored["test/scored_ood_rule_1"], scored["test/scored_sos_grammatical"]) == (ood, sos)


@pytest.mark.slow
def test_a_run_has_the_maximum_of_its_history(command, root, tiny, tmp_path):
    words = [*tiny("transformer", "L5"), "protocol=published", "data.num_train=32", "trainer=fast", "logger=csv"]
    quick = ["trainer.max_steps=24", "trainer.val_every=2", "trainer.accelerator=cpu", "optimizer.lr=0.01"]
    done = command(root / "run.py", *words, *quick, "schedule.warmup=1", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    checks = read_metrics(tmp_path / "run" / "metrics.csv")
    for group, name in SCORED.values():
        highest = max((value for _, value in checks.get(f"val/{group}_finished/{name}", [])), default=0.0)
        assert summary["metrics"][f"test/scored_{group}_{name}"] == highest
        assert f"scored_{group}_{name}" in done.stdout
    assert set(summary["columns"].values()) <= set(summary["metrics"])
    assert "test/loss" not in summary["baselines"]["ngram"]  # it counts no PAD, and the model's does
    assert summary["baselines"]["chance"]["test/scored_ood_rule_1"] == summary["baselines"]["chance"]["test/ood/rule_1"]
