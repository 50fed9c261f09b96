"""Every file, module, command and option of the project that a docstring, a comment or a page names exists."""

import ast
import importlib
import io
import re
import tokenize
from pathlib import Path

import pytest

from seqlab.check import PACKAGES
from seqlab.commands import COMMANDS

ROOT = Path(__file__).parents[1]
FOLDERS = "benchmarks", "conf", "docs", "tests", *PACKAGES
READ = {".py", ".md", ".yaml", ".toml", ".cpp", ".css", ".js"}
FILES = sorted(
    path
    for pattern in ("*", *(f"{folder}/**/*" for folder in FOLDERS))
    for path in ROOT.glob(pattern)
    if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
)
PATHS = {path.relative_to(ROOT).as_posix() for path in FILES}

START = r"(?<![\w/.$~-])"
OURS = "|".join(FOLDERS)
PATH = re.compile(rf"{START}(?:{OURS})/[\w./-]*\w")
SOURCE = re.compile(rf"{START}(?:[\w-]+/)*[\w-]+\.(?:py|cpp|css|js)\b")
DOTTED = re.compile(rf"{START}(?:{OURS})(?:\.\w+)+")

COMMAND = re.compile(rf"python -m ((?:{OURS})[\w.]*\w)")
WORD = re.compile(r"(?<![\w.])seqlab ([a-z]+)(?= [A-Z-]| \w+[.=]|`)")  # `seqlab predict RUN`, `seqlab train`
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+\w")
SOURCES = [path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".py" and path.name != "test_names.py"]
HYDRAS = "--help --hydra-help --version --cfg --resolve --package --run --multirun --shell-completion --config-path"
HYDRAS += " --config-name --config-dir --experimental-rerun --info"
OPTIONS = {*re.findall(r'add_argument\(\s*"(--[\w-]+)"', "".join(SOURCES)), *HYDRAS.split()}
OPTIONS_OF_OTHERS = {"--logdir", "--host", "--backend-store-uri", "--index-url", "--no-build-isolation", "--no-deps"}
OPTIONS_OF_OTHERS |= {"--no-save", "--no-package-lock"}  # of npm

PLACE_HOLDER = re.compile(r"\b[A-Z]{3,}\b")  # conf/search/NAME.yaml
OF_OTHERS = {
    "BPE_LSTM_embedding.py",  # the published program
    "seqlab.run.build.os.system",  # what a hostile file might say
    "seqlab.conf",  # where a wheel has conf
}
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
NEW_FILES = re.findall(r"^New file `([^`]+)`", PAGE, flags=re.MULTILINE)
NEW_CLASSES = re.findall(r"^class (\w+)", PAGE, flags=re.MULTILINE)


def texts(path: Path) -> list[str]:
    """What a file says to people: its docstrings and comments, or all of it where it is no Python."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [content]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [ast.get_docstring(node) for node in ast.walk(ast.parse(content)) if isinstance(node, documented)]
    tokens = tokenize.generate_tokens(io.StringIO(content).readline)
    return [*filter(None, docstrings), *(token.string for token in tokens if token.type == tokenize.COMMENT)]


def is_file(word: str, page: Path) -> bool:
    """From the root, from the page's own folder, or the end of a path: nn/dropout.py."""
    return any(
        ((ROOT / word).exists(), (page.parent / word).exists(), any(path.endswith(f"/{word}") for path in PATHS))
    )


def is_name(word: str) -> bool:
    """A module, or what one has."""
    parts = word.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        if path.is_dir() or path.with_suffix(".py").is_file():
            found = importlib.import_module(".".join(parts[:end])) if parts[end:] else None
            for part in parts[end:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


def is_command(word: str) -> bool:
    """Whether `python -m WORD` runs something."""
    path = ROOT.joinpath(*word.split("."))
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return file.is_file() and '__name__ == "__main__"' in file.read_text(encoding="utf-8")


def is_to_be_written(word: str) -> bool:
    """Whether docs/extending.md has the reader write it."""
    modules = {file.removesuffix(".py").replace("/", ".") for file in NEW_FILES}
    return word in NEW_FILES or word in modules or word.rpartition(".")[2] in NEW_CLASSES


def unknown(text: str, page: Path) -> list[str]:
    """The names in a text that lead nowhere."""
    named = [word for pattern in (PATH, SOURCE) for word in pattern.findall(text) if not is_file(word, page)]
    named += [word for word in DOTTED.findall(text) if not is_file(word, page) and not is_name(word)]
    named += [word for word in COMMAND.findall(text) if not is_command(word)]
    named += [word for word in WORD.findall(text) if word not in COMMANDS]
    if page.suffix in {".py", ".md", ".yaml"}:
        named += [word for word in OPTION.findall(text) if word not in OPTIONS | OPTIONS_OF_OTHERS]
    return [
        word
        for word in dict.fromkeys(named)
        if word not in OF_OTHERS
        and not PLACE_HOLDER.search(word)
        and not (page.name == "extending.md" and is_to_be_written(word))
    ]


@pytest.mark.parametrize("folder", ["", *FOLDERS])
def test_what_is_named_exists(folder):
    read = [path for path in FILES if path.suffix in READ or path.name == "Makefile"]
    own = [path for path in read if path.relative_to(ROOT).parts[:-1][:1] == ((folder,) if folder else ())]
    assert own
    found = {
        (path.relative_to(ROOT).as_posix(), word)
        for path in own
        for text in texts(path)
        for word in unknown(text, path)
    }
    assert sorted(found) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("(benchmarks/retriever.py)", ["benchmarks/retriever.py"]),
        ("`nn/dropout.py`, tests/reference, conf/search/NAME.yaml and docs/runs.md", []),
        ("nn/drop_out.py; conf/modle", ["conf/modle", "nn/drop_out.py"]),
        ("seqlab.run.build.load_run, seqlab.run.build.load_runs. `lm.known_items`", ["seqlab.run.build.load_runs"]),
        ("`python -m lm.finetune RUN` writes outputs/run/metrics.csv", []),
        ("python -m lm.generate RUN --top-k 3; python -m lm.metrics RUN", ["lm.metrics"]),
        ("`--num-samples 3`, `--num-sample 3` and -m", ["--num-sample"]),
        ("`seqlab predict RUN`, `seqlab train`, seqlab predicts RUN; `seqlab model=lstm`, SeqLab is", ["predicts"]),
    ],
)
def test_what_is_missing_is_found(text, missing):
    assert unknown(text, ROOT / "docs" / "runs.md") == missing
