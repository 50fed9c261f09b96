"""Files that are whole or absent."""

import math
import os

import pytest

from seqlab.files import remove_temporaries, write_json, write_text


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    file = tmp_path / "summary.json"
    write_json(file, {"step": 1})
    with pytest.raises(ValueError):
        write_json(file, {"step": 2, "loss": math.nan})
    (tmp_path / ".summary.json.tmp").mkdir()  # so that nothing can be written there
    with pytest.raises(OSError) as caught:
        write_json(file, {"step": 3})
    assert caught.value.filename == str(file)
    assert file.read_text(encoding="utf-8") == '{\n  "step": 1\n}\n'


def test_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_only_temporaries_are_removed(tmp_path):
    for name in (".last.ckpt.tmp", "kept.tmp", ".hidden", "last.ckpt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "kept.tmp", "last.ckpt"]
