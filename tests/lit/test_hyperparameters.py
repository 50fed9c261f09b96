"""TensorBoard's tab of hyperparameters, as its own plugin reads it: runs of two models and data beside each other."""

import math
import shutil

import hydra
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
from seqlab.lit.loggers import TensorBoard

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
        return [group.hparams["name/model"].string_value for group in found.session_groups]


@pytest.fixture(scope="module")
def tab(folder):
    return Tab(folder)


def test_every_run_writes_the_same_keys(tab):
    keys = {run: set(values) for run, values in tab.started.items()}
    assert len(keys) == len(RUNS)
    assert len({frozenset(names) for names in keys.values()}) == 1
    assert keys["0_linear/tensorboard"] >= {
        "model/num_layers", "model/ff_dim", "model/d_model", "data/length", "optimizer/lr", "task/prompts"
    }  # fmt: skip


def test_the_tab_has_a_column_for_each_key_of_every_model(tab):
    assert set(tab.types) == set(tab.started["1_transformer/tensorboard"])
    for name in ("model/num_layers", "model/ff_dim", "optimizer/lr"):
        assert tab.types[name] == api_pb2.DATA_TYPE_FLOAT64
    assert tab.types["model/norm"] == api_pb2.DATA_TYPE_STRING


def test_a_column_has_values_of_one_type(tab):
    kinds = {api_pb2.DATA_TYPE_FLOAT64: "number_value", api_pb2.DATA_TYPE_STRING: "string_value"}
    for values in tab.started.values():
        assert {name: value.WhichOneof("kind") for name, value in values.items()} == {
            name: kinds[type] for name, type in tab.types.items()
        }


def test_values_are_those_of_the_run(tab):
    linear, transformer = (tab.started[run] for run in sorted(tab.started))
    assert math.isnan(linear["model/num_layers"].number_value)
    assert linear["model/norm"].string_value == "-"
    assert (linear["model/d_model"].number_value, linear["model/mask"].string_value) == (16, "causal")
    assert (transformer["model/num_layers"].number_value, transformer["model/norm"].string_value) == (1, "pre")
    assert (transformer["data/length"].number_value, transformer["name/data"].string_value) == (12, "adding")
    assert linear["eval/max_length"].string_value == "null"


@pytest.mark.parametrize("order", [api_pb2.ORDER_ASC, api_pb2.ORDER_DESC])
def test_every_column_can_be_sorted(tab, order):
    for name in tab.types:
        assert len(tab.models(hparam=name, order=order)) == len(RUNS)
    assert tab.models(hparam="model/ff_dim", order=order)[0] == "transformer"  # those without one come last


def test_every_column_can_be_filtered(tab):
    everything = {
        api_pb2.DATA_TYPE_FLOAT64: {"filter_interval": api_pb2.Interval(min_value=-math.inf, max_value=math.inf)},
        api_pb2.DATA_TYPE_STRING: {"filter_regexp": ".*"},
    }
    for name, type in tab.types.items():
        assert len(tab.models(hparam=name, **everything[type])) == len(RUNS)
    above = {"filter_interval": api_pb2.Interval(min_value=1, max_value=9), "exclude_missing_values": True}
    assert tab.models(hparam="model/ff_dim", **above) == []
    assert tab.models(hparam="model/num_layers", **above) == ["transformer"]


@pytest.fixture
def job(root, tmp_path):
    """Stands in a job whose conf has a model of a plug-in, a file that is no YAML, and one that is a list."""
    conf = tmp_path / "conf"
    shutil.copytree(root / "conf", conf)
    (conf / "model" / "plug_in.yaml").write_text(
        "_target_: plug_in.Model\nwings: 2\nengine: {power: 1.5, kind: jet}\n", encoding="utf-8"
    )
    (conf / "model" / "broken.yaml").write_text("_target_: [\n", encoding="utf-8")
    (conf / "model" / "a_list.yaml").write_text("- 1\n", encoding="utf-8")
    before = HydraConfig.instance().cfg
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        HydraConfig.instance().set_config(hydra.compose("config", return_hydra_config=True))
        yield
    HydraConfig.instance().cfg = before


def test_a_plug_in_has_its_keys_and_a_damaged_file_does_no_harm(job):
    found = hyperparameters({"model": {"d_model": 8, "added": True}, "seed": 1})
    assert (found["model/d_model"], found["model/added"], found["seed"]) == (8.0, 1.0, 1.0)
    assert math.isnan(found["model/wings"])
    assert math.isnan(found["model/engine/power"])
    assert found["model/engine/kind"] == "-"


def test_outside_of_a_job_the_keys_are_those_of_the_run(tmp_path):
    logger = TensorBoard(save_dir=tmp_path)
    logger.conclude({"model": {"d_model": 8, "path": None}}, {"test/loss": 1.0}, {}, step=1)
    logger.finalize("success")
    (values,) = Tab(tmp_path).started.values()
    assert {name: value.WhichOneof("kind") for name, value in values.items()} == {
        "model/d_model": "number_value", "model/path": "string_value"
    }  # fmt: skip
