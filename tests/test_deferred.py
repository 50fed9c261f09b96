"""What a job imports does not load what only the end of a run or a few metrics need; once used, it is there."""

import json
import re

import pytest

HEAVY = {"transformers", "scipy", "matplotlib", "sklearn", "statsmodels", "pandas", "automata"}
TASKS = ["rule_extrapolation", "sequences", "forecasting", "factorization", "lm", "transduction"]


@pytest.mark.parametrize(
    "package", [name if name == "rule_extrapolation" else pytest.param(name, marks=pytest.mark.slow) for name in TASKS]
)
def test_the_imports_of_a_job_load_nothing_heavy(package, python):
    code = (
        f"import json, sys, seqlab.run.train, {package}.task, {package}.datamodule, {package}.baselines\n"
        f"print(json.dumps([sorted({HEAVY!r} & set(sys.modules)), len(sys.modules), sorted(sys.modules)]))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    heavy, number, names = json.loads(done.stdout)
    assert heavy == []
    assert not {name for name in names if re.match(r"torchmetrics\.(functional|text|image|audio)", name)}
    assert number < 3000  # 3900 before, with torch 2.13: 2600 of torch, Lightning and ours


NOTE = """
import json, os, runpy, sys

class Note:
    def find_spec(self, name, path=None, target=None):
        if name == "matplotlib" and not os.path.exists("note.json"):
            os.link("run/summary.json", "note.json")

sys.meta_path.insert(0, Note())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_run_draws_after_its_test(python, root, tiny, tmp_path):
    """When matplotlib is first looked for, summary.json has the test metrics."""
    words = ["model=linear", "trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "hydra.run.dir=run"]
    done = python("-c", NOTE, root / "run.py", *tiny("linear"), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test/loss" in json.loads((tmp_path / "note.json").read_text(encoding="utf-8"))["metrics"]
    assert (tmp_path / "run" / "plots" / "results.png").is_file()


USES = {
    "a metric of the package": "import torchmetrics\nprint(torchmetrics.Accuracy(task='binary').name is not None)",
    "every name of the package": "from torchmetrics import *\nprint(BLEUScore.__name__ == 'BLEUScore')",
    "its version": "import torchmetrics\nprint(torchmetrics.__version__[0].isdigit())",
    "a module of it": "from torchmetrics.retrieval import RetrievalMRR\nprint(RetrievalMRR.__name__ == 'RetrievalMRR')",
    "a function": "from torchmetrics.functional import accuracy\nprint(callable(accuracy))",
    "a name that it has not": "import torchmetrics\nprint(not hasattr(torchmetrics, 'Nothing'))",
}


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
def test_torchmetrics_has_what_it_had(use, python):
    code = f"import seqlab\n{USES[use]}"
    assert python("-c", code).stdout == "True\n"


def test_a_plot_loads_matplotlib(python):
    code = (
        "import sys, seqlab\n"
        "from torchmetrics.classification import BinaryConfusionMatrix\n"
        "import torch\n"
        "metric = BinaryConfusionMatrix()\n"
        "metric.update(torch.tensor([1, 0]), torch.tensor([1, 1]))\n"
        "before = 'matplotlib' in sys.modules\n"
        "figure, axes = metric.plot()\n"
        "print(before, type(figure).__name__, 'matplotlib' in sys.modules)"
    )
    assert python("-c", code).stdout == "False Figure True\n"


def test_what_is_loaded_already_is_left_alone(python):
    """As where a notebook has imported torchmetrics first."""
    code = "import torchmetrics, sys\nbefore = list(sys.meta_path)\nimport seqlab\nprint(before == sys.meta_path)"
    assert python("-c", code).stdout == "True\n"
