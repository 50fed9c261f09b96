"""The commands of README.md and of docs/, as a user types them (in tiny sizes, so that they end soon)."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from seqlab.check import PACKAGES
from tests.docs import ROOT, Block, blocks, is_search, is_sweep, left_out, num_jobs, single, words_of

BLOCKS = blocks()
EVERY_LINE = [line for block in BLOCKS for line in block.lines]
# README's commands and these pages' run in `make test`, all others with the slow tests.
QUICK = {"README.md", "docs/runs.md"}
MORE = Block("more", 0, ("python run.py model=linear data=L3", "python run.py model=lstm data=L4 --cfg job"))
SLOW = Block(
    "more", 1, ("python run.py model=lstm data=L1 trainer.max_steps=4", "python run.py -m model=linear data=L1,L4")
)

RUNS = {  # page: the overrides of the run that RUN stands for there
    "docs/semiprimes.md": ["model=sine_net", "data=semiprimes", "data.set=S2", "optimizer=rprop", "trainer=full_batch"],
    "docs/results/semiprimes/README.md": ["model=sine_net", "data=semiprimes", "data.set=S2"],
    "docs/integer_sequences.md": ["model=transformer", "data=recurrence"],
    "docs/results/integer_sequences/README.md": ["model=transformer", "data=recurrence"],
    "docs/text.md": ["model=lstm", "data=text"],
    "docs/results/text/README.md": ["model=lstm", "data=text"],
}
ONE = Path("outputs", "L5", "transformer", "one")  # the run that RUN stands for elsewhere
STEPS = ["trainer.max_steps=4", "trainer.min_steps=0", "trainer.val_every=2", "trainer.accelerator=cpu"]


def marked(block):
    """A block is quick where its page is one of QUICK and its lines make few runs."""
    runs_many = any(num_jobs(line) > 2 or is_search(line) for line in block.lines if left_out(line) is None)
    slow = (block.page not in QUICK and block is not MORE) or runs_many
    return pytest.param(block, id=block.name, marks=[pytest.mark.slow][:slow])


@pytest.fixture(scope="module")
def runs(command, root, tiny, tmp_path_factory):
    """Page -> a finished run of its domain."""
    made = {}

    def run_of(page):
        overrides = RUNS[page]
        if page not in made:
            model, data = (word.partition("=")[2] for word in overrides[:2])
            folder = tmp_path_factory.mktemp("runs") / "run"
            words = [*tiny(model, data), *overrides, *STEPS, f"hydra.run.dir={folder}"]
            done = command(root / "run.py", *words, cwd=folder.parent)
            assert done.returncode == 0, done.stderr
            made[page] = folder
        return made[page]

    return run_of


@pytest.fixture
def place(finished_run, tmp_path):
    """A folder with what the names in capitals stand for, and a run where runs lie."""
    shutil.copytree(finished_run[0], tmp_path / ONE)
    rows = "\n".join(f"{index},{index % 24 + index / 100}" for index in range(600))
    (tmp_path / "series.csv").write_text(f"hour,load\n{rows}\n", encoding="utf-8")
    shutil.copy(ROOT / "tests" / "lm" / "coriolanus.txt", tmp_path / "text.txt")
    shutil.copy(ROOT / "conf" / "search" / "lstm_lr.yaml", tmp_path / "my.yaml")
    return tmp_path


def filled_in(word, run_dir, line):
    """A word with the reader's own things in the place of their names."""
    names = {
        r"^trainer.max_steps=4000$": "trainer.max_steps=44",  # four more than the finished run has
        r"\bRUN\b": str(run_dir),
        r"\bFILE_OR_FOLDER\b": "text.txt",
        r"\bFILE\b": "series.csv" if "csv" in line else "text.txt",
        r"\bNAME\b": "load",
        r"\bDIR\b": "outputs/of_my_own",
    }
    for name, value in names.items():
        word = re.sub(name, value, word)
    return word


def tiny_words(line, compose, tiny):
    """Overrides that make a run of run.py quick, less those that the line itself sets."""
    overrides = [filled_in(word, "", line) for word in single(line)]
    files = ("resume=", "init_from=", "data.csv=", "data.path=", "task.teacher=")
    plain = [word for word in overrides if not word.startswith(files)]
    compose(*plain, full=True)
    choices = HydraConfig.get().runtime.choices
    models = re.search(r"model=(\S+)", line) if is_sweep(line) else None
    data = re.search(r"data=(\S+)", line) if is_sweep(line) else None
    sizes = [
        tiny(model, name)
        for model in (models[1].split(",") if models else [choices.model])
        for name in (data[1].split(",") if data else [choices.data])
    ]
    words = [word for word in sizes[0] if all(word in other for other in sizes)]
    if choices.data == "semiprimes":
        words.append("data.num_train=64")
    elif choices.data == "text" and re.search(r"data\.(corpus|name)=", line):
        words = [word for word in words if not word.startswith("data.path=")]
    words += [*STEPS, "schedule.warmup=1"]
    if "model@model.body=" in line:  # another body than that of the YAML, with other keys
        words = [word for word in words if not word.startswith("model.body.")]
    own = {word.partition("=")[0] for word in words_of(line)} - {word.partition("=")[0] for word in STEPS}
    if choices.get("experiment"):  # widths that an experiment describes may depend on one another
        described = OmegaConf.load(ROOT / "conf" / "experiment" / f"{choices.experiment}.yaml").get("model", {})
        own |= {f"model.{key}" for key in described if key in {"d_model", "hidden_dim", "num_heads"}}
    return [word for word in words if word.partition("=")[0] not in own]


def run_line(line, page, place, runs, command, python, compose, tiny):
    """Run a line in the folder `place` and look at what it leaves."""
    line = line.replace("=0,1,2,3,4", "=0,1")  # folds
    if num_jobs(line) > 6:  # a process each
        line = re.sub(r"seed=[\d,]+", "seed=1", line)
    before = set(place.rglob("*"))
    page = "docs/text.md" if any(word.startswith("lm.") for word in words_of(line)[:2]) else page
    run_dir = (runs(page) if page in RUNS else place / ONE) if "RUN" in line else None
    words = [filled_in(word, run_dir, line) for word in words_of(line)]
    if words[:2] == ["-m", "pytest"]:  # the suite runs these tests by itself: here, that the words name some
        done = command(*words, "--collect-only", "-q", "-p", "no:cacheprovider", cwd=ROOT)
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return
    if is_search(line):
        trials = "3" if "num_trials" in line else "2"
        sizes = [*STEPS, "search.confirm_seeds=[2]", f"search.num_trials={trials}"]
        done = command(*(word for word in words if "num_trials" not in word), *sizes, cwd=place)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        studies = set(place.rglob("study.md")) - before
        assert len(studies) == ("num_trials" not in line), line
        return
    resumes = any(word.startswith("resume=") and word != "resume=auto" for word in words)
    trains = words[0] == "run.py" and not resumes and not {"--help", "--cfg"} & set(words)
    if trains:
        more = tiny_words(line, compose, tiny)
        shortened = {word.partition("=")[0] for word in more}
        words = [word for word in words if word.partition("=")[0] not in shortened]
        last = max((place for place, word in enumerate(words) if "=" in word), default=0)
        words[last + 1 : last + 1] = more
    if words[0] == "run.py":
        words[0] = str(ROOT / "run.py")
    start = python if "hydra/launcher" in line else command  # joblib's workers outlive a forked process
    done = start(*words, cwd=place)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "Traceback" not in done.stderr, line
    assert done.stdout.strip(), line
    left = {path.parent for path in set(place.rglob("*")) - before if path.name == "summary.json"}
    assert len(left) == (num_jobs(line) if trains else 0), line
    for folder in left:
        assert any((folder / "plots").glob("*.png")), line
        assert folder.is_relative_to(place / "outputs"), line
    if "--cfg" in words:
        assert "max_length:" in done.stdout


@pytest.mark.parametrize("block", [marked(block) for block in (*BLOCKS, MORE, SLOW)])
def test_commands(block, place, runs, command, python, compose, tiny):
    for line in block.lines:
        if left_out(line) is None:
            run_line(line, block.page, place, runs, command, python, compose, tiny)


def test_what_is_left_out_is_little():
    """Most lines are run, and no reason stands for nothing."""
    omitted = [line for line in EVERY_LINE if left_out(line)]
    assert len(omitted) < len(EVERY_LINE) / 4


def test_commands_stand_in_bash_blocks():
    """No page hides a command in a block that no test reads. (console: with its output.)"""
    for page in {block.page for block in BLOCKS} | {"docs/extending.md", "docs/gpu.md", "CONTRIBUTING.md"}:
        for language, text in re.findall(
            r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            if language not in ("bash", "console"):
                assert not re.search(r"^(\$ )?(python|seqlab|make|pip) ", text, re.MULTILINE), page


def test_the_main_job_is_in_the_readme():
    lines = [line for block in BLOCKS if block.page == "README.md" for line in block.lines]
    assert {"make run", "make test"} <= {line.split("#")[0].strip() for line in lines}
    assert "seqlab train model=transformer data=L5" in {line.split("#")[0].strip() for line in lines}
    assert any(line.startswith("seqlab predict RUN") for line in lines)


def test_jobs_are_counted():
    assert num_jobs("python run.py model=lstm optimizer.betas=[0.9,0.99]") == 1
    assert num_jobs("python run.py -m model=lstm,linear data=L1,L3,L5 seed=1,2") == 12
    assert num_jobs("python run.py -m experiment=lm_search optimizer.lr=1e-3") == 2  # two rates of dropout


@pytest.mark.parametrize("line", sorted({line for line in EVERY_LINE if line.startswith("make ")}))
def test_make_targets(line):
    """What make would do from the beginning, with this environment in the place of .venv."""
    words = [word for word in line.split("#")[0].split() if not word.startswith("VENV=")]
    done = subprocess.run(
        [*words, "-B", "-n", f"VENV={sys.prefix}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "pip" in done.stdout or "python" in done.stdout


def test_extras():
    """Pages and messages name extras that there are, and docs/start.md lists each."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    folders = (*PACKAGES, "conf", "docs", "benchmarks")
    files = [*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*.*"))]
    texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in {".md", ".py", ".yaml"}]
    named = {part for text in texts for names in re.findall(r"'seqlab\[([\w,]+)\]'", text) for part in names.split(",")}
    assert {"series", "wiki"} <= named <= set(extras)
    rows = [
        row
        for row in (ROOT / "docs/start.md").read_text(encoding="utf-8").partition("| extra |")[2].splitlines()
        if "`" in row
    ]
    listed = {name: bool(star) for row in rows for name, star in re.findall(r"`(\w+)`( \*)?", row.split("|")[1])}
    brought = re.search(r"seqlab\[(.*)\]", " ".join(extras["test"]))
    assert brought
    assert listed == {name: name in brought[1].split(",") for name in extras if name not in {"test", "dev"}}
    assert not any("'.[" in text for text in texts)  # one way to name an extra, from whatever folder


TROUBLE = [
    (words, re.split(r"\s*\.\.\.:?\s*", message))
    for words, message in re.findall(
        r"^\| `([^`|]+)` \| `((?:error|stopped): [^|]+)`[^|]*\|",
        (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if "DIR" not in words and "resume=RUN" not in words
]


def test_trouble_is_found_on_the_page():
    assert len(TROUBLE) > 12


@pytest.mark.slow
@pytest.mark.parametrize(("words", "parts"), TROUBLE, ids=[words for words, _ in TROUBLE])
def test_trouble_looks_as_the_page_says(words, parts, command, tmp_path, finished_run):
    if words.startswith("python -m"):
        typed = [word.replace("RUN", str(finished_run[0])) for word in words_of(words)]
        done = command(*typed, cwd=tmp_path)
        assert done.returncode == 2
        assert parts[0].replace("RUN", str(finished_run[0])) in done.stderr
        return
    choices = [] if "model=" in words else ["model=linear"] * ("model" not in words and "modle" not in words)
    overrides = [*words.split(), *choices, "trainer=fast"] if "trainer." not in words else words.split()
    if words.startswith("optimizer=sgd"):  # a loss that can overflow
        overrides += ["model=lstm", "model.num_layers=1", "data=adding", "trainer.max_steps=4", "trainer.val_every=4"]
    done = command(ROOT / "run.py", *overrides, cwd=tmp_path)
    assert done.returncode == (1 if parts[0].startswith("stopped") else 2), done.stderr
    place = -1
    for part in filter(None, parts):
        place = done.stderr.find(part, place + 1)
        assert place >= 0, f"{part!r} is not in {done.stderr}"
