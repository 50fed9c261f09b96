"""The sweeps over architectures: what they run, and that each architecture is one of its own."""

import csv
from itertools import product
from typing import get_args, get_type_hints

import pytest
from hydra.core.hydra_config import HydraConfig

from seqlab.run.build import build
from tests.conftest import ROOT
from transduction.formal import Automaton
from transduction.grammatical import Grammatical

VARIANTS = sorted(path.stem for path in (ROOT / "conf" / "variant").glob("*.yaml"))
NUM_PROBLEMS = {"state_tracking": 3, "generalization": 12, "regular_tasks": 2}
TINY = ["data.max_length=4", "data.test_lengths=[6]", "data.num_val=2", "data.num_test=2", "data.batch_size=2"]


def model_of(config):
    """What defines the network."""
    return {key: value for key, value in config["model"].items() if key != "backend"}


@pytest.mark.parametrize("experiment", NUM_PROBLEMS)
def test_the_sweep_has_every_architecture_and_three_seeds(compose, experiment):
    compose(f"experiment={experiment}", full=True)
    swept = {key: str(value).replace(" ", "").split(",") for key, value in HydraConfig.get().sweeper.params.items()}
    assert len(set(swept["variant"])) == len(swept["variant"])
    assert (
        set(swept["variant"]) == set(VARIANTS)
        if experiment != "regular_tasks"
        else set(swept["variant"]) < set(VARIANTS)
    )
    assert swept["seed"] == ["1", "2", "3"]
    choices = {path.stem for path in (ROOT / "conf" / "data").glob("*.yaml")}
    assert set(swept["data"]) <= choices and len(set(swept["data"])) == len(swept["data"])
    assert len(swept["data"]) == NUM_PROBLEMS[experiment]


def values_of(compose, experiment):
    """The values of each key of a sweep."""
    compose(f"experiment={experiment}", full=True)
    return {
        key: next(csv.reader([str(value)], skipinitialspace=True))
        for key, value in HydraConfig.get().sweeper.params.items()
    }


def test_the_regular_languages_of_the_read_outs_are_those_that_are_named(compose):
    first, parity = (Automaton(regex=regex) for regex in values_of(compose, "read_outs_regular")["data.problem.regex"])
    for length in range(1, 9):
        for string in map("".join, product("ab", repeat=length)):
            even = string.count("a") % 2 == 0
            for problem, inside in ((first, even and string[0] == "b"), (parity, even)):
                inputs = problem.parse(string)
                assert problem.oracle(inputs)[0, -1] == inside


@pytest.mark.parametrize("experiment", ["read_outs", "read_outs_regular"])
def test_the_read_outs_are_all_that_a_language_has(compose, experiment):
    found = values_of(compose, experiment)
    problem = Automaton if experiment == "read_outs_regular" else Grammatical
    assert found["data.problem.readout"] == list(get_args(get_type_hints(problem.__init__)["readout"]))
    assert found["seed"] == ["1", "2", "3"] and len(found["variant"]) == 3 and set(found["variant"]) < set(VARIANTS)


def test_each_architecture_has_a_grid_of_learning_rates(compose):
    found = values_of(compose, "learning_rates")
    assert len(found["optimizer.lr"]) == 4 and {name.strip() for name in found["variant"]} == set(VARIANTS)


def test_architectures_differ(compose):
    models = [model_of(compose("experiment=state_tracking", f"variant={variant}", full=True)) for variant in VARIANTS]
    assert len(models) == len({str(model) for model in models})


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_architecture_is_named_and_is_small(compose, variant):
    config = compose("experiment=state_tracking", f"variant={variant}", *TINY, full=True)
    assert config["name"]["model"] == variant
    model = build(config).model
    assert 500 < sum(parameter.numel() for parameter in model.parameters()) < 80_000
