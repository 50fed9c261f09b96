"""Packages from outside that bring models and more: installed, or named in SEQLAB_PLUGINS; and what stays refused."""

import re
import shutil
import sys

import hydra
import pytest
import torch

import seqlab
from seqlab import plugins
from seqlab.check import check
from seqlab.errors import InputError
from seqlab.export.folder import load_export, save_export
from seqlab.run.build import configuration, construct
from seqlab.run.help import help_text
from seqlab.run.overrides import Groups
from seqlab.training import whitelist
from tests.packages import MODEL


@pytest.fixture
def with_model(compose):
    """The configuration of a tiny run with another class as its model."""

    def config(target):
        plain = compose("model=linear")
        plain["model"]["_target_"] = target
        return plain

    return config


def test_a_plugin_is_a_place_to_construct_from(plugin, with_model):
    config = with_model("plug_a.model.Mine")
    with pytest.raises(InputError, match=r"^model._target_=plug_a.model.Mine is not allowed \(allowed: a Module of "):
        check(config, configuration)
    plugin("plug_a")
    check(config, configuration)
    model = construct(config["model"], spec=construct(config["data"]).spec)
    assert type(model).__module__ == "plug_a.model"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("plug_b.model.NoModel", "is not allowed (allowed: a Module of seqlab, "),
        ("plug_b.model.Linear", "is not allowed"),  # defined elsewhere
        ("plug_b.model.made", "is not allowed"),  # says that it returns a Linear, not a Module
        ("plug_b.model.Gone", "cannot be loaded: module 'plug_b.model' has no attribute 'Gone'"),
        ("plug_b.gone.Mine", "cannot be loaded: No module named 'plug_b.gone'"),
        ("plug_bc.model.Mine", "is not allowed"),
        ("plug_b", "is not allowed"),
    ],
)
def test_the_rule_holds_for_plugins_too(plugin, with_model, target, reason):
    plugin("plug_b")
    with pytest.raises(InputError, match=re.escape(f"model._target_={target} {reason}")) as caught:
        check(with_model(target), configuration)
    assert "trust" not in str(caught.value) or target.startswith("plug_bc")


def test_a_module_that_takes_no_spec_is_told_what_a_model_is(plugin, with_model):
    plugin("plug_s")
    config = with_model("plug_s.model.Plain")
    config["model"] = {"_target_": "plug_s.model.Plain", "width": 3}
    check(config, configuration)
    message = (
        "plug_s.model.Plain does not fit here: it takes no spec; a model is a class of seqlab.model.SequenceModel, "
        "or of Rereading if it has forward alone, whose __init__ takes spec (docs/extending.md)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        construct(config["model"], spec=construct(config["data"]).spec)


@pytest.mark.parametrize("text", ["raise ImportError('no parts')", "def broken(:", "import a_missing_package"])
def test_a_broken_plugin_is_one_line_that_names_it(plugin, with_model, text):
    plugin("plug_c", text)
    with pytest.raises(InputError, match=r"model._target_=plug_c.model.Mine cannot be loaded: ") as caught:
        check(with_model("plug_c.model.Mine"), configuration)
    assert "\n" not in str(caught.value)


def test_what_is_no_plugin_is_not_imported(package, with_model):
    folder = package("plug_d", "raise ImportError('this ran')")
    (folder / "__init__.py").write_text("raise ImportError('this ran')", encoding="utf-8")
    with pytest.raises(InputError, match="is not allowed") as caught:
        check(with_model("plug_d.model.Mine"), configuration)
    assert "plug_d" not in sys.modules
    assert 'if you trust plug_d: SEQLAB_PLUGINS=plug_d, or in Python seqlab.load_run(path, trust=["plug_d"])' in str(
        caught.value
    )


@pytest.mark.parametrize("target", ["os.system", "eval", "subprocess.Popen", "../evil.Model", "seqlab.models.Gone", 3])
def test_nobody_is_asked_to_trust_what_can_be_no_plugin(with_model, target):
    with pytest.raises(InputError) as caught:
        check(with_model(target), configuration)
    assert "trust" not in str(caught.value)


@pytest.fixture
def foreign_run(finished_run, tmp_path):
    """(class) -> a copy of a finished run whose checkpoint asks for this class as its model."""

    def make(target):
        folder = shutil.copytree(finished_run[0], tmp_path / "foreign")
        file = folder / "checkpoints" / "best.ckpt"
        content = torch.load(file, weights_only=True)
        content["config"]["model"]["_target_"] = target
        torch.save(content, file)
        return folder

    return make


SUBCLASS = "from seqlab.models.transformer import Transformer\n\n\nclass Mine(Transformer):\n    pass\n"


def test_a_checkpoint_cannot_ask_for_a_plugin_and_a_caller_can(package, foreign_run):
    package("plug_e", SUBCLASS)
    run_dir = foreign_run("plug_e.model.Mine")
    with pytest.raises(InputError, match=re.escape('seqlab.load_run(path, trust=["plug_e"])')):
        seqlab.load_run(run_dir)
    assert "plug_e" not in sys.modules
    run = seqlab.load_run(run_dir, trust=["plug_e"])
    assert type(run.model).__module__ == "plug_e.model"
    with pytest.raises(InputError, match="is not allowed"):  # trust ends with the call
        seqlab.load_run(run_dir)
    with pytest.raises(InputError, match=re.escape("trust='plug_e': a list of packages is needed: trust=['plug_e']")):
        seqlab.load_run(run_dir, trust="plug_e")


def test_an_export_asks_for_trust_as_a_run_does(package, foreign_run, tmp_path):
    package("plug_f", SUBCLASS)
    run = seqlab.load_run(foreign_run("plug_f.model.Mine"), trust=["plug_f"])
    save_export(run, tmp_path / "export", "safetensors")
    with pytest.raises(InputError, match="is not allowed"):
        load_export(tmp_path / "export")
    assert type(load_export(tmp_path / "export", trust=["plug_f"]).model).__module__ == "plug_f.model"


def test_configurations_of_a_plugin_are_found_behind_our_own(plugin, root):
    folder = plugin("plug_f") / "conf"
    (folder / "model" / "linear.yaml").write_text("_target_: plug_f.model.Mine\n", encoding="utf-8")
    assert plugins.folders() == [folder]
    text = help_text([root / "conf", *plugins.folders()])
    assert "linear, lstm, mamba, mamba2, plug_f_model, sine_net" in text
    assert Groups.of(root / "conf", []).choices("model").count("plug_f_model") == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package", "plug-in no_such_package: no such package, though SEQLAB_PLUGINS names it; install it"),
        ("seqlab.no_such.part", "plug-in seqlab.no_such.part cannot be loaded: ModuleNotFoundError"),
        ("../evil", "SEQLAB_PLUGINS=../evil: '../evil' is no name of a package; allowed: names, commas between"),
        ("json, a b", "'a b' is no name of a package"),
    ],
)
def test_what_cannot_be_a_plugin_is_one_line(monkeypatch, value, reason):
    monkeypatch.setenv(plugins.VARIABLE, value)
    with pytest.raises(InputError, match=re.escape(reason)):
        plugins.folders()


def test_a_single_file_can_be_a_plugin(tmp_path, monkeypatch, with_model):
    (tmp_path / "plug_g.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, " plug_g ,, ")
    assert plugins.folders() == [] and plugins.names()[-1] == "plug_g"
    check(with_model("plug_g.Mine"), configuration)


def test_versions_are_of_the_plugins_in_use(plugin):
    (plugin("plug_h") / "__init__.py").write_text("__version__ = '7.1'\n", encoding="utf-8")
    __import__("plug_h")
    assert plugins.versions(["plug_h.model.Mine", "seqlab.lit.trainer.build_trainer"]) == {"plug_h": "7.1"}
    assert plugins.versions(["seqlab.models.linear.Linear", "plug_hi.model.Mine"]) == {}


def test_hydra_is_told_what_it_may_construct_where_it_asks(monkeypatch):
    """From 1.4 on its main takes a list of names. Before, it takes none."""
    monkeypatch.setenv(plugins.VARIABLE, "plug_i")
    monkeypatch.setattr(hydra, "main", lambda config_name: None)
    assert whitelist() == {}
    monkeypatch.setattr(hydra, "main", lambda config_name, execution_whitelist=None: None)
    assert {"seqlab.*", "plug_i.*"} <= set(whitelist()["execution_whitelist"])


CALLBACK = """
from lightning import Callback

SEEN = []


class Count(Callback):
    def __init__(self, every: int):
        self.every = every

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step % self.every == 0:
            SEEN.append(trainer.global_step)
"""
COUNT = "+trainer.callbacks=[{{_target_: {}, every: {}}}]"


def test_callbacks_of_a_plugin_are_called(plugin, prepare):
    plugin("plug_j", CALLBACK)
    words = (
        "model=linear",
        "logger=csv",
        "trainer.max_steps=4",
        "trainer.val_every=4",
        COUNT.format("plug_j.model.Count", 2),
    )
    run, trainer = prepare(*words)
    trainer.fit(run.module, datamodule=run.datamodule)
    assert sys.modules["plug_j.model"].SEEN == [2, 4]


@pytest.mark.parametrize(
    ("target", "every", "reason"),
    [
        (
            "plug_k.model.Count",
            2,
            "trainer.callbacks[0]._target_=plug_k.model.Count is not allowed (allowed: a Callback of",
        ),
        ("lightning.pytorch.callbacks.ModelCheckpoint", 2, "is not allowed (allowed: a Callback of"),
        ("plug_l.model.Count", "x", "trainer.callbacks[0].every=x"),
        ("plug_l.model.Mine", 2, "is not allowed (allowed: a Callback of"),
    ],
)
def test_other_callbacks_are_refused(package, plugin, compose, target, every, reason):
    package("plug_k", "raise ImportError('this ran')")
    plugin("plug_l", CALLBACK + MODEL)
    with pytest.raises(InputError, match=re.escape(reason)):
        check(compose("model=linear", COUNT.format(target, every)), configuration)


def test_callbacks_of_the_trainer_itself_are_not_the_user_s(compose, prepare):
    words = "+trainer.callbacks=[{_target_: seqlab.lit.progress.ProgressLines, monitor: x}]"
    with pytest.raises(InputError, match="ProgressLines is the trainer's own"):
        prepare("model=linear", words)
