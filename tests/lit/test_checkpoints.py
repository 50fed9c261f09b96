"""Checkpoint files: whole or absent, the one before kept, plain types only, damage told in one line."""

import io
import pickle
import resource
import subprocess
import sys
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import InputError
from seqlab.lit.checkpoints import AtomicCheckpointIO, load_checkpoint


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("half-way")


@pytest.fixture
def save(tmp_path):
    """(file name, content) -> the file, saved."""

    def saved(name, content):
        AtomicCheckpointIO().save_checkpoint(content, tmp_path / "checkpoints" / name)
        return tmp_path / "checkpoints" / name

    return saved


def test_round_trip(save):
    content = {"weights": torch.arange(3.0), "step": 7, "nested": {"values": [1, None, "x"]}}
    loaded = load_checkpoint(save("best.ckpt", content))
    assert torch.equal(loaded.pop("weights"), content.pop("weights"))
    assert loaded == content


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_a_crash_while_writing_leaves_the_old_file(save, name):
    file = save(name, {"step": 1})
    before = file.read_bytes()
    with pytest.raises(RuntimeError, match="half-way"):
        save(name, {"big": torch.zeros(10_000), "bad": Unpicklable()})
    assert file.read_bytes() == before
    assert load_checkpoint(file) == {"step": 1}
    assert not (file.parent / "last-1.ckpt").exists()


def test_a_crash_at_the_first_write_leaves_no_checkpoint(save, tmp_path):
    with pytest.raises(RuntimeError, match="half-way"):
        save("last.ckpt", {"bad": Unpicklable()})
    assert not list((tmp_path / "checkpoints").glob("*.ckpt"))


def test_a_write_after_a_crash_is_whole(save):
    with pytest.raises(RuntimeError, match="half-way"):
        save("last.ckpt", {"big": torch.zeros(10_000), "bad": Unpicklable()})
    assert load_checkpoint(save("last.ckpt", {"step": 2})) == {"step": 2}


def test_the_last_but_one_is_kept(save):
    for step in (1, 2, 3):
        file = save("last.ckpt", {"step": step})
    assert load_checkpoint(file) == {"step": 3}
    assert load_checkpoint(file.with_name("last-1.ckpt")) == {"step": 2}
    assert {path.name for path in file.parent.iterdir()} == {"last.ckpt", "last-1.ckpt"}


def test_the_best_has_no_predecessor(save):
    for step in (1, 2):
        file = save("best.ckpt", {"step": step})
    assert [path.name for path in file.parent.iterdir()] == ["best.ckpt"]
    assert load_checkpoint(file) == {"step": 2}


def test_removing_is_quiet_about_absent_files(save):
    file = save("best.ckpt", {"step": 1})
    for _ in range(2):
        AtomicCheckpointIO().remove_checkpoint(file)
    assert not file.exists()


def damaged(file, kind):
    content = file.read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        file.write_text("step: 1\n", encoding="utf-8")
    elif kind == "overwritten":
        file.write_bytes(b"\0" * len(content))
    elif kind == "half overwritten":
        file.write_bytes(b"\0" * (len(content) // 2) + content[len(content) // 2 :])
    elif kind == "pickle":
        file.write_bytes(pickle.dumps({"weights": [0.0]}))
    elif kind == "old format":
        torch.save({"weights": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("notes.txt", "weights_only=False")
    elif kind == "objects":
        torch.save({"path": file, "model": torch.nn.Linear(1, 1)}, file)
    return file


@pytest.mark.parametrize(
    "kind", ["empty", "cut short", "text", "overwritten", "half overwritten", "pickle", "old format", "zip", "objects"]
)
def test_damage_is_told_in_one_line(save, kind):
    file = damaged(save("best.ckpt", {"weights": torch.zeros(100)}), kind)
    with pytest.raises(InputError) as caught:
        load_checkpoint(file)
    message = str(caught.value)
    assert message.startswith(f"cannot read the checkpoint {file}: ")
    assert "\n" not in message
    assert "weights_only" not in message


def test_a_missing_file_is_told(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(InputError, match=f"^no checkpoint at {path}$"):
            load_checkpoint(path)


def test_reading_runs_no_code(tmp_path):
    class Command:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    torch.save({"config": Command()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)
    assert not (tmp_path / "made").exists()


def test_an_environment_in_which_files_cannot_grow(save):
    """A limit of the system on the size of files stands for a full disk."""
    file = save("last.ckpt", {"step": 1})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save("last.ckpt", {"big": torch.zeros(10_000), "step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.filename == str(file)
    assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]
    assert load_checkpoint(file) == {"step": 1}


IN_A_SMALL_DISK = """
import sys, torch
from pathlib import Path
from seqlab.lit.checkpoints import AtomicCheckpointIO, load_checkpoint
import subprocess

def save(content):
    try:
        AtomicCheckpointIO().save_checkpoint(content, folder / "last.ckpt")
    except OSError as error:
        print(error.strerror, error.filename)
    print(sorted(path.name for path in folder.iterdir()), load_checkpoint(folder / "last.ckpt")["step"])

folder = Path(sys.argv[1]) / "checkpoints"
save({"step": 1})
save({"step": 2, "big": torch.zeros(100_000)})
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
save({"step": 3})
"""


def test_a_full_and_a_read_only_disk(tmp_path, environment):
    mount = f"mount -t tmpfs -o size=100k tmpfs {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here; the limit on the size of files is tested above")
    command = f'{mount} && exec "$0" -c "$1" {tmp_path}'
    words = ["unshare", "-rm", "sh", "-c", command, sys.executable, IN_A_SMALL_DISK]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, encoding="utf-8")
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert done.stdout.splitlines() == [
        "['last.ckpt'] 1",
        f"No space left on device {last}",
        "['last.ckpt'] 1",
        f"Read-only file system {last}",
        "['last.ckpt'] 1",
    ], done.stderr


def test_a_disk_that_fills_up_ends_a_run_in_one_line(root, tiny, tmp_path, environment):
    mount = f"mount -t tmpfs -o size=150k tmpfs {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here; the limit on the size of files is tested above")
    run_dir = tmp_path / "run"
    look = "from seqlab import load_run; import sys; print(load_run(sys.argv[1], 'last.ckpt').config['seed'])"
    command = f'{mount} && "$0" "$@" hydra.run.dir={run_dir}; echo $?; "$0" -c "{look}" {run_dir}'
    words = [*tiny("transformer"), "trainer=fast", "trainer.val_every=5", "trainer.accelerator=cpu", "logger=csv"]
    shell = ["unshare", "-rm", "sh", "-c", command, sys.executable, str(root / "run.py"), *words]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120, encoding="utf-8")
    *_, code, seed = done.stdout.splitlines()
    assert (code, seed) == ("2", "1"), done.stderr
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("step "))
    assert line.startswith("error: ")
    assert line.endswith("No space left on device")


def checkpoint_bytes():
    content = io.BytesIO()
    torch.save({"state_dict": {"w": torch.arange(6.0)}, "config": {"name": ["a", None, 1]}, "global_step": 3}, content)
    return content.getvalue()


GOOD = checkpoint_bytes()
NAMES = sorted(zipfile.ZipFile(io.BytesIO(GOOD)).namelist())


@st.composite
def files(draw):
    """Bytes that are no checkpoint, or one that is cut, written over, or holds other parts."""
    kind = draw(st.sampled_from(["bytes", "cut", "changed", "parts"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "cut":
        return GOOD[: draw(st.integers(0, len(GOOD)))]
    if kind == "changed":
        content = bytearray(GOOD)
        for place, value in draw(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8)):
            content[place] = value
        return bytes(content)
    made = io.BytesIO()
    small = st.binary(max_size=60) | st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.floats(), st.lists, max_leaves=5
    ).map(pickle.dumps)
    with zipfile.ZipFile(io.BytesIO(GOOD)) as good, zipfile.ZipFile(made, "w") as archive:
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
            archive.writestr(name, draw(small) if draw(st.booleans()) else good.read(name))
    return made.getvalue()


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
def test_any_file_is_read_or_refused_in_one_line(tmp_path, content):
    file = tmp_path / "any.ckpt"
    file.write_bytes(content)
    try:
        load_checkpoint(file)
    except InputError as error:
        assert len(str(error).splitlines()) == 1 and "weights_only" not in str(error)
