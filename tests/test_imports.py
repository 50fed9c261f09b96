"""Every module imports, and what needs no framework imports none."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "matplotlib"}


def module_names(folder: Path) -> list[str]:
    """Dotted names of all modules below a folder of the repository."""
    files = sorted(folder.rglob("*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


PACKAGES = sorted(file.parent for file in ROOT.glob("*/__init__.py"))
PLAIN = [
    *module_names(ROOT / "seqlab" / "models"),
    *module_names(ROOT / "seqlab" / "nn"),
    "seqlab.decode",
    "rule_extrapolation.rules",
    "rule_extrapolation.grammars",
    "rule_extrapolation.letters",
    "rule_extrapolation.dyck",
    "rule_extrapolation.prompts",
    "rule_extrapolation.baselines",
    "sequences.solvers",
    "sequences.named",
    "sequences.curriculum",
    "sequences.loss",
    "sequences.bayes",
    "sequences.series",
    "sequences.windows",
    "sequences.long_memory",
    "sequences.forecast_baselines",
]


def newly_imported(modules: list[str], *, before: str = "sys") -> set[str]:
    """Top-level packages that a fresh interpreter loads for some modules, beyond those that `before` needs."""
    code = (
        f"import importlib, json, sys, {before}\n"
        "known = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - known})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_packages_are_found():
    assert {"seqlab", "rule_extrapolation"} <= {package.name for package in PACKAGES}
    assert {"seqlab.models.transformer", "seqlab.nn.attention", "seqlab.nn"} <= set(PLAIN)


@pytest.mark.parametrize("name", [name for package in PACKAGES for name in module_names(package)])
def test_module_imports(name):
    importlib.import_module(name)


def test_the_package_loads_nothing_heavy():
    assert not newly_imported(["seqlab"]) & (FRAMEWORKS | {"torch", "numpy"})


def test_models_decoding_rules_and_baselines_load_no_framework():
    loaded = newly_imported(PLAIN)
    assert {"torch", "seqlab", "rule_extrapolation"} <= loaded
    assert not loaded & FRAMEWORKS


def test_metrics_load_no_framework_beyond_torchmetrics():
    """torchmetrics itself loads matplotlib where that is installed."""
    loaded = newly_imported(["rule_extrapolation.metrics"], before="torchmetrics")
    assert "rule_extrapolation" in loaded
    assert not loaded & FRAMEWORKS
