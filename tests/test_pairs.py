"""Every dataset meets every model: it composes, builds, trains and is evaluated, in tiny sizes."""

from pathlib import Path

import pytest
import torch

from seqlab.share import Share

CONF = Path(__file__).parents[1] / "conf"
DATA, MODELS = (sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("data", "model"))


def test_the_choices_are_found():
    assert {"L1", "L2", "L3", "L4", "L5", "L6", "abN", "aNbM", "aNbNaN", "parentheses", "brackets", "separated"} <= set(
        DATA
    )
    assert {"transformer", "lstm", "linear"} <= set(MODELS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_pair(prepare, data, model):
    words = ["trainer.max_steps=2", "trainer.val_every=2", "logger=csv"]
    run, trainer = prepare(f"data={data}", f"model={model}", *words)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    trainer.fit(run.task, datamodule=run.datamodule)
    assert trainer.global_step == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
    assert torch.isfinite(trainer.callback_metrics["val/loss"])

    trainer.test(run.task, datamodule=run.datamodule, verbose=False)
    shares = {name: result for name, result in run.task.results.items() if isinstance(result, Share)}
    assert shares["test/sos/finished"].trials == 1
    assert shares["test/id/grammatical"].trials > 0
    assert 0 < run.task.results["test/loss"] < 100
    assert "completion" in run.task.describe(run.task.parse_prompt(""))
