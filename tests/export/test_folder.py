"""Exports: what they load to, what they cost, what does not fit together, and the command."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

from seqlab.errors import InputError
from seqlab.export.__main__ import export, main
from seqlab.export.folder import distinct, load_export, memory_of, save_export
from seqlab.export.onnx import example_inputs, write_onnx
from seqlab.export.quantize import Int8Linear, Int8LSTM, quantize
from seqlab.run.build import load_run
from tests.small_models import small_model, token_spec

MODELS = ["lstm", "transformer"]
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime",
)


def logits(run, steps=12):
    with torch.inference_mode():
        return run.model(example_inputs(run.datamodule.spec, 3, steps))


@pytest.fixture(scope="module", params=MODELS)
def run(text_runs, request):
    return load_run(text_runs[request.param])


def test_safetensors_load_to_the_same_logits(run, tmp_path):
    save_export(run, tmp_path, "safetensors")
    again = load_export(tmp_path)
    assert torch.equal(logits(again), logits(run))
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == run.config
    prompt = run.task.parse_prompt("MENENIUS:")
    assert again.task.describe(again.model, prompt) == run.task.describe(run.model, prompt)
    files = {"model.safetensors", "config.json", "data.json", "tokenizer.json"}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_bfloat16_takes_half(run, tmp_path):
    whole = save_export(run, tmp_path / "whole", "safetensors").stat().st_size
    half = save_export(run, tmp_path / "half", "bf16").stat().st_size
    assert half < 0.65 * whole  # names and shapes take the same
    again = load_export(tmp_path / "half")
    for name, weight in distinct(run.model).items():
        assert torch.equal(distinct(again.model)[name], weight.bfloat16().float())
    assert not torch.equal(logits(again), logits(run))
    torch.testing.assert_close(logits(again), logits(run), rtol=0.05, atol=0.05)


def test_int8_is_close_and_smaller(run, tmp_path):
    file = save_export(run, tmp_path / "int8", "int8")
    assert file.stat().st_size < 0.75 * save_export(run, tmp_path / "whole", "safetensors").stat().st_size
    again = load_export(tmp_path / "int8")
    assert any(isinstance(layer, Int8Linear) for layer in again.model.modules())
    assert memory_of(again.model) < 0.75 * memory_of(run.model)
    difference = logits(again) - logits(run)
    assert 0 < difference.square().mean() < 0.001 * logits(run).var()


def test_an_int8_layer_rounds_each_channel_by_its_own_scale():
    torch.manual_seed(0)
    layer = torch.nn.Linear(40, 3)
    with torch.no_grad():
        layer.weight *= torch.tensor([[1.0], [100.0], [0.0]])
    small = quantize(torch.nn.Sequential(layer))[0]
    error = (small.weight - layer.weight).abs().amax(1)
    assert (error <= layer.weight.abs().amax(1) / 254 * 1.0001).all() and error[0] > 0
    state = small.state_dict()
    assert state["weight"].dtype == torch.int8 and state["weight"].abs().max() == 127
    assert torch.equal(state["bias"], layer.bias)


def test_int8_weights_go_through_a_state_dict_unchanged():
    """torch's Module asks the layers for their tensors, and hands them back."""
    state = {
        "0.weight": torch.arange(-127, 128, dtype=torch.int8).view(5, 51),
        "0.weight_scale": torch.tensor([1e-38, 1e-6, 0.01, 1.0, 100.0]),
        "0.bias": torch.arange(5.0),
    }
    model = quantize(torch.nn.Sequential(torch.nn.Linear(51, 5)))
    model.load_state_dict(state)
    again = model.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight_scale"):
        model.load_state_dict({name: value for name, value in state.items() if name != "0.weight_scale"})


def test_an_int8_lstm_is_an_lstm():
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(20, 24, 2, batch_first=True)
    small = quantize(torch.nn.Sequential(lstm))[0]
    assert isinstance(small, Int8LSTM)
    x, state = torch.randn(5, 9, 20), (torch.randn(2, 5, 24), torch.randn(2, 5, 24))
    for expected, found in zip(lstm(x, state), small(x, state), strict=True):
        torch.testing.assert_close(torch.cat(tuple(found)), torch.cat(tuple(expected)), rtol=0, atol=0.03)
    torch.testing.assert_close(small(x)[0], lstm(x)[0], rtol=0, atol=0.03)


@pytest.mark.parametrize("name", ["transformer", "lstm", "mamba", "mamba2", "deltanet", "xlstm"])
def test_int8_of_every_model_steps_as_it_reads(name):
    """Nearly: a range is taken over all that is read at once. These weights are tiny, untrained and sensitive."""
    model = quantize(small_model(name, token_spec()).eval())
    inputs = example_inputs(model.spec, 2, 8)
    with torch.inference_mode():
        whole, state = model(inputs), model.init_state(2)
        for t in range(8):
            step, state = model.step(inputs[:, t], state)
            assert (step - whole[:, t]).square().mean() < 0.1 * whole.var()


def test_a_model_without_matrices_is_refused():
    with pytest.raises(ValueError, match="there is nothing to quantise"):
        quantize(torch.nn.Sequential(torch.nn.Embedding(4, 4)))


def spoil(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def other_width(text):
    config = json.loads(text)
    config["model"]["d_model"] *= 2
    return json.dumps(config)


def other_tokenizer(text):
    """The same vocabulary size, another meaning."""
    config = json.loads(text)
    tokenizer = json.loads(config["fitted"]["tokenizer"])
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    config["fitted"]["tokenizer"] = json.dumps(tokenizer)
    return json.dumps(config)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tokenizer.json", lambda text: text + " ", "tokenizer.json does not fit model.safetensors"),
        ("data.json", other_tokenizer, "data.json does not fit model.safetensors"),
        ("data.json", lambda text: "{}", "data.json does not say what was fitted"),
        (
            "data.json",
            lambda text: '{"fitted": {"tokenizer": 1}, "data_files": {}}',
            "fitted.tokenizer: input should be",
        ),
        ("data.json", lambda text: '{"fitted": ' * 100_000, "data.json is not JSON"),
        ("config.json", other_width, r"does not fit config.json: \S+ is \(.*\), and should be \(.*\)"),
        ("config.json", lambda text: text[:50], "config.json is not JSON"),
        ("config.json", lambda text: "[]", "config.json is not part of an export"),
        ("config.json", lambda text: text.replace("seqlab.models", "os.path"), "is not allowed"),
    ],
)
def test_what_does_not_fit_is_refused(text_runs, tmp_path, name, change, message):
    save_export(load_run(text_runs["transformer"]), tmp_path, "safetensors")
    spoil(tmp_path, name, change)
    with pytest.raises(InputError, match=message):
        load_export(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "data.json", "tokenizer.json"])
def test_a_missing_file_is_named(text_runs, tmp_path, name):
    save_export(load_run(text_runs["lstm"]), tmp_path, "int8")
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{re.escape(name)}: no such file"):
        load_export(tmp_path)


def test_a_damaged_file_is_refused(text_runs, tmp_path):
    file = save_export(load_run(text_runs["lstm"]), tmp_path, "bf16")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cannot read .*model\.safetensors"):
        load_export(tmp_path)


def test_the_command_gives_one_table(text_runs, capsys):
    runs = [str(text_runs[model]) for model in MODELS]
    assert main([*runs, "--format", "safetensors", "int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("| perplexity | bits per character | bits per byte |")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[:2] for row in cells] == [
        [run, format] for run in runs for format in ("checkpoint", "safetensors", "int8")
    ]
    for row in cells:
        summary = json.loads((Path(row[0]) / "summary.json").read_text(encoding="utf-8"))
        value, _, change = row[-1].partition(" ")
        before = summary["metrics"]["test/bits_per_byte"]
        assert float(value) == pytest.approx(before + float(change.strip("()")), abs=2e-4)
        if row[1] != "int8":
            assert change == "(+0.0000)"
        else:
            assert float(row[2]) < float(cells[1][2])
    assert (text_runs["lstm"] / "export" / "int8" / "model.safetensors").is_file()


def test_a_run_on_a_grammar_exports_too(finished_run, tmp_path):
    table, _ = export([str(finished_run[0])], ["bf16"], tmp_path)
    assert table is not None and [str(row[1]) for row in table.rows[0]] == ["checkpoint", "bf16"]
    assert {path.name for path in (tmp_path / "bf16").iterdir()} == {"model.safetensors", "config.json", "data.json"}
    run = load_export(tmp_path / "bf16")
    assert run.task.describe(run.model, run.task.parse_prompt("( ["))


def test_a_format_that_fails_hides_no_other(finished_run, tmp_path, capsys):
    (tmp_path / "bf16").write_text("in the way", encoding="utf-8")
    run = str(finished_run[0])
    assert main([run, "--format", "bf16", "safetensors", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert [line.split(" | ")[1] for line in told.out.splitlines()[2:]] == ["checkpoint", "safetensors"]
    assert told.err == f"error: {tmp_path / 'bf16'}: File exists\n"
    assert load_export(tmp_path / "safetensors").config["seed"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "--format", "int4"], "--format int4: no such format; did you mean int8"),
        (["RUN", "RUN", "--format", "int8", "--out", "x"], "--out x is for one run, not 2"),
        (["gone", "--format", "int8"], "gone: no run directory"),
        (["RUN", "--format", "int8", "--checkpoint", "gone.ckpt"], "no checkpoint at"),
    ],
)
def test_the_command_refuses(text_runs, capsys, words, message):
    assert main([word.replace("RUN", str(text_runs["lstm"])) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_missing_extra_is_one_line(text_runs, tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    assert main([str(text_runs["lstm"]), "--format", "onnx", "--out", str(tmp_path)]) == 2
    assert "ONNX needs the package onnxscript: pip install 'seqlab[onnx]'" in capsys.readouterr().err.replace(
        "onnx:", ""
    )
    assert not list(tmp_path.rglob("model.onnx"))


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_same_logits_for_any_batch_and_length(text_runs, tmp_path, name):
    import onnxruntime

    run = load_run(text_runs[name])
    table, _ = export([str(text_runs[name])], ["onnx"], tmp_path)
    assert table is not None and [str(row[1]) for row in table.rows[0]] == ["checkpoint", "onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    for batch, steps in ((1, 1), (2, 16), (5, 9)):
        inputs = example_inputs(run.datamodule.spec, batch, steps)
        with torch.inference_mode():
            expected = run.model(inputs)
        (found,) = session.run(None, {"inputs": inputs.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="holds an ONNX graph"):
        load_export(tmp_path / "onnx")


@needs_onnx
def test_a_model_that_onnx_cannot_hold_is_one_line(tmp_path):
    class Branches(torch.nn.Module):
        def forward(self, inputs):
            return inputs if inputs.sum() > 7 else -inputs

    with pytest.raises(InputError, match="Branches cannot be exported to ONNX: ") as refused:
        write_onnx(Branches(), token_spec(), tmp_path / "model.onnx")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
