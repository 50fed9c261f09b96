"""Text is UTF-8 in every locale: whoever opens a file or a pipe as text says so."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_imports import PACKAGES

ROOT = Path(__file__).parents[1]
FOLDERS = [*(package.name for package in PACKAGES), "benchmarks", "docs", "tests"]
RUNNERS = {"run", "Popen", "check_output", "check_call", "call"}  # of subprocess
BINARY = {"os", "tarfile", "zipfile", "Image", "webbrowser"}  # their open() takes no encoding


def unsaid(code: str) -> list[int]:
    """The lines of calls that read or write text in the encoding of the locale."""
    return [node.lineno for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and takes_locale(node)]


def takes_locale(call: ast.Call) -> bool:
    """Whether a call opens something as text and names no encoding."""
    words = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in words:
        return False
    function = call.func
    is_method = isinstance(function, ast.Attribute)
    name = function.attr if is_method else getattr(function, "id", "")
    if name in RUNNERS:
        return bool({"text", "universal_newlines"} & words.keys())
    if name == "open" and not (is_method and getattr(function.value, "id", "") in BINARY):
        place = 0 if is_method else 1
        mode = words.get("mode", call.args[place] if len(call.args) > place else None)
        return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
    return is_method and ((name == "read_text" and not call.args) or (name == "write_text" and len(call.args) == 1))


@pytest.mark.parametrize("folder", [".", *FOLDERS])
def test_every_text_file_is_opened_as_utf_8(folder):
    files = (ROOT / folder).glob("*.py" if folder == "." else "**/*.py")
    found = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in unsaid(file.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("open(path)", True),
        ('open(path, "a")', True),
        ('path.open(mode="w", newline="")', True),
        ("path.read_text()", True),
        ('path.write_text("x")', True),
        ("subprocess.run(words, text=True)", True),
        ('open(path, "rb")', False),
        ('path.open("wb")', False),
        ('open(path, encoding="utf-8")', False),
        ('path.write_text("x", encoding="utf-8")', False),
        ("os.open(path, os.O_RDONLY)", False),
        ("write_text(path, text)", False),  # of seqlab.files
        ("subprocess.run(words)", False),
    ],
)
def test_what_takes_the_locale_is_found(call, found):
    assert unsaid(call) == [1] * found


@pytest.mark.slow
@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "iso-8859-5"}])
def test_what_stdout_cannot_show_is_escaped(text_runs, environment, locale):
    words = [sys.executable, "-m", "lm.generate", text_runs["lstm"], "--prompt", "R\xd4MEO:", "--max-tokens", "2"]
    done = subprocess.run(words, env=environment | locale, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(rb"R\xd4MEO:")
