"""TensorBoard's tab of hyperparameters, as its own plugin reads it: runs of two models and data beside each other."""

import math

import pytest
from hydra.core.hydra_config import HydraConfig
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from seqlab.lit.hyperparameters import hyperparameters

QUICK = ["trainer.max_steps=2", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu"]
RUNS = [("linear", "L5"), ("transformer", "adding")]  # the first one's columns are those of the tab
EVERY_STATUS = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]


@pytest.fixture(scope="module")
def folder(command, root, tiny, tmp_path_factory):
    """A folder of one run of each of RUNS."""
    cwd = tmp_path_factory.mktemp("hyperparameters")
    for place, (model, data) in enumerate(RUNS):
        words = [f"model={model}", f"data={data}", *tiny(model, data), *QUICK, f"hydra.run.dir=runs/{place}_{model}"]
        done = command(root / "run.py", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
    return cwd / "runs"


class Tab:
    """What the plugin knows of a folder of runs."""

    def __init__(self, folder):
        events = EventMultiplexer().AddRunsFromDirectory(str(folder))
        events.Reload()
        self.context = Context(TBContext(data_provider=MultiplexerDataProvider(events, str(folder))))
        asked = self.context.hparams_metadata(RequestContext(), "")
        self.started = {
            run: parse_session_start_info_plugin_data(tags["_hparams_/session_start_info"]).hparams
            for run, tags in asked.items()
        }
        nothing = self.context.hparams_from_data_provider(RequestContext(), "", 0)
        experiment = self.context.experiment_from_metadata(RequestContext(), "", True, asked, nothing)
        self.types = {info.name: info.type for info in experiment.hparam_infos}

    def models(self, **column):
        """The models in the rows of the tab, which is sorted or filtered by a column."""
        request = api_pb2.ListSessionGroupsRequest(
            allowed_statuses=EVERY_STATUS, col_params=[api_pb2.ColParams(**column)], start_index=0, slice_size=9
        )
        found = list_session_groups.Handler(RequestContext(), self.context, "", request).run()
        return [group.hparams["model"].string_value for group in found.session_groups]


@pytest.fixture(scope="module")
def tab(folder):
    return Tab(folder)


def test_every_run_writes_the_same_few_keys(tab):
    keys = {run: set(values) for run, values in tab.started.items()}
    assert len(keys) == len(RUNS)
    (names,) = {frozenset(names) for names in keys.values()}
    assert names == set(tab.types) and 8 <= len(names) <= 10


def test_a_column_has_values_of_one_type(tab):
    kinds = {api_pb2.DATA_TYPE_FLOAT64: "number_value", api_pb2.DATA_TYPE_STRING: "string_value"}
    for values in tab.started.values():
        assert {name: value.WhichOneof("kind") for name, value in values.items()} == {
            name: kinds[type] for name, type in tab.types.items()
        }


def test_values_are_those_of_the_run(tab):
    linear, transformer = (tab.started[run] for run in sorted(tab.started))
    assert math.isnan(linear["num_layers"].number_value)
    assert (linear["d_model"].number_value, linear["batch_size"].number_value) == (16, 8)
    assert (transformer["num_layers"].number_value, transformer["data"].string_value) == (1, "adding")
    assert transformer["learning_rate"].number_value > 0 and transformer["seed"].number_value == 1
    also = transformer["also_set"].string_value.split()
    assert "data.length=12" in also and "model.ff_dim=16" in also
    assert not any(
        word.startswith(("model=", "data=", "model.d_model", "hydra.", "trainer.max_steps")) for word in also
    )


def test_the_runs_are_named_by_model_data_and_seed(tab):
    assert set(tab.started) == {
        "0_linear/tensorboard/linear_L5_seed1", "1_transformer/tensorboard/transformer_adding_seed1"
    }  # fmt: skip


@pytest.mark.parametrize("order", [api_pb2.ORDER_ASC, api_pb2.ORDER_DESC])
def test_every_column_can_be_sorted(tab, order):
    for name in tab.types:
        assert len(tab.models(hparam=name, order=order)) == len(RUNS)
    assert tab.models(hparam="num_layers", order=order)[0] == "transformer"  # those without one come last


def test_every_column_can_be_filtered(tab):
    everything = {
        api_pb2.DATA_TYPE_FLOAT64: {"filter_interval": api_pb2.Interval(min_value=-math.inf, max_value=math.inf)},
        api_pb2.DATA_TYPE_STRING: {"filter_regexp": ".*"},
    }
    for name, type in tab.types.items():
        assert len(tab.models(hparam=name, **everything[type])) == len(RUNS)
    above = {"filter_interval": api_pb2.Interval(min_value=1, max_value=9), "exclude_missing_values": True}
    assert tab.models(hparam="d_model", **above) == []
    assert tab.models(hparam="num_layers", **above) == ["transformer"]


def test_outside_of_a_job_nothing_else_was_set(monkeypatch):
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # of a test before
    found = hyperparameters({"model": {"d_model": 8}, "seed": 1, "name": {"model": "mine", "data": "L5"}})
    assert (found["d_model"], found["seed"], found["model"], found["also_set"]) == (8.0, 1.0, "mine", "-")
    assert math.isnan(found["learning_rate"])
