"""The commands of README.md, and a few more, as a user types them (in tiny sizes, so that they end soon)."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith(("python run.py", "python -m"))]
MORE = ["python run.py model=linear data=L3", "python run.py model=lstm data=L4 --cfg job"]
SLOW = ["python run.py model=lstm data=L1", "python run.py -m model=linear data=L1,L4"]


def num_jobs(line):
    """How many runs a command line makes: the product of the numbers of values of its words."""
    number = 1
    for word in shlex.split(line, comments=True):
        number *= word.count(",") + 1 if "=" in word and "-m" in line else 1
    return number


def marked(lines):
    slow = [line in SLOW or num_jobs(line) > 2 for line in lines]
    return [pytest.param(line, marks=[pytest.mark.slow][:is_slow]) for line, is_slow in zip(lines, slow, strict=True)]


@pytest.fixture
def place(finished_run, tmp_path):
    """A folder in which a run lies where runs lie; (folder, run directory)."""
    run_dir = tmp_path / "outputs" / "L5" / "transformer" / "one"
    shutil.copytree(finished_run[0], run_dir)
    return tmp_path, run_dir


def tiny_sizes_for(line, tiny):
    """The overrides that all models and data of a command line know."""
    model, data = (re.search(rf"{group}=(\S+)", line) for group in ("model", "data"))
    sizes = [
        tiny(model_name, data_name)
        for model_name in (model[1] if model else "transformer").split(",")
        for data_name in (data[1] if data else "L5").split(",")
    ]
    return [word for word in sizes[0] if all(word in words for words in sizes)]


def named(word, words):
    """Whether a command line already sets the key of an override."""
    return any(other.startswith(word.partition("=")[0] + "=") for other in words)


def test_the_main_job_is_in_the_readme():
    assert "python run.py model=transformer data=L5" in LINES
    assert any(line.startswith("python -m seqlab.predict RUN") for line in LINES)


def test_jobs_are_counted():
    assert num_jobs("python run.py model=lstm optimizer.betas=[0.9,0.99]") == 1
    assert num_jobs("python run.py -m model=lstm,linear data=L1,L3,L5 seed=1,2") == 12


@pytest.mark.parametrize("line", marked([*LINES, *MORE, *SLOW]))
def test_command(line, command, root, tiny, place):
    folder, run_dir = place
    before = set(folder.rglob("*"))
    words = [word.replace("RUN", str(run_dir)) for word in shlex.split(line, comments=True)[1:]]
    resumes = any(word.startswith("resume=") for word in words)
    if words[0] == "run.py":
        words[0] = str(root / "run.py")
    if words[0].endswith("run.py") and not resumes:
        place_of_last = max(place for place, word in enumerate(words) if "=" in word)  # argparse wants them together
        more = [*tiny_sizes_for(line, tiny), "trainer=fast", "trainer.max_steps=4", "trainer.val_every=2"]
        words[place_of_last + 1 : place_of_last + 1] = [word for word in more if not named(word, words)]
    done = command(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
    new = set(folder.rglob("*")) - before
    runs = [path.parent for path in new if path.name == "summary.json"]
    trains = words[0].endswith("run.py") and "--cfg" not in words and not resumes
    assert len(runs) == (num_jobs(line) if trains else 0)
    for run in runs:
        plot = "forecast.png" if "data=series" in line else "results.png"
        assert (run / "plots" / plot).exists()
        assert run.is_relative_to(folder / "outputs")
    if "--cfg" in words:
        assert "max_length: 16" in done.stdout
        assert not new
