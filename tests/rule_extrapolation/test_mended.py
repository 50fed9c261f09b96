"""The experiment that mends the published protocol fault by fault: what its sweeps run, and what each variant mends."""

import pytest
from hydra.core.hydra_config import HydraConfig

from seqlab.run.build import build
from tests.rule_extrapolation.test_published_scoring import leaves

SWEEPS = {
    "L3": ("positions", "schedule", "pad", "splits", "finished", "maximum", "all"),
    "L5": ("positions", "schedule", "pad", "splits", "finished", "maximum", "sampler", "all_and_sampler"),
    "linear": ("mask", "schedule", "pad", "splits", "finished", "maximum", "mask_and_all"),
}


@pytest.fixture
def composed(compose):
    """(sweep, variant) -> its configuration, flat."""

    def of(sweep, variant="none", *words):
        config = compose(f"experiment=published_faults_{sweep}", f"mended={variant}", *words, full=True)
        assert config["name"]["model"] == variant
        return leaves(config | {"name": None})

    return of


@pytest.mark.parametrize("sweep", SWEEPS)
def test_each_variant_mends_one_fault_and_the_last_all(composed, sweep):
    broken = composed(sweep)
    params = HydraConfig.get().sweeper.params
    assert str(params.mended).replace(" ", "").split(",") == ["none", *SWEEPS[sweep]]
    assert str(params.seed) == "1,2,3"
    *single, everything = (composed(sweep, variant) for variant in SWEEPS[sweep])
    mended = [{key for key in broken if config.get(key) != broken[key]} for config in single]
    assert [len(keys) for keys in mended] == [1] * len(mended)
    assert {key for key in broken if everything.get(key) != broken[key]} == set.union(*mended)
    assert all(config.keys() == broken.keys() for config in (*single, everything))
    assert all(everything[key] == config[key] for config, (key,) in zip(single, mended, strict=True))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_all_mended_is_the_protocol_of_this_project(compose, composed, sweep):
    """But for the keys of the scores, which are all off and give them names of their own."""
    everything = composed(sweep, SWEEPS[sweep][-1])
    plain = leaves(compose(f"experiment=published_faults_{sweep}", "protocol=none", full=True) | {"name": None})
    beside = {key: value for key, value in everything.items() if not key.startswith(".task.scoring")}
    assert beside == plain | {".schedule.unit": "step"}  # published_transformer asks for epochs by itself


@pytest.mark.parametrize(("sweep", "variant"), [("L3", "none"), ("L5", "sampler"), ("linear", "mask_and_all")])
def test_variants_can_be_built_and_share_a_table(compose, sweep, variant):
    words = f"experiment=published_faults_{sweep}", "trainer.accelerator=cpu"
    tasks = [build(compose(*words, f"mended={choice}", full=True)).task for choice in ("none", variant)]
    assert tasks[0].title() == tasks[1].title() and "published protocol" in tasks[0].title()
    assert tasks[0].columns == tasks[1].columns


@pytest.mark.slow
def test_a_sweep_leaves_a_table_of_effects(root, command, tmp_path):
    sizes = ["trainer.max_steps=4", "trainer.val_every=2", "data.num_val=16", "data.num_test=16"]
    words = [root / "run.py", "-m", "experiment=published_faults_L5", "mended=none,positions,all_and_sampler", "seed=1"]
    assert command(*words, *sizes, "hydra.sweep.dir=runs", cwd=tmp_path).returncode == 0
    done = command("-m", "seqlab.report", "runs", "--effects", "none", cwd=tmp_path)
    assert "| positions - none |" in done.stdout and "| all_and_sampler - none |" in done.stdout
