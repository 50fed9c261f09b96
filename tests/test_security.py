"""Files from a stranger: each is refused in one line, and nothing that it asks for happens (docs/security.md)."""

import base64
import json
import os
import shutil
import struct
import sys

import pytest
import torch
import yaml

import seqlab
from seqlab.errors import InputError
from seqlab.export.folder import load_export, save_export
from seqlab.predict import main as predict
from seqlab.report.__main__ import main as report


@pytest.fixture
def run_dir(finished_run, tmp_path):
    """A copy of a finished run, to be spoilt."""
    return shutil.copytree(finished_run[0], tmp_path / "run")


@pytest.fixture
def mark(tmp_path):
    """A file that hostile content would make."""
    return tmp_path / "mark"


@pytest.fixture
def stranger_module(tmp_path, mark, monkeypatch):
    """The name of a module on the path that makes the mark when it is imported."""
    (tmp_path / "stranger.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "stranger"


def spoil(run_dir, change, name="best.ckpt"):
    """Change the content of a checkpoint in place."""
    file = run_dir / "checkpoints" / name
    content = torch.load(file, weights_only=True)
    change(content)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(30_000)  # torch's pickler needs more for deep nesting than what a stranger writes by hand
    torch.save(content, file)
    sys.setrecursionlimit(limit)


def call(mark):
    """A node that would run a command, by functions of this project."""
    words = {"_target_": "seqlab.run.sweep_overrides.with_sweep_names", "overrides": ["touch", str(mark)]}
    return {"_target_": "seqlab.run.launch.waited_for", "command": words}


def set_data(content, mark):
    content["config"]["data"] = call(mark)


def set_grammar(content, mark):
    content["config"]["data"]["grammar"] = call(mark)


def set_logger(content, mark):
    content["config"]["logger"] = {"x": call(mark)}


def set_extra(content, mark):
    content["config"]["eval"] = {"x": call(mark)}


def set_list(content, mark):
    content["config"]["optimizer"]["betas"] = [0.9, call(mark)]


def set_interpolation(content, mark):
    """OmegaConf would make a node of this text, after all checks."""
    node = f"${{oc.create:{{_target_:os.mkdir,path:{str(mark)!r}}}}}"
    content["config"]["data"]["grammar"] = node


def set_positional(content, mark):
    content["config"]["data"]["grammar"]["_args_"] = [call(mark)]


def set_later(content, mark):
    content["config"]["data"]["grammar"]["_partial_"] = True


def set_other_kind(content, mark):
    content["config"]["model"] = {"_target_": "seqlab.schedule.ConstantRate"}


def set_task_as_model(content, mark):
    content["config"]["model"] = {"_target_": "lm.distill.Distillation", "teacher": str(mark)}


def set_abstract(content, mark):
    content["config"]["data"]["grammar"] = {"_target_": "rule_extrapolation.grammars.Grammar"}


def set_foreign(content, mark):
    content["config"]["model"] = {"_target_": "os.mkdir", "path": str(mark)}


def set_huge(content, mark):
    content["config"]["model"]["ff_dim"] = 10**12


def set_large(content, mark):
    """More memory than the file warrants, and than many machines have."""
    content["config"]["model"]["ff_dim"] = 10**8


def set_expanded(content, mark):
    """Large tensors that take no room in the file."""
    for name, tensor in content["state_dict"].items():
        if "ff" in name or tensor.dim() == 2:
            content["state_dict"][name] = torch.zeros(1).expand(10**6, 10**6)


def set_deep(content, mark):
    node = "bottom"
    for _ in range(700):
        node = {"deeper": [node]}
    content["config"]["model"]["d_model"] = node


def set_tensor(content, mark):
    content["config"]["seed"] = torch.tensor([1, 2])


def set_no_tensor(content, mark):
    content["state_dict"][next(iter(content["state_dict"]))] = "weights"


def set_number_as_key(content, mark):
    content["config"]["model"][3] = 4


HOSTILE = [change for name, change in sorted(globals().items()) if name.startswith("set_")]


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_hostile_checkpoints_are_refused_and_do_nothing(run_dir, mark, change, capsys):
    spoil(run_dir, lambda content: change(content, mark))
    with pytest.raises(InputError):
        seqlab.load_run(run_dir)
    assert predict([str(run_dir), "("]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1 and "weights_only" not in shown
    assert not mark.exists()


def test_a_stranger_s_module_is_not_imported(run_dir, mark, stranger_module):
    spoil(run_dir, lambda content: content["config"].update(model={"_target_": f"{stranger_module}.Model"}))
    with pytest.raises(InputError, match="is not allowed"):
        seqlab.load_run(run_dir)
    assert not mark.exists() and stranger_module not in sys.modules


class Touch:
    """What an unpickler would do with this is to make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_unpickled(run_dir, mark, capsys):
    torch.save({"config": {}, "state_dict": {}, "x": Touch(mark)}, run_dir / "checkpoints" / "best.ckpt")
    assert predict([str(run_dir), "("]) == 2
    assert "cannot read the checkpoint" in capsys.readouterr().err
    assert not mark.exists()


WORDS = {
    "adds a callback": ["+hydra.callbacks.x._target_=os.mkdir", "+hydra.callbacks.x.path=MARK"],
    "forces a callback": ["++hydra.callbacks.x._target_=os.mkdir", "++hydra.callbacks.x.path=MARK"],
    "changes a callback": ["hydra.callbacks.sweep_folder._target_=os.mkdir"],
    "takes a callback away": ["~hydra.callbacks.sweep_folder"],
    "another launcher": ["hydra/launcher=joblib"],
    "a group in Hydra's node": ["model@hydra.callbacks.x=lstm"],
    "another folder of configurations": ["--config-dir=RUN"],
    "a search path": ["hydra.searchpath=[file://RUN]"],
    "a sweep": ["seed=1,2"],
    "a new key": ["+data.further=1"],
    "a file of the run": ["experiment=../../../../../../../..RUN/evil"],
    "a file by interpolation": ["experiment=${oc.env:PWD}/evil"],
    "no words": [3],
    "no list": {"seed": 1},
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_hostile_words_of_a_run_directory_are_refused(finished_run, run_dir, mark, words, command):
    (run_dir / "evil.yaml").write_text(
        f"# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.mkdir\n      path: {mark}\n",
        encoding="utf-8",
    )
    if isinstance(words, list) and isinstance(words[0], str):
        words = [word.replace("RUN", str(run_dir)).replace("MARK", str(mark)) for word in words]
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    before = sorted(run_dir.rglob("*"))
    done = command(finished_run[2].args[1], f"resume={run_dir}", cwd=run_dir)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not mark.exists() and sorted(run_dir.rglob("*")) == before


def test_a_new_key_is_taken_when_the_user_says_it_again(finished_run, run_dir, command):
    words = yaml.safe_load((run_dir / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*words, "++seed=1"]), encoding="utf-8")
    refused = command(finished_run[2].args[1], f"resume={run_dir}")
    assert refused.returncode == 2 and "++seed=1 adds a key" in refused.stderr
    done = command(finished_run[2].args[1], f"resume={run_dir}", "++seed=1")
    assert done.returncode == 0 and "nothing to resume" in done.stdout


@pytest.mark.parametrize("name", ["overrides.yaml", "config.yaml"])
def test_tags_of_yaml_construct_nothing(finished_run, run_dir, mark, name, command):
    (run_dir / ".hydra" / name).write_text(f"- !!python/object/apply:os.mkdir ['{mark}']\n", encoding="utf-8")
    done = command(finished_run[2].args[1], f"resume={run_dir}", cwd=run_dir)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert report([str(run_dir)]) == 0
    assert not mark.exists()


def drop_names(content):
    content["config"]["name"] = ["L5"]


def drop_steps(content):
    content["config"]["trainer"] = 40


def text_as_step(content):
    content["global_step"] = "40"


def text_as_seconds(content):
    content["environment"] = {"seconds": "long"}


def text_as_optimizer(content):
    content["optimizer_states"] = "adam"


def text_as_weights(content):
    content["state_dict"] = dict.fromkeys(content["state_dict"], "weights")


def text_as_loops(content):
    content["loops"] = {"fit_loop": ["x"]}


def text_as_callbacks(content):
    content["callbacks"] = dict.fromkeys(content["callbacks"], 3)


DAMAGES = [
    drop_names,
    drop_steps,
    text_as_step,
    text_as_seconds,
    text_as_optimizer,
    text_as_weights,
    text_as_loops,
    text_as_callbacks,
]


@pytest.mark.parametrize("change", DAMAGES, ids=lambda change: change.__name__)
def test_a_checkpoint_of_wrong_types_is_not_resumed(finished_run, run_dir, change, command):
    for name in ("last.ckpt", "last-1.ckpt", "best.ckpt"):
        spoil(run_dir, change, name)
    done = command(finished_run[2].args[1], f"resume={run_dir}", "trainer.max_steps=45")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ") and "last.ckpt" in done.stderr


@pytest.mark.parametrize("name", ["run.log", "metrics.csv", "checkpoints", "plots/x.png"])
def test_links_out_of_a_run_directory_are_refused(finished_run, run_dir, tmp_path, name, command):
    outside = tmp_path / "outside"
    outside.write_text("mine\n", encoding="utf-8")
    place = run_dir / name
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    place.symlink_to(outside)
    done = command(finished_run[2].args[1], f"resume={run_dir}", "trainer.max_steps=45")
    assert done.returncode == 2 and f"{place} is a link out of the run directory" in done.stderr
    assert outside.read_text(encoding="utf-8") == "mine\n"


def test_a_link_out_of_a_run_is_not_shown_in_the_report(run_dir, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"the secret of the one who reads")
    (run_dir / "plots" / "forecast.png").symlink_to(secret)
    assert report([str(run_dir), "--out", str(tmp_path / "page.html")]) == 0
    assert base64.b64encode(secret.read_bytes()).decode() not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "folder")]) == 0
    assert not any(path.read_bytes() == secret.read_bytes() for path in (tmp_path / "folder").iterdir())


DAMAGED = {
    "status.json": ["[1]", '{"status": ["done"], "reason": 3, "hash": {}}', "[" * 100_000, "\x00"],
    "summary.json": ["[]", '{"metrics": "none"}', '{"model": 1}', "[" * 100_000],
    "metrics.csv": ["", "step\n", "a,b\n1,2\n", "step,val/loss\nx,y\n"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in DAMAGED.items() for text in texts])
def test_files_of_wrong_types_do_not_stop_the_report(run_dir, name, text, capsys):
    (run_dir / name).write_text(text, encoding="utf-8")
    assert report([str(run_dir)]) == 0
    assert "Traceback" not in capsys.readouterr().err


WRONG_TYPES = [
    {"metrics": {"test/loss": "low"}}, {"columns": ["loss"]}, {"columns": {"loss": 1}}, {"seed": [1]},
    {"better": {"test/loss": "most"}}, {"intervals": {"test/loss": 3}}, {"baselines": {"chance": 1}}, {"seconds": "9"},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG_TYPES, ids=str)
def test_a_summary_of_wrong_types_is_told_apart(run_dir, change, capsys):
    file = run_dir / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    assert report([str(run_dir)]) == 0
    assert "summary.json is damaged" in " ".join(capsys.readouterr().out.split())


def test_text_of_a_run_is_no_html(run_dir, tmp_path):
    file = run_dir / "summary.json"
    hostile = {"model": "<script>alert(1)</script>", "description": "</script><img src=x onerror=alert(1)>"}
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | hostile), encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<img src=x" not in page and "&lt;script&gt;alert" in page


def test_names_of_a_run_do_not_lead_out_of_the_folder_of_a_report(run_dir, tmp_path):
    file = run_dir / "summary.json"
    hostile = {"model": "../../out", "data": "../L5"}
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | hostile), encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "a" / "b")]) == 0
    assert {path.parent for path in tmp_path.rglob("*out*.png")} == {tmp_path / "a" / "b"}


@pytest.fixture
def export_dir(run_dir, tmp_path):
    """An export folder, to be spoilt."""
    save_export(seqlab.load_run(run_dir), tmp_path / "export", "safetensors")
    return tmp_path / "export"


def hostile_config(folder, mark):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"data": call(mark)}), encoding="utf-8")


def deep_config(folder, mark):
    (folder / "config.json").write_text('{"a":' * 100_000, encoding="utf-8")


def large_config(folder, mark):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model"]["ff_dim"] = 10**8
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def huge_tensors(folder, mark):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def huge_header(folder, mark):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def pickled_weights(folder, mark):
    torch.save({"x": Touch(mark)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [hostile_config, deep_config, large_config, huge_tensors, huge_header, pickled_weights],
    ids=lambda change: change.__name__,
)
def test_hostile_exports_are_refused_and_do_nothing(export_dir, mark, change):
    change(export_dir, mark)
    with pytest.raises(InputError):
        load_export(export_dir)
    assert not mark.exists()
