"""Every module imports, and what needs no framework imports none."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from seqlab import check

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "matplotlib"}


def module_names(folder: Path) -> list[str]:
    """Dotted names of all modules below a folder of the repository."""
    files = sorted(folder.rglob("*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


IMPORTLINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
PACKAGES = sorted(file.parent for file in ROOT.glob("*/__init__.py"))
MODULES = [name for package in PACKAGES for name in module_names(package)]
CONTRACT, LAYERS = (
    next(contract for contract in IMPORTLINTER["contracts"] if contract["id"] == id) for id in ("plain", "layers")
)


def is_plain(name: str) -> bool:
    """Whether the contract keeps frameworks from a module: it, or a package that it is in, is not named there."""
    parts = name.split(".")
    allowed = [expression.split(".") for expression in CONTRACT["allowed_importers"]]
    return not any(
        len(words) <= len(parts) and all(word in ("*", part) for word, part in zip(words, parts, strict=False))
        for words in allowed
    )


PLAIN = [name for name in MODULES if is_plain(name)]


def newly_imported(modules: list[str], *, before: str = "sys") -> set[str]:
    """Top-level packages that a fresh interpreter loads for some modules, beyond those that `before` needs."""
    code = (
        f"import importlib, json, sys, {before}\n"
        "known = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - known})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_packages_are_found():
    assert {"seqlab", "rule_extrapolation"} <= {package.name for package in PACKAGES}
    assert {"seqlab.models.transformer", "seqlab.nn.attention", "seqlab.nn", "lm.metrics"} <= set(PLAIN)
    assert not {"lm.task", "seqlab.lit.trainer", "seqlab.run.train"} & set(PLAIN)


def test_lists_of_packages_name_those_that_are_there():
    """Beside the layers these two are all that a new domain is added to."""
    names = {package.name for package in PACKAGES}
    assert set(check.PACKAGES) == set(IMPORTLINTER["root_packages"]) == names


def test_every_module_has_a_layer():
    """One without could import any other: the contract says nothing about it."""
    layers = {name.strip(" ()") for row in LAYERS["layers"] for name in row.split("|")}
    modules = {f"seqlab.{path.stem}" for path in (ROOT / "seqlab").iterdir() if path.name[0] not in "_."}
    assert modules - layers == set()
    assert layers - modules == {package.name for package in PACKAGES} - {"seqlab"}


def test_the_contract_names_the_same_modules_twice():
    """So that what is not named can reach no framework by way of one that is."""
    protected = set(CONTRACT["protected_modules"])
    assert protected - set(CONTRACT["allowed_importers"]) == FRAMEWORKS - {"pytorch_lightning"}
    assert set(CONTRACT["allowed_importers"]) <= protected


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name):
    importlib.import_module(name)


def test_the_package_loads_nothing_heavy():
    assert not newly_imported(["seqlab"]) & (FRAMEWORKS | {"torch", "numpy"})


def test_what_the_contract_does_not_name_loads_no_framework():
    """torchmetrics itself loads matplotlib where that is installed."""
    loaded = newly_imported(PLAIN, before="torchmetrics")
    assert {"seqlab", "rule_extrapolation"} <= loaded
    assert not loaded & FRAMEWORKS


CIRCLE = ("lm/ranking.py", "\nfrom lm import rankers\n"), ("lm/rankers.py", "\nfrom lm import ranking\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "contract", "imports"),
    [
        ([("rule_extrapolation/new.py", "import lightning\n")], "plain", "rule_extrapolation.new -> lightning"),
        ([("seqlab/nn/new.py", "import omegaconf\n")], "plain", "seqlab.nn.new -> omegaconf"),
        ([("lm/new.py", "def f():\n    from lm import task\n")], "plain", "lm.new -> lm.task"),
        ([("sequences/new.py", "import seqlab.run.build\n")], "plain", "sequences.new -> seqlab.run.build"),
        ([("lm/task.py", "\nimport pytorch_lightning\n")], "lightning", "lm.task -> pytorch_lightning"),
        ([("seqlab/nn/new.py", "import forecasting\n")], "layers", "seqlab.nn.new -> forecasting"),
        ([("sequences/task.py", "\nfrom lightning import Trainer\n")], "tasks", "sequences.task -> lightning"),
        (CIRCLE, "circles", "lm"),
    ],
)
def test_a_contract_sees_a_file_that_breaks_it(tmp_path, files, contract, imports):
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, text in files:
        with open(tmp_path / name, "a", encoding="utf-8") as file:
            file.write(text)
    words = ["--no-logo", "--no-cache", "--contract", contract]
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 1 and imports in done.stdout, done.stdout + done.stderr
