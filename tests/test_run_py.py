"""`python run.py` as a process: what it refuses, in one line and exit code 2, its sweeps, help and completion."""

import json
import signal
import subprocess
import sys

import pytest
from omegaconf import OmegaConf


@pytest.fixture
def run_py(command, root):
    """Words after run.py -> the completed process."""
    return lambda *words, cwd=None: command(root / "run.py", *words, cwd=cwd)


def one_line(process):
    assert process.returncode == 2, process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert process.stdout == ""
    return line


def test_the_command_refuses_an_unknown_choice(run_py, tmp_path):
    line = one_line(run_py("model=lstmm", "data=L5", cwd=tmp_path))
    assert "model=lstmm: no such choice; did you mean lstm?" in line
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_a_bad_pair_of_sizes_and_removes_its_directory(run_py, tmp_path):
    line = one_line(run_py("model.num_heads=7", f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path))
    assert "num_heads=7 does not divide d_model=64" in line
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_several_values_without_m(run_py, tmp_path):
    assert "model=lstm,linear" in one_line(run_py("model=lstm,linear", cwd=tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_a_directory_that_cannot_be_made(run_py, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    line = one_line(run_py(f"hydra.run.dir={tmp_path}/file/run", cwd=tmp_path))
    assert f"{tmp_path}/file" in line
    assert "Not a directory" in line


@pytest.mark.parametrize("word", ["seed=range(3,3)", "model=glob(x*y)", "seed=range(1, 1)"])
def test_an_empty_sweep_is_refused(run_py, tmp_path, word):
    assert f"{word} is an empty sweep" in one_line(run_py("-m", word, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["seed=range(1", "seed=[1", "model=glob(a"])
def test_a_sweep_that_cannot_be_read_is_refused(run_py, tmp_path, word):
    assert word in one_line(run_py("-m", word, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_resolved_leaves_nothing_behind(run_py, tmp_path):
    done = run_py("seed=${nope}", "hydra.run.dir=runs/one", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Interpolation key 'nope' not found" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_takes_text_that_hydra_cannot_read(run_py, tmp_path):
    rows = [[f"{(hour % 24) + 0.01 * hour + place}" for place in range(4)] for hour in range(300)]
    lines = [["2020", "Temp (°C)", "CO2 [ppm]", "1e3"], *rows]
    (tmp_path / "été (1).csv").write_text("\n".join(map(",".join, lines)), encoding="utf-8")
    sizes = ["data.window=24", "data.horizon=3", "trainer=fast", "trainer.max_steps=2", "trainer.val_every=2"]
    words = ["model=linear", "data=series", "data.csv=été (1).csv", *sizes, "logger=csv", "trainer.accelerator=cpu"]
    places = {column: f"out/column={column},lr=0.1" for column in lines[0]}
    for column, place in places.items():
        done = run_py(*words, f"data.column={column}", f"hydra.run.dir={place}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert OmegaConf.load(tmp_path / place / ".hydra" / "config.yaml").data.column == column
    place = places["1e3"]
    again = run_py(f"resume={place}", "trainer.max_steps=4", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resumed from last.ckpt at step 2" in again.stdout
    quoted = run_py(*words, "data.column='1e3'", f"hydra.run.dir={place}", "resume=auto", cwd=tmp_path)
    assert (
        quoted.stderr == "error: trainer.max_steps=2: " + f"{tmp_path / place} has 4, which may grow and not shrink\n"
    )


@pytest.mark.slow
def test_a_sweep_hands_its_jobs_the_characters_that_were_typed(run_py, tmp_path):
    columns = ["1e3", "true", "2020", "Temp (°C)"]
    rows = [[f"{(hour % 24) + 0.01 * hour + place}" for place in range(4)] for hour in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, [columns, *rows])), encoding="utf-8")
    words = ["model=linear", "data=series", "data.csv=a.csv", "data.window=24", "data.horizon=3", "trainer=fast"]
    words += [
        "trainer.max_steps=2",
        "trainer.val_every=2",
        "logger=csv",
        "trainer.accelerator=cpu",
        "optimizer.lr=1e-3",
    ]
    done = run_py("-m", *words, "data.column=1e3,true,2020,'Temp (°C)'", "hydra.sweep.dir=a=1,b=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "a=1,b=2").rglob("config.yaml"))
    assert sorted(OmegaConf.load(file).data.column for file in runs) == sorted(columns)


def test_a_key_that_an_interpolation_misses_is_named(run_py, tmp_path):
    assert "Interpolation key 'nope' not found" in one_line(run_py("seed=${nope}", cwd=tmp_path))


def test_a_sweep_with_an_unknown_choice_does_not_start(run_py, tmp_path):
    assert "did you mean lstm?" in one_line(run_py("-m", "model=lstmm,linear", cwd=tmp_path))


@pytest.mark.slow
def test_a_sweep_outlives_a_failing_job(run_py, tiny, tmp_path):
    sizes = [word for word in tiny("linear") if word.startswith("data.")]
    words = [
        "trainer=fast",
        "trainer.max_steps=40",
        "trainer.val_every=2",
        "trainer.patience=2",
        "optimizer.weight_decay=0",
        "logger=csv",
    ]
    done = run_py(
        *("-m", "model=linear", "schedule.warmup=1", "optimizer.lr=0,1e-30", f"hydra.sweep.dir={tmp_path / 'sweep'}"),
        *sizes,
        *words,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: optimizer.lr=0: input should be greater than 0"]
    assert done.stderr.splitlines()[-1] == "sweep: 1 of 2 jobs did not finish; the same command runs these again"
    assert "Traceback" not in done.stderr
    (summary,) = (tmp_path / "sweep").rglob("summary.json")
    content = json.loads(summary.read_text(encoding="utf-8"))
    assert (content["stopped"], content["steps"]) == ("early", 6)
    assert "optimizer.lr=1e-30" in str(summary.parent.relative_to(tmp_path))


def test_help_fits_a_screen(run_py):
    done = run_py("--help")
    assert done.returncode == 0
    lines = done.stdout.strip().splitlines()
    assert 10 < len(lines) <= 45
    groups = ("ablation", "model", "data", "pair", "size", "variant", "experiment")
    choices = [line for line in lines if line.startswith(tuple(f"{group}: " for group in groups))]
    assert len(choices) == len(groups)
    assert max(len(line) for line in lines if line not in choices) <= 120
    for word in ("transformer", "lstm", "linear", "L5", "adamw", "max_steps", "hydra.run.dir", "--cfg job"):
        assert word in done.stdout


def test_help_is_what_hydra_makes_of_it(run_py):
    """With the name of a configuration Hydra writes it: the same groups and choices, in the same order."""
    ours = run_py("--help").stdout
    assert ours == run_py("-h").stdout == run_py("model=lstm", "--help").stdout
    assert ours == run_py("--help", "--config-name", "config").stdout


def test_help_does_not_load_torch(python, root):
    code = f"""
import sys, runpy
sys.argv = ["run.py", "--help"]
try:
    runpy.run_path({str(root / "run.py")!r}, run_name="__main__")
except SystemExit:
    pass
print("loaded:", sorted({{"torch", "lightning", "matplotlib"}} & set(sys.modules)))
"""
    done = python("-c", code)
    assert "Choices" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def test_the_shell_completes_choices_and_keys(root, environment):
    for typed, expected in (("model=trans", "model=transformer"), ("trainer.max_", "trainer.max_steps=")):
        done = subprocess.run(
            [sys.executable, str(root / "run.py"), "-sc", "query=bash"],
            env=environment | {"COMP_LINE": f"run.py {typed}"},
            capture_output=True,
            text=True,
            timeout=60,
            encoding="utf-8",
        )
        assert done.stdout.split() == [expected], done.stderr


def test_the_command_sets_its_threads_to_sleep_unless_told_otherwise(root, environment):
    code = f"import sys, os; sys.path.insert(0, {str(root)!r}); import run; print(os.environ['OMP_WAIT_POLICY'])"
    clean = {name: value for name, value in environment.items() if name != "OMP_WAIT_POLICY"}
    for extra, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean | extra,
            capture_output=True,
            text=True,
            timeout=60,
            encoding="utf-8",
        )
        assert done.stdout.strip() == expected, done.stderr


def test_a_reader_that_has_read_enough_ends_a_command_without_a_word(root, environment, finished_run):
    command = [sys.executable, "-m", "seqlab.report", str(finished_run[0]), "--format", "csv"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root, env=environment)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGPIPE
