"""The commands of README.md and docs/: those in bash blocks, and those that stand in the text.

Names in capitals stand for something of the reader's: RUN is a finished run of the page's domain, FILE a
file, and so on. tests/test_docs.py runs the commands as written, in tiny sizes.
"""

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from seqlab.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name != "extending.md"),  # test_extending.py
]
BLOCK = re.compile(r"^```bash\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
INLINE = re.compile(
    r"`(python (?:-m [^\s`]+|[^\s`]+\.py) [^`]+|python [^\s`-][^\s`]*)`"
)  # not the bare name of a module

# {start of a line: why no test runs it}. Everything else is run.
LEFT_OUT = {
    "PYTHONPATH=. python benchmarks/": "minutes; tests/test_benchmarks.py runs every script",
    "python run.py -m experiment=deep_lstm_ablation": "hours; tests/forecasting/test_ablation.py runs it in tiny sizes",
    "python -m seqlab.report outputs/ablation": "reads these runs; the same test",
    "python run.py -m experiment=published_faults": "an hour; tests/rule_extrapolation/test_mended.py runs one, tiny",
    "python run.py -m experiment=published_sizes": "minutes; tests/test_check.py composes it",
    "python run.py -m experiment=published_optimizers": "the same",
    "python -m seqlab.report outputs/faults": "reads these runs; the same test",
    "python run.py -m experiment=state_tracking": "an hour; tests/transduction/test_experiments.py builds each model",
    "python run.py -m experiment=generalization": "the same",
    "python run.py -m experiment=regular_tasks": "the same",
    "python run.py -m experiment=learning_rates": "the same",
    "python run.py -m experiment=read_outs": "the same",
    "python run.py -m experiment=published_transformer,published_lstm": "hours; tests/test_check.py composes both",
    "python run.py -m experiment=sequences_hybrid": "half an hour; tests/sequences/test_folds.py makes the table",
    "python -m seqlab.report outputs/hybrid": "reads these runs",
    "python -m sequences.folds outputs/folds": "reads these runs; the same test",
    "python run.py -m experiment=rule_extrapolation_table": "hours; tests/test_check.py composes it",
    "python -m seqlab.report outputs/table": "reads these runs",
    "seqlab profile model": "minutes; tests/profile/test_profile.py runs it, tiny",
    "seqlab profile variant": "the same",
    "seqlab profile --suite": "the same",
    "seqlab profile --compare": "needs a stranger's file; the same",
    "pip ": "the network; test_extras checks the names",
    "python docs/make_figure.py": "it writes into docs; tests/test_site.py draws the figure",
    "python docs/make_notebook.py": "a kernel; tests/test_notebook.py runs the cells",
    "make ": "makes environments; test_make_targets checks the targets",
    "seqlab play": "a server without an end; tests/play/test_browser.py starts one",
    "tensorboard ": "a server without an end; tests/lit/test_tensorboard.py starts one",
    "export ": "a setting of the reader's machine",
    "eval ": "a setting of the reader's shell; tests/test_completion.py makes it",
}


@dataclass(frozen=True)
class Block:
    """Commands that stand together on a page, in their order."""

    page: str
    number: int
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.page}-{'inline' if self.number < 0 else self.number}"


def blocks() -> list[Block]:
    """All blocks of all pages, in order."""
    found = []
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
        for number, block in enumerate(BLOCK.findall(text)):
            lines = tuple(line for line in block.splitlines() if line.split("#")[0].strip())
            found.append(Block(name, number, lines))
        standing = {line.split("#")[0].strip() for block in found if block.page == name for line in block.lines}
        inline = dict.fromkeys(re.sub(r"\s+", " ", line) for line in INLINE.findall(FENCED.sub("", text)))
        if page.name == "troubleshooting.md":  # what it shows ends badly: test_trouble_looks_as_the_page_says
            continue
        lines = tuple(line for line in inline if "..." not in line and line not in standing)
        found += [Block(name, -1, lines)] * bool(lines)
    return found


def left_out(line: str) -> str | None:
    """Why a line is not run, or None."""
    return next((reason for start, reason in LEFT_OUT.items() if line.startswith(start)), None)


def words_of(line: str) -> list[str]:
    """The words after `python`, without comments. What `seqlab` calls is given as its script or module."""
    program, *words = shlex.split(line, comments=True)
    if program == "seqlab":
        name = words.pop(0) if words[0] in COMMANDS else "train"
        module = COMMANDS[name].module.removesuffix(".__main__")
        return ["run.py", *words] if name == "train" else ["-m", module, *words]
    assert program == "python", f"{line}: no test knows how to run this"
    return words


def swept(line: str) -> dict[str, str]:
    """{key: values} of a sweep, also of what the preset of an experiment sweeps over; {} for a single run."""
    if not is_sweep(line):
        return {}
    given = dict(word.split("=", 1) for word in words_of(line) if "=" in word)
    preset = {}
    if "experiment" in given:
        file = ROOT / "conf" / "experiment" / f"{given['experiment']}.yaml"
        preset = OmegaConf.select(OmegaConf.load(file), "hydra.sweeper.params", default={})
    return {key: str(values) for key, values in {**preset, **given}.items() if "[" not in str(values)}


def num_jobs(line: str) -> int:
    """How many runs a command line makes: the product of the numbers of values."""
    return math.prod(values.count(",") + 1 for values in swept(line).values())


def is_sweep(line: str) -> bool:
    """Whether several runs are asked for."""
    program, *words = words_of(line)
    return program == "run.py" and bool({"-m", "--multirun"} & set(words))


def is_search(line: str) -> bool:
    """Whether a line searches for values."""
    return words_of(line)[:2] == ["-m", "seqlab.search"]


def single(line: str) -> list[str]:
    """The overrides of a line, of those that are swept over the first value."""
    overrides = [word for word in words_of(line)[1:] if "=" in word and not word.startswith("hydra.")]
    return [word.split(",")[0] if is_sweep(line) and "[" not in word else word for word in overrides]
