"""docs/example_package, as docs/extending.md says it: installed, and only named in SEQLAB_PLUGINS."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqlab.errors import InputError
from seqlab.kept import Kept
from seqlab.models.lstm import LSTM
from seqlab.plugins import trusting
from seqlab.profile.job import measured, targets_of
from seqlab.proportion import value_of
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


def write_labelled(path, rows=200):
    """Strings of bits, each with the word for the parity of its ones; every fourth row stands there twice."""
    bits = [f"{row:b}" for row in range(1, rows + 1)]
    lines = [f"{' '.join(text)},{'odd' if text.count('1') % 2 else 'even'}\n" for text in bits]
    path.write_text("sequence,label\n" + "".join(lines + lines[::4]), encoding="utf-8")
    return path


@pytest.fixture
def module(monkeypatch):
    """Name -> the module of the package."""
    monkeypatch.syspath_prepend(EXAMPLE)
    yield lambda name: importlib.import_module(f"seqlab_example.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "seqlab_example"]:
        del sys.modules[name]


@pytest.fixture
def labelled(module, tmp_path):
    """Content of a file -> the data module of it; without content, of the rows of `write_labelled`."""

    def made(content=None, **options):
        path = write_labelled(tmp_path / "mine.csv")
        if content is not None:
            path.write_text(content, encoding="utf-8")
        return module("labelled").LabelledDataModule(csv=str(path), seed=1, **options)

    return made


def summaries(folder):
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("summary.json"))]


def tiny(line):
    """Further words that make a run of a line quick."""
    data = re.search(r"data=(\w+)", line)
    model = [] if "model=lstm" in line or "decay,lstm" in line else ["model.d_model=8"]
    return [*model, *SIZES.get(data[1] if data else "", []), "data.batch_size=8", *QUICK]


def test_votes_count_targets_and_strings_and_know_their_optimum(module):
    """So that a profile of it works."""
    votes = module("majority")
    task = votes.Majority(votes.MajorityDataModule(seed=1, length=12, batch_size=8))
    assert targets_of(task, task.data, 5) == 5 * 8 * 12
    rows = {name: {metric: value_of(value) for metric, value in row.items()} for name, row in task.baselines().items()}
    summary = {"better": task.better, "baselines": rows, "intervals": {}, "metrics": {"test/accuracy": 1.0}}
    with trusting(["seqlab_example"]):
        assert measured("test/accuracy", summary, "seqlab_example.majority.Majority")["score"] == 1
    assert task.baselines()["the bit read"]["test/accuracy"].trials == 256 * 12
    strings = torch.arange(20)[:, None] < 10  # each right or wrong throughout
    assert votes.accuracy(strings.expand(20, 12)).effective < 20


def test_an_epoch_has_each_labelled_row_once_and_no_sequence_is_in_two_splits(labelled):
    data = labelled(batch_size=16)
    assert data.spec.output.width == 2 and data.spec.max_length == 8 and data.spec.readout == "last"
    batches = [data.train_batch(step) for step in range(data.steps_per_epoch)]
    train, val, test = (set(map(str, part.ids.tolist())) for part in data.parts.values())
    assert set(map(str, torch.cat([batch.ids for batch in batches]).tolist())) == train
    assert sum(len(batch.labels) for batch in batches) == len(data.parts["train"].labels)
    assert sum(len(data.parts[split].labels) for split in ("train", "val", "test")) == 250
    assert not train & val and not train & test and not val & test and len(train | val | test) == 200


def test_labels_are_asked_for_at_the_last_symbol(labelled, module):
    data = labelled()
    task, model = module("labelled").Labels(data), LSTM(data.spec, d_model=8, hidden_dim=8, num_layers=1)
    batch = data.evaluation_set("test")
    assert task.num_targets(batch) == len(batch.labels)
    model.eval()
    for row, length in enumerate(batch.lengths.tolist()):
        alone = task.loss(model, type(batch)(batch.ids[row, None, :length], *(part[row, None] for part in batch[1:])))
        own = task.loss(model, type(batch)(*(part[row, None] for part in batch)))
        assert own.item() == pytest.approx(alone.item(), abs=1e-5)
    accuracy = task.evaluate(model, "test")["test/accuracy"]
    assert accuracy.trials == len(batch.labels) and accuracy.effective < accuracy.trials  # some stand there twice


def test_a_trained_model_needs_no_file_and_a_changed_file_is_refused(labelled, module, tmp_path):
    before = labelled()
    kept = Kept(before.kept.fitted, before.kept.data_files)
    (tmp_path / "mine.csv").unlink()
    after = module("labelled").LabelledDataModule(csv=str(tmp_path / "mine.csv"), seed=1)
    after.restore(kept)
    assert after.spec == before.spec
    assert module("labelled").Labels(after).parse_prompt("1 0").tolist() == [[2, 1]]
    write_labelled(tmp_path / "mine.csv", 100)
    with pytest.raises(ValueError, match="these are not the data of the run"):
        _ = after.parts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sequence;kind\n1 0;odd\n", "has no column 'label'; it has 'sequence', 'kind'"),
        ("sequence,label\n1 0,odd\n1 1,\n", "line 3: a sequence and a label are needed"),
        ("sequence,label\n1 \x1b[2J,odd\n", "line 2: a sequence and a label are needed"),
        ("sequence,label\n1 0,odd\n", "no row for "),
        ("sequence,label\n" + "".join(f"{row},odd\n" for row in range(100)), "all rows have the label 'odd'"),
    ],
)
def test_a_file_that_is_no_use_is_refused_in_a_line(labelled, content, said):
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        _ = labelled(content).spec
    assert len(str(caught.value).splitlines()) == 1


def test_what_the_page_shows_of_a_file_can_be_read(module, tmp_path):
    (listing,) = re.findall(r"^```text\n(sequence,label\n.*?)^```", SECTION, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.csv").write_text(listing, encoding="utf-8")
    rows = module("labelled").labelled_rows(str(tmp_path / "mine.csv"))
    assert len(rows) > 2 and all(words and label for words, label in rows)


def test_a_prompt_has_symbols_of_training(labelled, module):
    task = module("labelled").Labels(labelled())
    for text in ("", "1 2", "1 " * 9):
        with pytest.raises(InputError):
            task.parse_prompt(text)


def test_installed_it_trains_and_is_in_the_help(site, run, tmp_path):
    overrides = ["model=decay", "data=votes", "schedule=staircase", "model.d_model=8", "data.length=8", *QUICK]
    done = run(["run.py", *overrides, "hydra.run.dir=run"], site)
    assert done.returncode == 0, done.stderr
    (summary,) = summaries(tmp_path / "run")
    assert (summary["model"], summary["data"], summary["missing"]) == ("decay", "votes", {})
    assert summary["versions"]["seqlab_example"] == "0.1.0"
    assert "deep_lstm" in (text := run(["run.py", "--help"], site).stdout) and "decay" in text and "staircase" in text
    assert run(["run.py", "--help", "--config-name", "config"], site).stdout == text  # as Hydra lists them


def test_what_a_run_says_to_type_next_works(site, run, tmp_path):
    """Also for the labels of a file, and where the file is gone."""
    write_labelled(tmp_path / "mine.csv")
    for data in ("votes", "labelled data.csv=mine.csv"):
        words = ["model=decay", *f"data={data}".split(), "model.d_model=8", "data.batch_size=8", *QUICK]
        done = run(["run.py", *words, "hydra.run.dir=run"], site)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("next: ") and "predict" in line]
        (tmp_path / "mine.csv").unlink()
        said = run([*shlex.split(line.removeprefix("next: python "))], site)
        assert said.returncode == 0 and said.stdout.startswith(("majority", "label")), said.stderr
        shutil.rmtree(tmp_path / "run")
        write_labelled(tmp_path / "mine.csv")


def test_without_a_file_the_option_is_named(run):
    done = run(["run.py", "model=decay", "data=labelled"], EXAMPLE, named="seqlab_example")
    assert (done.returncode, done.stderr) == (2, "error: data=labelled needs data.csv=FILE\n")


def test_without_it_nothing_of_it_is_known(run):
    done = run(["run.py", "model=decay"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: model=decay: no such choice; ")


@pytest.mark.slow
def test_the_page(site, run, tmp_path):
    """Every line of the section, the last ones with the package on the path alone and not installed."""
    write_labelled(tmp_path / "mine.csv")
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
