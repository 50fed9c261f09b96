"""A run directory in use: loading it, completing prompts with it, and refusing what is no run or not to be trusted."""

import json
import shutil
from copy import deepcopy

import pytest
import torch

import seqlab
from rule_extrapolation.metrics import token_loss
from seqlab.errors import InputError
from seqlab.lit.checkpoints import load_checkpoint, version
from seqlab.predict import main as predict
from seqlab.run.build import build


@pytest.fixture(scope="module")
def run_dir(finished_run):
    return finished_run[0]


@pytest.fixture(scope="module")
def summary(run_dir):
    return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def completions(run_dir):
    return [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def plain(value):
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or type(value) in (bool, int, float, str, torch.Tensor)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt", "last-1.ckpt"])
def test_checkpoints_hold_plain_types(run_dir, name):
    content = torch.load(run_dir / "checkpoints" / name, weights_only=True)
    assert {"state_dict", "optimizer_states", "callbacks", "config", "global_step"} <= content.keys()
    assert plain(content)
    assert content["config"]["model"]["d_model"] == 16


def test_load_run_is_ready_and_has_the_summary_s_loss(run_dir, summary, tmp_path):
    copy = shutil.copytree(run_dir / "checkpoints", tmp_path / "elsewhere" / "checkpoints")  # the directory may move
    run = seqlab.load_run(copy.parent)
    assert not any(module.training for module in run.model.modules())
    assert run.config["name"] == {"model": "transformer", "data": "L5"}
    strings = run.datamodule.evaluation_set("test")
    with torch.inference_mode():
        loss, accuracy, _ = token_loss(run.model(strings[:, :-1]), strings[:, 1:])
    assert loss.item() == pytest.approx(summary["metrics"]["test/loss"], rel=1e-5)
    assert float(accuracy) == pytest.approx(summary["metrics"]["test/accuracy"], rel=1e-5)


def test_what_a_gpu_trained_is_read_on_a_cpu(run_dir, compose, tmp_path):
    """`backend` says what computed it, not what it is: the kernels of another device give way to those of `auto`."""
    content = load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    config = content["config"] | {"model": compose("model=mamba", "model.backend=torch")["model"]}
    run = build(config)
    torch.save(content | {"config": config, "state_dict": run.module.state_dict()}, tmp_path / "mamba.ckpt")
    tokens = torch.randint(3, (2, 9))
    expected = seqlab.load_run(tmp_path / "mamba.ckpt").model(tokens)
    config["model"]["backend"] = "cuda"
    torch.save(content | {"config": config, "state_dict": run.module.state_dict()}, tmp_path / "mamba.ckpt")
    run = seqlab.load_run(tmp_path / "mamba.ckpt")
    torch.testing.assert_close(run.model(tokens), expected)
    assert run.config["model"]["backend"] == "cuda"  # what it was trained with


def test_load_run_takes_another_checkpoint_or_a_file(run_dir):
    best, last = seqlab.load_run(run_dir), seqlab.load_run(run_dir, "last-1.ckpt")
    file = seqlab.load_run(run_dir / "checkpoints" / "last-1.ckpt")
    weights = [torch.cat([p.flatten() for p in run.model.parameters()]) for run in (best, last, file)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_loading_twice_gives_the_same(run_dir, completions):
    torch.manual_seed(3)
    for _ in range(2):
        run = seqlab.load_run(run_dir)
        assert run.task.examples(run.model) == completions


def test_predict_completes_and_scores(run_dir, capsys):
    assert predict([str(run_dir), "( [ ] [ ]"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.split() == ["prompt", "([][]"]
    assert [line[:10].strip() for line in lines] == ["completion", "rule 1", "rule 2", "completion", "in the lan"]


def test_predict_says_what_the_run_wrote(run_dir, completions, capsys):
    record = completions[0]
    assert predict([str(run_dir), record["prompt"]]) == 0
    out = capsys.readouterr().out
    assert f"completion  {record['completion'] or '(ends at once)'}" in out
    assert f"in the language: {'yes' if record['grammatical'] else 'no'}" in out


@pytest.fixture
def copied(run_dir, tmp_path):
    """A run directory that a test may spoil."""
    return shutil.copytree(run_dir, tmp_path / "copy")


def one_line(arguments, capsys):
    assert predict([str(word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def test_predict_refuses_bad_symbols_and_long_prompts(run_dir, capsys):
    assert "'x' is not a symbol" in one_line([run_dir, "( x"], capsys)
    assert "at most 16" in one_line([run_dir, "[]" * 9], capsys)


def test_predict_refuses_what_is_no_run(copied, tmp_path, capsys):
    assert "no such run directory" in one_line([tmp_path / "none", "("], capsys)
    assert "no checkpoint at" in one_line([tmp_path, "("], capsys)
    assert "no checkpoint at" in one_line([copied, "(", "--checkpoint", "first.ckpt"], capsys)
    best = copied / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:2000])
    assert "cannot read the checkpoint" in one_line([copied, "("], capsys)
    best.write_bytes(b"")
    assert "cannot read the checkpoint" in one_line([copied, "("], capsys)


FOREIGN = [{"state_dict": {}, "epoch": 3}, torch.zeros(3), [1], {"config": "x"}, {"config": {}}]


@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_checkpoints_are_told_apart(copied, content, capsys):
    torch.save(content, copied / "checkpoints" / "best.ckpt")
    assert "is not a checkpoint of SeqLab" in one_line([copied, "("], capsys)


def spoil(copied, change):
    """Change the content of best.ckpt in place."""
    file = copied / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)


def test_a_checkpoint_cannot_name_foreign_code(copied, tmp_path, capsys):
    node = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    spoil(copied, lambda content: content["config"]["data"].update(grammar=node))
    with pytest.raises(InputError, match=r"os\.mkdir is not allowed"):
        seqlab.load_run(copied)
    assert "os.mkdir is not allowed" in one_line([copied, "("], capsys)
    assert not (tmp_path / "made").exists()


def test_weights_that_do_not_fit_are_told(copied, capsys):
    spoil(copied, lambda content: content["config"]["model"].update(d_model=8))
    assert "does not fit its configuration" in one_line([copied, "("], capsys)


def test_a_checkpoint_without_parts_of_its_configuration_is_told(copied, capsys):
    spoil(copied, lambda content: content["config"].pop("data"))
    assert "data: missing" in one_line([copied, "("], capsys)


def test_a_checkpoint_that_does_not_fit_says_which_version_wrote_it(finished_run, tmp_path):
    content = load_checkpoint(finished_run[0] / "checkpoints" / "best.ckpt")
    mine = content["version"]
    said = f"written by SeqLab 9.8.7; this is {mine}"
    for change in ("a key", "a weight"):
        other = deepcopy(content)
        if change == "a key":
            other["config"]["model"]["depth"] = 3
        else:
            other["state_dict"].popitem()
        for wrote in (mine, "9.8.7"):
            other["version"] = wrote
            torch.save(other, tmp_path / "other.ckpt")
            with pytest.raises(InputError) as caught:
                seqlab.load_run(tmp_path / "other.ckpt")
            assert str(caught.value).startswith(f"{tmp_path / 'other.ckpt'}")
            assert (said in str(caught.value)) == (wrote != mine)


@pytest.mark.parametrize("wrote", ["0.1.0", "0.1.7", None])
def test_a_run_from_before_0_2_is_refused_in_one_line(finished_run, command, root, tmp_path, wrote):
    run = tmp_path / "run"
    shutil.copytree(finished_run[0], run)
    for file in (run / "checkpoints").iterdir():
        content = load_checkpoint(file) | {"version": wrote}
        content["config"]["task"]["_target_"] = "rule_extrapolation.module.RuleExtrapolation"
        if wrote is None:
            del content["version"]
        torch.save(content, file)
    named = (
        f"was written by SeqLab {wrote or 'before 0.1.0'}, and this is {version()}: runs from before "
        "0.2 cannot be loaded"
    )
    for words in (["-m", "seqlab.predict", run, "("], [root / "run.py", f"resume={run}"]):
        done = command(*words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and named in done.stderr, done.stderr


def test_a_checkpoint_of_another_version_that_fits_is_loaded(finished_run, tmp_path):
    content = load_checkpoint(finished_run[0] / "checkpoints" / "best.ckpt")
    torch.save(content | {"version": "9.8.7"}, tmp_path / "other.ckpt")
    assert seqlab.load_run(tmp_path / "other.ckpt").config == content["config"]


@pytest.mark.parametrize("prompt", ["( \udcff", "\udcc3("])
def test_predict_refuses_bytes_that_are_no_text(run_dir, capsys, prompt):
    assert predict([str(run_dir), prompt]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line.endswith(" is not UTF-8\n") and hex(ord(max(prompt)) - 0xDC00) in line
