"""A run with model=hf: trained, asked, resumed, loaded without unpickling; and one that reads everything again."""

import json

import pytest
import torch

from seqlab.errors import InputError
from seqlab.run.build import load_run

NOTE = "each step of decoding reads everything before it again"
QUICK = ["trainer.max_steps=4", "trainer.min_steps=0", "trainer.val_every=2", "trainer.accelerator=cpu", "logger=csv"]


@pytest.fixture(scope="module")
def run(command, root, tiny, tmp_path_factory):
    """A run of a type that keeps a state: (directory, what the command printed)."""
    folder = tmp_path_factory.mktemp("hf")
    words = [
        *tiny("hf"),
        *QUICK,
        "model=hf",
        "model.type=qwen3",
        "model.config={num_key_value_heads: 1, rms_norm_eps: 1e-5}",
    ]
    done = command(root / "run.py", *words, "model.dropout=0.1", "hydra.run.dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout


def test_it_ends_with_its_table_and_without_a_note(run):
    directory, output = run
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    assert summary["model"] == "hf" and summary["missing"] == {}
    assert not any(NOTE in note for note in summary["notes"])
    assert "rule_1" in output and NOTE not in output


def test_its_checkpoint_holds_tensors_and_plain_types(run):
    directory, _ = run
    content = torch.load(directory / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["config"]["model"]["type"] == "qwen3"
    loaded = load_run(directory)
    config = loaded.model.net.config
    assert (config.attention_dropout, config.num_key_value_heads, config.rms_norm_eps) == (0.1, 1, 1e-5)
    assert all(name.startswith("model.") for name in content["state_dict"])
    assert "completion" in loaded.task.describe(loaded.model, loaded.task.parse_prompt("( [ ]"))


def test_a_hostile_checkpoint_is_refused(run, tmp_path):
    content = torch.load(run[0] / "checkpoints" / "best.ckpt", weights_only=True)
    content["config"]["model"]["config"] = {"auto_map": {"AutoModelForCausalLM": "somebody/code--modeling.Model"}}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(InputError, match=r"model\.config\.auto_map: not allowed"):
        load_run(tmp_path / "bad.ckpt")


def test_it_resumes(run, command, root):
    directory, _ = run
    done = command(root / "run.py", f"resume={directory}", "trainer.max_steps=6")
    assert done.returncode == 0, done.stderr
    assert "resumed from last.ckpt at step 4" in done.stdout


def test_a_type_whose_cache_is_wrong_says_that_it_reads_again(command, root, tiny, tmp_path):
    words = [*tiny("hf"), *QUICK, "model=hf", "model.type=rwkv", "model.num_layers=2", "hydra.run.dir=run"]
    done = command(root / "run.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert NOTE in " ".join(done.stdout.split())
    log = (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert "model.type=rwkv: each step reads all inputs again, because " in log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.type=lama"], "error: model.type=lama: transformers"),
        (["model.config={auto_map: x}"], "error: model.config.auto_map: not allowed"),
        (["eval.max_length=64"], "error: model.type=gpt2 reads up to 33 steps, not 65"),
    ],
)
def test_bad_input_is_one_line(command, root, tmp_path, words, message):
    done = command(root / "run.py", "model=hf", *words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("*.ckpt"))
