"""The ablation of the deep LSTM: which variants its sweeps run, and in what each differs from its end."""

import shutil

import pytest
from hydra.core.hydra_config import HydraConfig

from seqlab.run.build import build

DEEP = {"without_skips", "without_layer_norm", "with_skips", "with_layer_norm", "with_depth_1", "with_depth_3"}
NUM_VARIANTS = {"sunspots": 24, "adding_1": 16, "adding_5": 24}


@pytest.fixture
def composed(compose):
    """(sweep, variant) -> its configuration, without what it is called."""

    def of(sweep, variant="full", *words):
        choices = [f"experiment=deep_lstm_ablation_{sweep}", f"ablation={variant}"]
        config = compose(*choices, *words, full=True)
        assert config.pop("name")["model"] == variant
        return config

    return of


@pytest.fixture
def swept(composed):
    """Sweep -> the values that it runs by itself, {key: list}."""

    def of(sweep):
        composed(sweep)
        return {
            key: str(values).replace(" ", "").split(",") for key, values in HydraConfig.get().sweeper.params.items()
        }

    return of


def leaves(config, path=""):
    if not isinstance(config, dict):
        return {path: config}
    return {key: value for name, below in config.items() for key, value in leaves(below, f"{path}.{name}").items()}


@pytest.mark.parametrize("sweep", NUM_VARIANTS)
def test_every_variant_differs_from_its_end_in_one_technique(composed, swept, sweep):
    values = swept(sweep)
    assert values["seed"] == ["1", "2", "3"]
    assert len(set(values["ablation"])) == NUM_VARIANTS[sweep]
    for variant in values["ablation"]:
        end, _, technique = variant.partition("_")
        configs = [leaves(composed(sweep, name)) for name in (end, variant)]
        changed = {key for key in {*configs[0], *configs[1]} if configs[0].get(key) != configs[1].get(key)}
        # one key, but for a choice that has keys of its own
        pieces = {
            ".trainer" if "clip" in key else ".schedule" if key.startswith(".schedule") else key for key in changed
        }
        assert len(pieces) == bool(technique), variant


def test_one_layer_has_no_techniques_that_need_several(swept):
    deep = {variant.partition("_")[2] for variant in swept("sunspots")["ablation"]}
    flat = {variant.partition("_")[2] for variant in swept("adding_1")["ablation"]}
    assert deep - flat == DEEP
    assert set(swept("adding_5")["ablation"]) == set(swept("sunspots")["ablation"])


def test_what_the_sweeps_train_on(composed):
    configs = [composed(sweep) for sweep in NUM_VARIANTS]
    assert [config["data"].get("length") for config in configs] == [None, 100, 50]
    assert [config["model"]["num_layers"] for config in configs] == [5, 1, 5]
    assert [config["trainer"]["max_steps"] for config in configs] == [200, 1200, 400]
    assert configs[0]["data"]["name"] == "sunspots"


@pytest.mark.parametrize(
    "variant", ["full_without_adaptive_clipping", "plain_with_adaptive_clipping", "plain_with_depth_3"]
)
def test_variants_can_be_built(composed, variant):
    config = composed("sunspots", variant, "seed=2")
    assert build(config | {"name": {"model": variant, "data": "sunspots"}}).config["trainer"]["max_steps"] == 200
    clipped = config["trainer"]["clipping"] is not None
    assert clipped == (variant == "plain_with_adaptive_clipping")
    assert (config["trainer"]["gradient_clip"] is None) == clipped


def test_full_and_plain_are_what_they_are_called(composed):
    full, plain = (composed("sunspots", end) for end in ("full", "plain"))
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


@pytest.mark.slow
def test_a_sweep_that_is_begun_again_runs_what_is_missing(root, command, tmp_path):
    sizes = ["trainer.max_steps=4", "trainer.val_every=2", "data.num_val=16", "data.num_test=16", "data.length=12"]
    words = [root / "run.py", "-m", "experiment=deep_lstm_ablation_adding_1", "ablation=full,plain", "seed=1", *sizes]
    assert command(*words, "hydra.sweep.dir=runs", cwd=tmp_path).returncode == 0
    missing, kept = sorted((tmp_path / "runs").rglob("summary.json"))
    shutil.rmtree(missing.parent)
    before = kept.stat().st_mtime_ns
    assert command(*words, "hydra.sweep.dir=runs", cwd=tmp_path).returncode == 0
    assert missing.exists() and kept.stat().st_mtime_ns == before
    done = command("-m", "seqlab.report", "runs", "--effects", "full", cwd=tmp_path)
    assert "| adding, 1 layer | plain - full |" in done.stdout
