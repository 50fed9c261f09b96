"""The wheel: what is in it, and the project's main job done with nothing else, from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.test_imports import PACKAGES

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
QUICK = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
SIZES = ["data.batch_size=8", "data.num_val=16", "data.num_test=16", "data.prompt_lengths=[4]", "data.max_length=16"]
LINEAR = ["model=linear", "model.d_model=16", *SIZES, *QUICK]
TEXT = ["model=lstm", "data=text", "model.d_model=16", "model.hidden_dim=16", "data.vocabulary_size=300", *QUICK]
COMMANDS = [  # words of `seqlab`, and what is there afterwards
    ([*LINEAR, "hydra.run.dir=runs/one"], "runs/one/summary.json"),
    (["predict", "runs/one", "( [ ]"], ""),
    (["train", "resume=runs/one", "trainer.max_steps=6"], "runs/one/summary.json"),
    (["train", "-m", *LINEAR, "seed=1,2", "hydra.sweep.dir=forked"], "forked/L5/linear/*/summary.json"),
    (["-m", *LINEAR, "seed=3,4", "hydra/launcher=joblib", "hydra.sweep.dir=new"], "new/L5/linear/*/summary.json"),
    (["report", "runs", "forked", "new", "--out", "page.html"], "page.html"),
    (["search", "lstm_lr", *QUICK, *SIZES, "search.num_trials=2", "search.dir=study"], "study/study.md"),
    (["export", "runs/one", "--format", "safetensors"], "runs/one/export/safetensors/model.safetensors"),
    (["memory", *LINEAR], ""),
    ([*TEXT, "data.context_length=16", "hydra.run.dir=runs/text"], "runs/text/summary.json"),
    (["generate", "runs/text", "--max-tokens", "5", "--prompt", "ROMEO:"], ""),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the files that it is made of."""
    copy, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("wheel")
    for folder in (*PACKAGES, ROOT / "conf"):
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of a fresh environment with the wheel; other packages are those of this environment."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    words = ["--python", str(place), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return place / "bin"


@pytest.fixture
def seqlab(installed, environment):
    """(words, folder) -> the completed `seqlab WORDS`."""

    def ran(words, cwd):
        own = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        words = [str(installed / "seqlab"), *words]
        return subprocess.run(words, cwd=cwd, env=own, capture_output=True, text=True, encoding="utf-8", timeout=300)

    return ran


def test_the_packages_are_the_folders():
    folders = {path.parent for package in PACKAGES for path in package.rglob("__init__.py")}
    names = [".".join(folder.relative_to(ROOT).parts) for folder in folders]
    assert sorted(SETUPTOOLS["packages"]) == sorted([*names, "seqlab.conf"])
    assert SETUPTOOLS["package-dir"] == {"seqlab.conf": "conf"}


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel):
    """Of the packages and of conf, and nothing else but its own description."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "conf", *(package.name for package in PACKAGES)],
        cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("no checkout of git")
    files = {f"seqlab/{name}" if name.startswith("conf/") else name for name in listed.stdout.split("\0")[:-1]}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found == files


@pytest.mark.slow
def test_the_main_job_without_a_checkout(seqlab, tmp_path):
    for words, left in COMMANDS:
        done = seqlab(words, tmp_path)
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        assert done.stdout.strip(), words
        assert not left or list(tmp_path.glob(left)), words
    summary = json.loads((tmp_path / "runs" / "one" / "summary.json").read_text(encoding="utf-8"))
    assert summary["steps"] == 6 and summary["missing"] == {}
    left = {"runs", "forked", "new", "page.html", "study", "outputs"}  # the last one holds the tokenizer of the text
    assert {path.name for path in tmp_path.iterdir()} == left
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "linear" in page
    assert os.fspath(ROOT) not in (tmp_path / "runs" / "one" / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
