"""Configurations as Hydra composes them, tiny ones; what is built from them; and one real run."""

import importlib
import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from seqlab import plugins
from seqlab.check import PACKAGES, check
from seqlab.errors import InputError
from seqlab.run.build import build, configuration, construct
from seqlab.run.config import RunConfig, composed
from tests.commands import run_command
from tests.overridden import with_value
from tests.packages import MODEL, leave_package

# What the tests look at does not depend on who looks at the tests: they and their commands have the same terminal.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)
os.environ["TERM"] = "xterm"
# Started in the background, a process and its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


def pytest_configure(config):
    """What our own code calls must not be deprecated."""
    for warning in ("DeprecationWarning", "FutureWarning"):
        config.addinivalue_line("filterwarnings", f"error::{warning}:({'|'.join(PACKAGES)})")


TINY_MODEL = {
    "num_layers": 1,
    "d_model": 16,
    "num_heads": 2,
    "ff_dim": 16,
    "hidden_dim": 16,
    "layer_dropout": 0.0,
    "slstm_at": [0],
    "hidden_dims": [8, 8, 16],
    "head_dims": [16, 8],
}
TINY_DATA = {
    "max_length": 16,
    "prompt_lengths": [4],
    "batch_size": 8,
    "num_val": 16,
    "num_test": 16,
    "context_length": 16,
    "vocabulary_size": 300,
    "window": 22,
    "horizon": 3,
    "length": 12,
    "test_lengths": [20, 24],
    "lengths_per_bin": 2,
    "path": ROOT / "tests" / "lm" / "coriolanus.txt",
}


def tiny_sizes(model, data="L5"):
    """Overrides that make a run quick: small sizes for the keys that the YAMLs of the model and of the data have."""
    dataset = OmegaConf.load(ROOT / "conf" / "data" / f"{data}.yaml")
    (task,) = (node["/task@_global_"] for node in dataset.defaults if "/task@_global_" in node)
    data_keys = OmegaConf.merge(OmegaConf.load(ROOT / "conf" / "task" / f"{task}.yaml").data, dataset)
    return tiny_model_sizes(model) + [f"data.{key}={size}" for key, size in TINY_DATA.items() if key in data_keys]


def tiny_model_sizes(model, place="model"):
    """The overrides of a model's own sizes, and of those of the model inside it."""
    keys = OmegaConf.load(ROOT / "conf" / "model" / f"{model}.yaml")
    sizes = [f"{place}.{key}={size}" for key, size in TINY_MODEL.items() if key in keys]
    for entry in keys.get("defaults", []):
        for group, inner in entry.items() if entry != "_self_" else ():
            sizes += tiny_model_sizes(inner, f"{place}.{group.partition('@')[2]}")
    return sizes


@pytest.fixture(scope="session")
def root():
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def tiny():
    """(model, data="L5") -> overrides that make a run of the two quick."""
    return tiny_sizes


@pytest.fixture(scope="session")
def compose():
    """Command-line overrides -> the resolved configuration, plain dicts; tiny sizes come before the overrides.

    `full=True` leaves the sizes as the YAMLs have them.
    """

    cache = {}

    def compose_once(overrides, full):
        model = next((word[6:] for word in overrides if word.startswith("model=")), "transformer")
        data = next((word[5:] for word in overrides if word.startswith("data=")), "L5")
        sizes = [] if full else [*tiny_sizes(model, data), "trainer.accelerator=cpu"]
        config = composed([*sizes, *overrides], ROOT / "conf")
        return RunConfig.of(config).plain, HydraConfig.instance().cfg

    def plain(*overrides, full=False):
        if (overrides, full) not in cache:
            cache[overrides, full] = compose_once(overrides, full)
        config, HydraConfig.instance().cfg = cache[overrides, full]
        return deepcopy(config)

    yield plain
    HydraConfig.instance().cfg = None


@pytest.fixture
def prepare(compose, tmp_path):
    """Overrides -> (run, trainer), built as a job builds them, writing to tmp_path/FOLDER; full=True as for compose."""

    def prepared(*overrides, folder="run", full=False):
        run = build(compose(*overrides, full=full))
        run_dir = tmp_path / folder
        loggers = [construct(node, save_dir=run_dir) for node in run.config["logger"].values()]
        return run, construct(run.config["trainer"], run_dir=run_dir, loggers=loggers)

    return prepared


@pytest.fixture(scope="session")
def environment():
    """The environment of a child process: this project on its path, one thread."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def python(environment, tmp_path_factory):
    """Run `python ARGUMENTS` to its end in an empty folder; returns the completed process, its output as text.

    `path` stands in for the project on the module path.
    """

    def ran(*arguments, cwd=None, path=None):
        cwd = cwd or tmp_path_factory.mktemp("cwd")
        command = [sys.executable, *map(str, arguments)]
        env = environment | ({"PYTHONPATH": str(path)} if path else {})
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, encoding="utf-8")

    return ran


@pytest.fixture(scope="session")
def command(environment, tmp_path_factory):
    """Run `python WORDS`, a command of the project, as `python` does, without the wait for imports."""

    def ran(*words, cwd=None):
        cwd = cwd or tmp_path_factory.mktemp("cwd")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return run_command([str(word) for word in words], cwd, tmp_path_factory.mktemp("output"))

    return ran


@pytest.fixture(scope="session")
def finished_run(python, tmp_path_factory):
    """The run directory that one real command left, started in an empty folder: (directory, that folder, process)."""
    cwd = tmp_path_factory.mktemp("finished")
    words = [
        "trainer=fast",
        "trainer.max_steps=40",
        "trainer.val_every=5",
        "trainer.accelerator=cpu",
        "optimizer.lr=0.01",
        "schedule.warmup=10",
    ]
    done = python(ROOT / "run.py", *tiny_sizes("transformer"), *words, "hydra.run.dir=runs/one", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "runs" / "one", cwd, done


@pytest.fixture(scope="session")
def text_runs(command, tmp_path_factory):
    """Run directories on text of one real command each, {model: directory}."""
    folder = tmp_path_factory.mktemp("text")
    quick = ["trainer.max_steps=6", "trainer.min_steps=0", "trainer.val_every=3", "trainer.log_every=2"]
    for model in ("lstm", "transformer"):
        words = [*tiny_sizes(model, "text"), *quick, "data=text", f"model={model}", "trainer.accelerator=cpu"]
        done = command(ROOT / "run.py", *words, f"hydra.run.dir={model}", cwd=folder)
        assert done.returncode == 0, done.stderr
    return {model: folder / model for model in ("lstm", "transformer")}


@pytest.fixture
def refused(compose):
    """(dotted key, value) -> the message with which it is refused."""

    def message(key, value, *overrides):
        config = compose(*overrides)
        with pytest.raises(InputError) as caught:
            check(with_value(config, key, value), configuration)
        return str(caught.value)

    return message


@pytest.fixture
def package(tmp_path, monkeypatch):
    """(name, text of model.py) -> a package of this name on the path that makes a model of its own."""
    made = []

    def make(name, text=MODEL):
        folder = leave_package(tmp_path / "packages" / name, text)
        made.append(name)
        importlib.invalidate_caches()
        return folder

    monkeypatch.syspath_prepend(tmp_path / "packages")
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.fixture
def plugin(package, monkeypatch):
    """(name, text of model.py) -> such a package, named in SEQLAB_PLUGINS."""

    def make(name, text=MODEL):
        folder = package(name, text)
        monkeypatch.setenv(plugins.VARIABLE, name)
        return folder

    return make
