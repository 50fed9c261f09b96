"""`resume=`: a run that was killed and resumed leaves what the run that was not killed leaves, bit for bit."""

import csv
import json
import random
import re
import shutil

import pytest
import torch

import seqlab
from seqlab.lit.checkpoints import load_checkpoint
from seqlab.run.directory import RunDirectory
from tests.comparison import differences
from tests.test_pairs import CONF, MODELS, NEEDS

STEPS = 12
SIZES = ["trainer.val_every=5", "trainer.log_every=1", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
TASK_OF = {
    path.stem: re.search(r"/task@_global_: (\w+)", path.read_text(encoding="utf-8"))[1]
    for path in sorted((CONF / "data").glob("*.yaml"))
}
TASKS = ["L5", "semiprimes", "text", "recurrence", "series", "returns", "adding", "copy"]
# One of each further kind.
TASKS += {task: name for name, task in TASK_OF.items() if task not in {TASK_OF[known] for known in TASKS}}.values()
# Every kind of data with some model, and every model with some data.
FAMILIES = sorted({(data, "lstm") for data in TASKS} | {(min(NEEDS.get(model, {"L5"})), model) for model in MODELS})
KILLS = [("L5", "transformer"), ("text", "lstm"), ("semiprimes", "binary_lstm"), ("recurrence", "transformer")]


def test_every_kind_of_data_and_every_model_is_covered():
    assert {TASK_OF[name] for name in TASKS} == set(TASK_OF.values())
    assert {model for _, model in FAMILIES} == set(MODELS)


@pytest.fixture(scope="module")
def run_py(command, root, tiny, tmp_path_factory):
    """Run the command in a folder: (data, model, words, stop=(signal, step)) -> the completed process."""

    def ran(folder, data, model, *words, stop=None):
        script = [root / "run.py"] if stop is None else [root / "tests" / "stop_at.py", *stop, root / "run.py"]
        choice = [f"data={data}", f"model={model}", *tiny(model, data), *SIZES, f"trainer.max_steps={STEPS}"]
        return command(*script, *choice, *words, f"hydra.run.dir={folder}", cwd=folder.parent)

    return ran


@pytest.fixture(scope="module")
def whole(run_py, tmp_path_factory):
    """(data, model) -> the directory of a run that nothing stopped."""
    found = {}

    def directory(data, model):
        if (data, model) not in found:
            folder = tmp_path_factory.mktemp("whole") / "run"
            done = run_py(folder, data, model)
            assert done.returncode == 0, done.stderr
            found[data, model] = folder
        return found[data, model]

    return directory


def rows(run_dir):
    """metrics.csv without the wall clock."""
    with open(run_dir / "metrics.csv", newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in csv.DictReader(file)]


def assert_same(a, b):
    """Two finished run directories hold the same, but for times."""
    assert rows(a) == rows(b)
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (load_checkpoint(run / "checkpoints" / name) for run in (a, b))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "callbacks"):
            assert differences(without_folder(one[part]), without_folder(other[part])) == [], (name, part)
    assert (a / "predictions.jsonl").read_bytes() == (b / "predictions.jsonl").read_bytes()
    summaries = [json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in (a, b)]
    for summary in summaries:
        assert summary.pop("seconds") >= 0
    assert summaries[0] == summaries[1]
    assert json.loads((b / "status.json").read_text(encoding="utf-8"))["status"] == "done"
    assert not list(b.rglob("*.tmp"))


def without_folder(state):
    return {str(key).split("{")[0]: value for key, value in state.items()} if isinstance(state, dict) else state


def stop_and_resume(run_py, folder, data, model, stops):
    """A run in `folder`, stopped at each (signal, step) and gone on with, to its end."""
    folder.parent.mkdir(exist_ok=True)
    for number, (signum, step) in enumerate(stops):
        done = run_py(folder, data, model, *(["resume=auto"] if number else []), stop=(signum, step))
        assert done.returncode == {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}[signum], done.stderr
    done = run_py(folder, data, model, "resume=auto")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return done


@pytest.mark.parametrize(("data", "model"), KILLS)
def test_killed_twice_is_uninterrupted(run_py, whole, tmp_path, data, model):
    """Once before a checkpoint, so that the run begins anew, or behind one; then behind the next validation."""
    draw = random.Random(f"{data} {model}")
    stops = [("SIGKILL", draw.randrange(1, 9)), ("SIGKILL", draw.randrange(6, STEPS))]
    stop_and_resume(run_py, tmp_path / "cut", data, model, stops)
    assert_same(whole(data, model), tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("data", "model"), FAMILIES)
def test_every_family_survives_kills(run_py, whole, tmp_path, data, model, seed):
    draw = random.Random(f"{data} {model} {seed}")
    stops = [("SIGKILL", step) for step in sorted(draw.sample(range(1, STEPS), 2))]
    stop_and_resume(run_py, tmp_path / "cut", data, model, stops)
    assert_same(whole(data, model), tmp_path / "cut")


def test_signals_save_at_their_step_and_nothing_is_done_again(run_py, whole, tmp_path):
    done = stop_and_resume(run_py, tmp_path / "cut", "L5", "transformer", [("SIGTERM", 3), ("SIGINT", 7)])
    assert "resumed from last.ckpt at step 8" in done.stdout
    assert_same(whole("L5", "transformer"), tmp_path / "cut")


@pytest.fixture
def cut(run_py, tmp_path):
    """The directory of a run stopped in step 8, with checkpoints of steps 5 and 9."""
    folder = tmp_path / "cut"
    assert run_py(folder, "L5", "transformer", stop=("SIGTERM", 8)).returncode == 143
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 9
    assert load_checkpoint(folder / "checkpoints" / "last-1.ckpt")["global_step"] == 5
    return folder


def test_resume_of_a_directory_needs_no_other_words(command, root, cut, whole):
    done = command(root / "run.py", f"resume={cut.name}", cwd=cut.parent)
    assert done.returncode == 0, done.stderr
    assert_same(whole("L5", "transformer"), cut)

    again = command(root / "run.py", f"resume={cut}")
    assert (again.returncode, again.stdout) == (0, f"{cut} is finished (max_steps, {STEPS} steps): nothing to resume\n")


@pytest.mark.parametrize("damage", ["cut short", "empty", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run_py, cut, whole, damage):
    last = cut / "checkpoints" / "last.ckpt"
    for folder in (cut, cut / "checkpoints"):
        (folder / ".killed.tmp").write_bytes(b"half")
    if damage == "missing":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:1000] if damage == "cut short" else b"")
    done = run_py(cut, "L5", "transformer", "resume=auto")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert [str(last) in line and "resuming from last-1.ckpt" in line for line in warnings] == (
        [] if damage == "missing" else [True]
    )
    assert "resumed from last-1.ckpt at step 5" in done.stdout
    assert_same(whole("L5", "transformer"), cut)


def refused(process):
    assert process.returncode == 2, (process.stdout, process.stderr)
    (line,) = process.stderr.splitlines()
    assert process.stdout == ""
    return line


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.log"}


def test_no_checkpoint_that_can_be_read(run_py, cut):
    for file in (cut / "checkpoints").iterdir():
        file.write_bytes(b"")
    before = contents(cut)
    assert "no checkpoint can be read: cannot read the checkpoint" in refused(
        run_py(cut, "L5", "transformer", "resume=auto")
    )
    assert contents(cut) == before


def test_lost_best_weights_are_not_passed_over(run_py, cut):
    (cut / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert "best.ckpt" in refused(run_py(cut, "L5", "transformer", "resume=auto"))
    (cut / "checkpoints" / "best.ckpt").unlink()
    line = refused(run_py(cut, "L5", "transformer", "resume=auto"))
    assert f"no checkpoint at {cut}/checkpoints/best.ckpt, and no later one may be as good" in line


def test_another_configuration_is_refused_by_its_keys_and_changes_nothing(run_py, cut):
    before = contents(cut)
    line = refused(run_py(cut, "L5", "transformer", "resume=auto", "model.d_model=32", "seed=7"))
    kept = "(trainer.max_steps may grow; logger and debug may change)"
    assert line.endswith(f"model.d_model is 16 there and 32 here; seed is 1 there and 7 here {kept}")
    line = refused(run_py(cut, "L5", "transformer", "resume=auto", "trainer.min_steps=3"))
    assert line.endswith(f": trainer.min_steps is 0 there and 3 here {kept}")
    assert "already holds a run: resume it with resume=auto" in refused(run_py(cut, "L5", "transformer"))
    assert "has 12, which may grow and not shrink" in refused(
        run_py(cut, "L5", "transformer", "resume=auto", "trainer.max_steps=10")
    )
    assert contents(cut) == before


def test_a_checkpoint_of_another_model_is_refused(run_py, cut, whole):
    shutil.copy(whole("text", "lstm") / "checkpoints" / "last.ckpt", cut / "checkpoints" / "last.ckpt")
    line = refused(run_py(cut, "L5", "transformer", "resume=auto"))
    assert f"{cut}/checkpoints/last.ckpt belongs to another run, lstm on text" in line


def test_a_directory_in_use_is_refused(run_py, cut):
    with RunDirectory(cut).claimed():
        assert refused(run_py(cut, "L5", "transformer", "resume=auto")) == (
            f"error: {cut}: another process is training there"
        )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["resume=none"], "resume=none: no such directory; allowed: auto, or the directory of a run"),
        (["resume=."], "resume=.: holds no run"),
        (["-m", "resume=."], "resume=. is one run; a sweep takes resume=auto"),
        (["resume=.", "hydra.run.dir=x"], "leave hydra.run.dir out"),
    ],
)
def test_what_cannot_be_resumed(command, root, tmp_path, words, part):
    assert part in refused(command(root / "run.py", *words, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


def test_more_steps(run_py, command, root, tmp_path):
    """What followed trainer.max_steps when the run began stays as it was: a cosine does not rise again."""
    cosine, grown = ["schedule=warmup_cosine", "schedule.warmup=2"], f"trainer.max_steps={STEPS + 6}"
    for name, words in (("cut", []), ("straight", [f"schedule.total={STEPS}", grown])):
        (tmp_path / name).mkdir()
        assert run_py(tmp_path / name / "run", "L5", "linear", *cosine, *words).returncode == 0
    cut = tmp_path / "cut" / "run"
    assert run_py(cut, "L5", "linear", *cosine, grown, "resume=auto").returncode == 0
    assert_same(tmp_path / "straight" / "run", cut)
    again = command(root / "run.py", f"resume={cut}")
    assert "is finished (max_steps, 18 steps)" in again.stdout
    assert command(root / "run.py", f"resume={cut}", "trainer.max_steps=20").returncode == 0


def test_auto_takes_the_newest_unfinished_run_of_this_configuration(command, root, tiny, tmp_path):
    words = [*tiny("linear"), "model=linear", *SIZES, f"trainer.max_steps={STEPS}"]
    stop = [root / "tests" / "stop_at.py", "SIGKILL", 7]
    for seed in (1, 1, 2):
        assert command(*stop, root / "run.py", *words, f"seed={seed}", cwd=tmp_path).returncode == -9
    one, two, other = sorted((tmp_path / "outputs" / "L5" / "linear").iterdir())
    for expected in (two, one):
        done = command(root / "run.py", *words, "resume=auto", cwd=tmp_path)
        assert done.stdout.splitlines()[-1].endswith(str(expected)), done.stderr
        assert "resumed from last.ckpt at step 5" in done.stdout
    done = command(root / "run.py", *words, "resume=auto", "logger=default", cwd=tmp_path)  # a logger decides nothing
    assert "resumed" not in done.stdout
    (new,) = set(other.parent.iterdir()) - {one, two, other}
    assert one.name[-8:] == two.name[-8:] == new.name[-8:] != other.name[-8:]
    torch.testing.assert_close(
        *(load_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in (one, new)), rtol=0, atol=0
    )


@pytest.mark.parametrize("what", ["SeqLab", "threads", "kernels"])
def test_another_environment_is_warned_about(run_py, cut, what):
    file = cut / "checkpoints" / "last.ckpt"
    content = load_checkpoint(file)
    known = content["environment"]
    now = content["version"] if what == "SeqLab" else known[what]
    before = {"SeqLab": "9.8.7", "threads": known["threads"] + 1, "kernels": "torch" if now == "native" else "native"}
    if what == "SeqLab":
        content["version"] = before[what]
    else:
        known[what] = before[what]
    torch.save(content, file)
    done = run_py(cut, "L5", "transformer", "resume=auto")
    assert done.returncode == 0
    assert f"warning: {what} {before[what]} before and {now} now: the run resumes, but not bit" in done.stderr


def test_a_run_from_before_0_3_is_not_resumed_but_its_weights_load(run_py, command, cut):
    """Its dropout drew other masks, and its Transformer had no option `backend`."""
    expected = seqlab.load_run(cut).model.state_dict()
    for file in (cut / "checkpoints").iterdir():
        content = load_checkpoint(file) | {"version": "0.2.0"}
        del content["config"]["model"]["backend"]
        torch.save(content, file)
    before = {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()}
    done = run_py(cut, "L5", "transformer", "resume=auto")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "was written by SeqLab 0.2.0" in done.stderr and "since 0.3 dropout draws other masks" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    torch.testing.assert_close(seqlab.load_run(cut).model.state_dict(), expected, rtol=0, atol=0)
    done = command("-m", "seqlab.predict", cut, "(")
    assert done.returncode == 0 and "completion" in done.stdout, done.stderr
