"""docs/example_package, as docs/extending.md says it: installed, and only named in SEQLAB_PLUGINS."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import words_of

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "example_package"
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Your model in your own repository")[2]
LINES = re.findall(r"^(?:seqlab|SEQLAB_PLUGINS=\S+ seqlab) .*", SECTION, flags=re.MULTILINE)
QUICK = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
SIZES = {
    "even_b": ["data.max_length=16", "data.prompt_lengths=[4]", "data.num_val=16", "data.num_test=16"],
    "votes": ["data.length=8"],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which the package is installed, as pip installs it."""
    copy, site = tmp_path_factory.mktemp("example") / "package", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def run(environment, tmp_path):
    """(words after `python`, folders on the module path, SEQLAB_PLUGINS) -> the completed process in tmp_path."""

    def ran(words, *path, named=""):
        own = environment | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), "SEQLAB_PLUGINS": named}
        words = [sys.executable, *(str(ROOT / word) if word == "run.py" else str(word) for word in words)]
        done = subprocess.run(
            words, cwd=tmp_path, env=own, capture_output=True, text=True, encoding="utf-8", timeout=300
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return ran


def summaries(folder):
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("summary.json"))]


def tiny(line):
    """Further words that make a run of a line quick."""
    data = re.search(r"data=(\w+)", line)
    model = [] if "model=lstm" in line or "decay,lstm" in line else ["model.d_model=8"]
    return [*model, *SIZES.get(data[1] if data else "", []), "data.batch_size=8", *QUICK]


def test_installed_it_trains_and_is_in_the_help(site, run, tmp_path):
    overrides = ["model=decay", "data=votes", "schedule=staircase", "model.d_model=8", "data.length=8", *QUICK]
    done = run(["run.py", *overrides, "hydra.run.dir=run"], site)
    assert done.returncode == 0, done.stderr
    (summary,) = summaries(tmp_path / "run")
    assert (summary["model"], summary["data"], summary["missing"]) == ("decay", "votes", {})
    assert summary["versions"]["seqlab_example"] == "0.1.0"
    assert "deep_lstm" in (text := run(["run.py", "--help"], site).stdout) and "decay" in text and "staircase" in text
    assert run(["run.py", "--help", "--config-name", "config"], site).stdout == text  # as Hydra lists them


def test_without_it_nothing_of_it_is_known(run):
    done = run(["run.py", "model=decay"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: model=decay: no such choice; ")


@pytest.mark.slow
def test_the_page(site, run, tmp_path):
    """Every line of the section, the last ones with the package on the path alone and not installed."""
    assert len(LINES) > 6 and any("joblib" in line for line in LINES) and any("resume=" in line for line in LINES)
    for line in LINES:
        named = re.match(r"SEQLAB_PLUGINS=(\S+) ", line)
        command = line[named.end() :] if named else line
        words = words_of(command)
        trains = words[0] == "run.py" and "resume=" not in line
        words = [re.sub(r"max_steps=\d+", "max_steps=6", word.replace("RUN", "outputs/run")) for word in words]
        one = trains and "-m" not in words
        if trains:
            shutil.rmtree(tmp_path / "outputs" / "run", ignore_errors=one)
            words += [*tiny(line), *(["hydra.run.dir=outputs/run"] if one else [])]
        if "search" in words[1]:
            words += [*QUICK, "search.num_trials=2"]
        before = set(tmp_path.rglob("summary.json"))
        done = run(words, EXAMPLE if named else site, named=named[1] if named else "")
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout.strip(), line
        if trains and not one:
            assert len(set(tmp_path.rglob("summary.json")) - before) == 4
    runs = summaries(tmp_path / "outputs")
    assert {summary["model"] for summary in runs} == {"decay", "lstm"}
    assert all(summary["versions"]["seqlab_example"] in ("0.1.0", "unknown") for summary in runs)


@pytest.mark.slow
def test_search_memory_and_a_report_from_elsewhere_know_it(site, run, tmp_path):
    text = "words: [model=decay, data=votes]\nnum_trials: 2\nspace:\n  model.d_model: [8, 64]\n"
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    done = run(["-m", "seqlab.search", "plan.yaml", "search.dir=study", "data.length=8", *QUICK], site)
    assert done.returncode == 0, done.stderr
    assert len(summaries(tmp_path / "study")) == 2
    done = run(["-m", "seqlab", "memory", "model=decay", "data=even_b"], site)
    assert done.returncode == 0 and "decay on even_b" in done.stdout
    done = run(["-m", "seqlab.report", tmp_path / "study"])  # needs no plug-in
    assert done.returncode == 0 and "decay" in done.stdout
    (first, *_) = sorted((tmp_path / "study" / "trials").glob("*/summary.json"))
    done = run(["-m", "seqlab.predict", first.parent, "1 0 1"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert 'SEQLAB_PLUGINS=seqlab_example, or in Python seqlab.load_run(path, trust=["seqlab_example"])' in done.stderr
    assert shlex.split(done.stderr)[0] == "error:"
