"""docs/extending.md, followed to the letter in a copy of the project: a model, a language, a data set."""

import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from seqlab.check import PACKAGES
from seqlab.models.linear import Linear

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## A (model|language|data set)$(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
STEP = re.compile(
    r"^(?:New file `(?P<new>[^`]+)`|At the end of `(?P<end>[^`]+)`|"
    r"In `(?P<within>[^`]+)`, below `(?P<line>[^`]+)`):\n\n"
    r"```\w+\n(?P<code>.*?)^```|^```bash\n(?P<commands>.*?)^```",
    flags=re.MULTILINE | re.DOTALL,
)
QUICK = ["trainer.max_steps=4", "trainer.min_steps=0", "trainer.val_every=2", "trainer.accelerator=cpu"]
OF_THE_PROJECT = (*PACKAGES, "conf", "tests", "docs")


@pytest.fixture
def project(tmp_path):
    """A copy of the project."""
    copy = tmp_path / "project"
    for name in OF_THE_PROJECT:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("run.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def write(step, project):
    """What a step of the page says about a file."""
    path = project / (step["new"] or step["end"] or step["within"])
    if step["new"]:
        assert not path.exists(), f"{path} is there already"
        path.write_text(step["code"], encoding="utf-8")
    elif step["end"]:
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{step['code']}", encoding="utf-8")
    else:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        places = [index for index, line in enumerate(lines) if line.startswith(step["line"])]
        assert len(places) == 1, f"{path}: {step['line']}"
        path.write_text("".join([*lines[: places[0] + 1], step["code"], *lines[places[0] + 1 :]]), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("section", ["model", "language", "data set"])
def test_following_the_page(section, project, python, tiny):
    steps = list(STEP.finditer(SECTIONS[section]))
    assert any(step["commands"] for step in steps) and any(step["new"] for step in steps)
    run = project / "outputs" / "run"
    for step in steps:
        if step["commands"] is None:
            write(step, project)
            continue
        for line in step["commands"].splitlines():
            program, *words = (word.replace("RUN", str(run)) for word in shlex.split(line, comments=True))
            words = ["-m", program, *words] if program == "seqlab" else words
            if words[0] == "run.py":
                shutil.rmtree(run, ignore_errors=True)
                model = re.search(r"model=(\S+)", line)[1]
                keys = OmegaConf.load(project / "conf" / "model" / f"{model}.yaml")
                sizes = [size for size in tiny("lstm") if size.partition("=")[0].removeprefix("model.") in keys]
                words += [*sizes, *QUICK, f"hydra.run.dir={run}"]
            elif words[:2] == ["-m", "pytest"]:
                words += ["-n", "0", "-q", "-p", "no:cacheprovider"]
            done = python(*words, cwd=project, path=project)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (run / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "asked"),
    [
        (
            "model",
            ["average.yaml has no golden number of parameters", "average.yaml has no golden losses: run `python"],
        ),
        (
            "language",
            ['letters.AEvenB has no row in LANGUAGES of tests/rule_extrapolation/test_grammars.py: add "aEvenB"'],
        ),
        ("data set", ['sequences.remainder has no row in PROMPTS of tests/test_pairs.py: add "sequences.remainder"']),
    ],
)
def test_what_the_tests_lack_they_ask_for(section, asked, project, python):
    """The page is followed, but for what it adds to the tests."""
    steps = list(STEP.finditer(SECTIONS[section]))
    for step in steps:
        if step["commands"] is None and not (step["within"] or "").startswith("tests/"):
            write(step, project)
    lines = [line for step in steps for line in (step["commands"] or "").splitlines()]
    (words,) = (shlex.split(line)[1:] for line in lines if "-m pytest" in line)
    done = python(*words, "-n", "0", "-q", "-p", "no:cacheprovider", cwd=project, path=project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert all(text in done.stdout for text in asked) and "KeyError" not in done.stdout, done.stdout


@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_page_adds_is_not_in_the_project(section):
    """Else whoever follows it writes over a file, or adds what is there."""
    for step in STEP.finditer(SECTIONS[section]):
        if step["new"]:
            assert not (ROOT / step["new"]).exists(), f"{step['new']} is there already"
        elif not step["commands"]:
            first, text = step["code"].splitlines()[0], (ROOT / (step["end"] or step["within"])).read_text("utf-8")
            assert first.partition(":")[0] + ":" not in text, f"{first} is there already"


@pytest.fixture
def of_the_page(tmp_path, monkeypatch):
    """The module that the page has the reader write for a data set."""
    (code,) = (step["code"] for step in STEP.finditer(SECTIONS["data set"]) if (step["new"] or "").endswith(".py"))
    (tmp_path / "of_the_page.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("of_the_page")
    del sys.modules["of_the_page"]


def test_the_data_set_is_what_it_says(of_the_page):
    bits = of_the_page.RemainderDataModule(seed=1, length=12).evaluation_set("test")
    numbers = [[int("".join(map(str, row[step::-1])), 2) for step in range(12)] for row in bits.tolist()]
    assert of_the_page.remainder(bits).tolist() == [[number % 3 for number in row] for row in numbers]


def test_its_task_counts_every_target_and_strings_as_trials(of_the_page):
    data = of_the_page.RemainderDataModule(seed=1, length=12, batch_size=8)
    task = of_the_page.Remainder(data)
    assert task.num_targets(data.train_batch(0)) == 8 * 12
    found = task.baselines()["the bit"]["test/accuracy"]
    assert found.trials == 1024 * 12 and found.effective < 1024 * 12
    rows = torch.arange(20)[:, None] < 10  # half of the strings, each right or wrong throughout
    assert of_the_page.accuracy(rows.expand(20, 12)).effective < 20
    assert task.describe(linear(data.spec), task.parse_prompt(task.sample_prompt()))


def linear(spec):
    return Linear(spec, d_model=4)


def test_a_data_set_is_short():
    steps = STEP.finditer(SECTIONS["data set"])
    assert sum(step["code"].count("\n") for step in steps if step["new"]) <= 90


def test_each_section_says_what_to_write_and_what_to_run():
    assert set(SECTIONS) == {"model", "language", "data set"}
    for text in SECTIONS.values():
        blocks = len(re.findall(r"^```(?!console)\w", text, flags=re.MULTILINE))
        assert len(list(STEP.finditer(text))) == blocks  # none that a test would pass over
