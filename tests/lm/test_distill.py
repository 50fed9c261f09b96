"""Distillation: its loss, the teacher that stays outside, and what is refused; and the presets around it."""

import json
import shutil

import pytest
import torch
from torch.nn.functional import cross_entropy

from lm.distill import Distillation, soft_loss
from seqlab.errors import InputError
from seqlab.model import num_parameters
from seqlab.run.build import build, load_run
from tests.conftest import ROOT, tiny_sizes

SIZES = [*tiny_sizes("lstm", "text"), "model.layer_dropout=0", "trainer.accelerator=cpu"]
QUICK = ["trainer.max_steps=4", "trainer.min_steps=0", "trainer.val_every=2", "trainer.log_every=2"]


@pytest.fixture
def student(compose, tmp_path):
    """(teacher's directory, further words) -> the run of an untrained student."""

    def made(teacher, *words):
        words = [*words, f"task.teacher={teacher}", f"data.cache_dir={tmp_path}"]
        return build(compose("experiment=lm_distill", *SIZES, *words, full=True))

    return made


def test_the_soft_loss_is_the_formula():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    for temperature in (1.0, 3.0):
        p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
        plain = temperature**2 * (p * (p / q).log()).sum(1).mean()
        torch.testing.assert_close(soft_loss(student, teacher, temperature), plain)
    assert soft_loss(teacher, teacher, 2.0).abs() < 1e-6


def test_the_loss_weighs_text_and_teacher(student, text_runs):
    batch = torch.randint(300, (4, 17))
    losses = {}
    for weight in (0.0, 0.25, 1.0):
        run = student(text_runs["transformer"], f"task.weight={weight}")
        losses[weight] = run.task.loss(run.model.eval(), batch)
    logits = run.model(batch[:, :-1])
    plain = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    torch.testing.assert_close(losses[0.0], plain)
    with torch.no_grad():
        expected = load_run(text_runs["transformer"]).model(batch[:, :-1])
    torch.testing.assert_close(losses[1.0], soft_loss(logits.flatten(0, 1), expected.flatten(0, 1), 2.0))
    torch.testing.assert_close(losses[0.25], 0.75 * losses[0.0] + 0.25 * losses[1.0])


def test_the_teacher_stays_as_it_is_and_outside(student, text_runs):
    run = student(text_runs["transformer"])
    module, task = run.module, run.task
    names, number = set(module.state_dict()), num_parameters(module)
    before = {name: weight.clone() for name, weight in task.teacher.state_dict().items()}
    module.train()
    optimizer = module.make_optimizer(run.model)
    task.loss(run.model, torch.randint(300, (4, 17))).backward()
    optimizer.step()
    assert set(module.state_dict()) == names and num_parameters(module) == number
    assert not task.teacher.training
    assert all(weight.grad is None for weight in task.teacher.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in task.teacher.state_dict().items())


def test_a_taught_run_needs_no_teacher_afterwards(command, text_runs, tmp_path):
    shutil.copytree(text_runs["transformer"], tmp_path / "teacher")
    words = [*SIZES, *QUICK, "hydra.run.dir=taught", "task.teacher=teacher"]
    done = command(ROOT / "run.py", "experiment=lm_distill", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "teacher")
    run = load_run(tmp_path / "taught")
    assert isinstance(run.task, Distillation)
    assert json.loads((tmp_path / "taught" / "summary.json").read_text(encoding="utf-8"))["model"] == "lstm_distilled"
    assert "sample" in run.task.describe(run.model, run.task.parse_prompt("MENENIUS:"))


def test_another_teacher_is_refused_on_resume(command, text_runs, tmp_path):
    shutil.copytree(text_runs["transformer"], tmp_path / "teacher")
    words = [*SIZES, *QUICK, "hydra.run.dir=taught", "task.teacher=teacher"]
    assert command(ROOT / "run.py", "experiment=lm_distill", *words, cwd=tmp_path).returncode == 0
    best = tmp_path / "teacher" / "checkpoints" / "best.ckpt"
    shutil.copy(best.with_name("last.ckpt"), best)
    done = command(ROOT / "run.py", "resume=taught", "trainer.max_steps=6", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert (
        "/taught cannot be resumed: these are not the data of the run: teacher/checkpoints/best.ckpt was" in done.stderr
    )
    best.unlink()
    done = command(ROOT / "run.py", "resume=taught", "trainer.max_steps=6", cwd=tmp_path)
    assert done.returncode == 2 and "teacher/checkpoints/best.ckpt cannot be read: No such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "task.teacher is missing: give the run directory"),
        (["task.teacher=gone"], "gone: no such run directory"),
        (["task.teacher=gone", "task.weight=2"], "task.weight=2"),
        (["task.teacher=gone", "task.temperature=0"], "task.temperature=0"),
    ],
)
def test_a_bad_teacher_is_one_line_and_leaves_nothing(command, tmp_path, words, message):
    done = command(
        ROOT / "run.py", "experiment=lm_distill", *SIZES, *QUICK, "hydra.run.dir=taught", *words, cwd=tmp_path
    )
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "taught").exists()


def test_a_teacher_with_another_tokenizer_is_refused(student, text_runs):
    task = student(text_runs["transformer"], "data.vocabulary_size=290").task
    with pytest.raises(InputError, match="has another tokenizer than the student"):
        task.prepare()
    path = text_runs["transformer"] / "tokenizer.json"
    student(text_runs["transformer"], "data.vocabulary_size=290", f"data.tokenizer_path={path}").task.prepare()


def test_a_teacher_on_other_data_is_refused(student, finished_run):
    with pytest.raises(InputError, match="is not a run on text"):
        student(finished_run[0]).task.prepare()


@pytest.mark.slow
def test_the_search_preset_gives_each_setting_a_row(command, tmp_path):
    words = [*SIZES, *QUICK, "hydra.sweep.dir=search", "optimizer.lr=1e-3,1e-2"]
    done = command(ROOT / "run.py", "-m", "experiment=lm_search", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {
        json.loads(path.read_text(encoding="utf-8"))["model"] for path in (tmp_path / "search").rglob("summary.json")
    }
    assert len(names) == 4
    assert all(name.startswith("lstm ") and "optimizer.lr=" in name and "model.dropout=" in name for name in names)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_training_in_bfloat16(command, tmp_path, model):
    words = [*tiny_sizes(model, "text"), *QUICK, "data=text", f"model={model}", "trainer.accelerator=cpu"]
    done = command(ROOT / "run.py", *words, "trainer.precision=bf16-mixed", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    perplexity = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))["metrics"][
        "test/perplexity"
    ]
    assert 1 < perplexity < 400  # of 300 tokens
    weights = load_run(tmp_path / "run").model.parameters()
    assert all(weight.dtype == torch.float32 for weight in weights)
