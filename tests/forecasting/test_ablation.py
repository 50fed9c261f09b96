"""The ablation of the deep LSTM: its variants, its table, and that it goes on where it was cut off."""

import json

import pytest

from forecasting.ablation import SEEDS, TASKS, TECHNIQUES, effect, jobs, main, variants
from seqlab.run.build import build


def words(job):
    return ["experiment=deep_lstm_ablation", *(f"{key}={value}" for key, value in job.overrides.items())]


def test_every_variant_differs_from_its_end_in_one_technique():
    for task in TASKS.values():
        found = variants(task)
        assert len(found) == 2 + 2 * sum(task.deep or not technique.needs_depth for technique in TECHNIQUES.values())
        for variant, overrides in found.items():
            end = found[variant.split(":")[0]]
            changed = {key for key in {*overrides, *end} if overrides.get(key) != end.get(key)}
            changed.discard("trainer.gradient_clip")  # of one technique with clipping
            assert len(changed) == (":" in variant), variant


@pytest.mark.parametrize("variant", ["full: adaptive clipping", "plain: adaptive clipping", "plain: depth 3"])
def test_variants_can_be_built(compose, prepare, variant):
    (job,) = (job for job in jobs() if (job.task, job.seed, job.variant) == ("sunspots", 2, variant))
    config = compose(*words(job), full=True)
    assert build(config).config["trainer"]["max_steps"] == 200
    clipped = config["trainer"]["clipping"] is not None
    assert clipped == (variant == "plain: adaptive clipping")
    assert (config["trainer"]["gradient_clip"] is None) == clipped


def test_full_and_plain_are_what_they_are_called(compose):
    job = {job.variant: job for job in jobs() if (job.task, job.seed) == ("sunspots", 1)}
    full, plain = (compose(*words(job[end]), full=True) for end in ("full", "plain"))
    assert full["trainer"]["clipping"]["_target_"].endswith("AdaptiveClipping")
    assert full["trainer"]["gradient_clip"] is None and full["schedule"]["_target_"].endswith("WarmRestarts")
    assert (plain["trainer"]["clipping"], plain["trainer"]["gradient_clip"]) == (None, 1.0)
    assert plain["model"] == full["model"] | {
        "bias_init": "torch",
        "weight_init": "torch",
        "skip_every": 0,
        "layer_norm": False,
        "dropout": 0,
    }
    assert plain["optimizer"]["weight_decay"] == 0 and full["optimizer"]["weight_decay"] == 0.01
    assert full["model"]["d_model"] == 64 and full["model"]["num_layers"] == 5


def finished(root, job, value):
    folder = job.folder(root)
    folder.mkdir(parents=True)
    task = TASKS[job.task]
    content = {"metrics": {task.metric: value}, "baselines": {task.baseline: {task.metric: 0.5}}}
    (folder / "summary.json").write_text(json.dumps(content), encoding="utf-8")


def test_the_table_pairs_runs_by_seed(tmp_path, capsys):
    values = {"full": 1.0, "plain": 3.0, "full: layer norm": 1.5, "plain: layer norm": 2.0}
    for job in jobs():
        if job.task == "sunspots" and job.variant in values:
            finished(tmp_path, job, values[job.variant] + job.seed)
    out = tmp_path / "new" / "table.md"
    assert main([str(tmp_path), "--table", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert "Full 3 ± 1 (3), plain 5 ± 1 (3); ridge 0.5." in text
    (line,) = [line for line in text.splitlines() if line.startswith("| layer norm")]
    assert line == "| layer norm | 3.5 ± 1 (3) | -0.5 (-0.5 to -0.5) | 4 ± 1 (3) | -1 (-1 to -1) |"
    assert "adding" not in text


def test_effects_have_students_interval():
    change = effect([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    assert change.mean == pytest.approx(7 / 3)
    half = 4.302653 * (7 / 3) ** 0.5 / 3**0.5  # t of 2 degrees, variance 7/3
    assert (change.low, change.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))


def test_finished_runs_are_not_run_again_and_half_runs_are(tmp_path, monkeypatch, capsys):
    done, half, *rest = jobs()
    assert len(SEEDS) == 3 and len(TECHNIQUES) == 11
    for job in (done, *rest):
        finished(tmp_path, job, 1.0)
    (half.folder(tmp_path) / "checkpoints").mkdir(parents=True)
    started = []

    def run_path(path, run_name):
        import sys

        started.append(sys.argv)
        assert not half.folder(tmp_path).exists()
        raise SystemExit(0)

    monkeypatch.setattr("forecasting.ablation.runpy.run_path", run_path)
    monkeypatch.setattr("sys.argv", ["x"])
    assert main([str(tmp_path)]) == 0
    (argv,) = started
    assert f"hydra.run.dir={half.folder(tmp_path)}" in argv and f"seed={half.seed}" in argv
    assert all(f"{key}={value}" in argv for key, value in half.overrides.items())
    capsys.readouterr()
