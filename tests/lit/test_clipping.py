"""The clipping threshold that follows the norm: by hand, beside the package zclip, in a run."""

import math
import statistics

import pytest
import torch
from torch import nn

from seqlab.errors import InputError
from seqlab.lit.checkpoints import load_checkpoint
from seqlab.lit.clipping import AdaptiveClipping
from seqlab.show.curves import read_metrics
from tests.lit.test_module import BeforeOptimizer

NORMS = [1.0, 1.2, 0.8, 1.1, 9.0, 1.0, 1.3, 0.2, 30.0, 1.0]


def test_the_history_by_hand():
    clipping = AdaptiveClipping(deviations=3.0, decay=0.9, warmup=4)
    for norm in NORMS[:4]:
        assert clipping.threshold() is None
        clipping.add(norm)
    mean, deviation = statistics.mean(NORMS[:4]), statistics.pstdev(NORMS[:4])
    limit = mean + 3 * deviation
    assert clipping.threshold() == pytest.approx(limit)
    clipping.add(9.0)  # it enters as the threshold
    assert clipping.clipped == 1
    after = 0.9 * mean + 0.1 * limit
    spread = math.sqrt(0.9 * (deviation**2 + 0.1 * (limit - mean) ** 2))
    assert clipping.threshold() == pytest.approx(after + 3 * spread)
    clipping.add(1.0)
    assert clipping.clipped == 1


def test_the_threshold_beside_the_package_zclip():
    """Its variance takes the distance from the new mean, not from the old: a factor of 0.97 on each new square."""
    zclip = pytest.importorskip("zclip")
    theirs = zclip.ZClip(alpha=0.97, z_thresh=3.0, max_grad_norm=None, warmup_steps=25, mode="percentile")
    ours = AdaptiveClipping()
    generator = torch.Generator().manual_seed(1)
    norms = torch.randn(300, generator=generator).exp().mul(2 - torch.arange(300) / 200).tolist()
    layer = nn.Linear(1, 1, bias=False)
    compared = 0
    for norm in norms:
        limit = ours.threshold()
        if limit is not None:
            assert limit == pytest.approx(theirs.mean + 3 * theirs.var**0.5, rel=0.03)
            compared += 1
        layer.weight.grad = torch.full((1, 1), norm)
        theirs.step(layer)
        ours.add(norm)
    assert compared == 275 and ours.clipped > 3


def test_a_run_clips_where_the_history_says(prepare, tmp_path):
    words = ["clipping=adaptive", "trainer.clipping.warmup=3", "trainer.clipping.deviations=0.5", "model=deep_lstm"]
    run, trainer = prepare(*words, "logger=csv", "trainer.max_steps=12", "trainer.val_every=12", "trainer.log_every=1")
    seen = BeforeOptimizer()
    trainer.callbacks.append(seen)
    trainer.fit(run.module, datamodule=run.datamodule)
    metrics = read_metrics(tmp_path / "run" / "metrics.csv")
    norms = [value for _, value in metrics["train/gradient_norm"]]
    limits = dict(metrics["train/clip_threshold"])
    assert len(norms) == 12 and sorted(limits) == list(range(4, 13))
    history = AdaptiveClipping(deviations=0.5, warmup=3)
    clipped = 0
    for step, norm in enumerate(norms):
        limit = history.threshold()
        if limit is not None:
            assert limits[step + 1] == pytest.approx(limit, rel=1e-4)
            clipped += norm > limit
            assert dict(metrics["train/clip_rate"])[step + 1] == pytest.approx(clipped / (step - 2))
        if step + 1 < len(norms):  # the gradients are seen before those of the next step
            assert seen.norms[step] == pytest.approx(min(norm, limit or math.inf), rel=1e-3)
        history.add(norm)
    assert 0 < clipped < 9
    callbacks = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["callbacks"]
    assert callbacks["AdaptiveClipping"]["count"] == 12


def test_two_thresholds_are_refused(prepare):
    with pytest.raises(InputError, match=r"^trainer.gradient_clip=1.0 with clipping=adaptive: one of them"):
        prepare("clipping=adaptive", "trainer.gradient_clip=1.0")


def test_the_default_is_a_fixed_norm_of_1(compose):
    trainer = compose("data=series", "model=deep_lstm")["trainer"]
    assert (trainer["gradient_clip"], trainer["clipping"]) == (1.0, None)
    assert compose("data=semiprimes", "model=lstm")["trainer"]["gradient_clip"] is None
