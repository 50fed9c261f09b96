"""init_from=RUN: the weights of another run, layer by layer, and a run that began so is resumed and told apart."""

import hashlib
import json
import shutil

import pytest
import torch

from seqlab.errors import InputError
from seqlab.lit.checkpoints import load_checkpoint, version
from seqlab.run.build import build
from seqlab.run.config import RunConfig, composed
from seqlab.run.initial import take_weights
from seqlab.run.overrides import prepared
from tests.comparison import differences


@pytest.fixture
def module_of(compose):
    """Overrides -> the untrained LightningModule; the seed makes its weights."""
    return lambda *overrides: build(compose(*overrides)).module


@pytest.fixture
def saved(module_of, tmp_path):
    """A checkpoint of a small Transformer for the Dyck language at step 7."""
    module = module_of("model=transformer", "data=L5", "seed=3")
    content = {"state_dict": module.state_dict(), "global_step": 7, "version": version()}
    torch.save(content, tmp_path / "one.ckpt")
    return tmp_path / "one.ckpt", module.state_dict()


def test_layers_that_fit_are_taken_and_the_others_stay_and_are_named(module_of, saved):
    """aNbN has two symbols less: the embedding and the head have other shapes."""
    file, there = saved
    module = module_of("model=transformer", "data=L3")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    initial = take_weights(module, str(file))
    assert initial.left == ["embedding", "head"]
    for name, tensor in module.state_dict().items():
        left = name.startswith(("model.embedding", "model.head"))
        assert torch.equal(tensor, before[name] if left else there[name]), name
    assert not torch.equal(before["model.layers.0.attention.qkv.weight"], there["model.layers.0.attention.qkv.weight"])
    assert initial.record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    line = str(initial)
    assert "step 7" in line and f"{initial.taken} layers; as initialised: embedding, head." in line and "\n" not in line


def test_a_layer_is_taken_whole_or_not(module_of, saved):
    """The bias of a wider map has the old shape where its weight has not: it stays too."""
    module = module_of("model=transformer", "data=L5", "model.ff_dim=24")
    before = module.state_dict()["model.layers.0.feed_forward.linear2.bias"].clone()
    initial = take_weights(module, str(saved[0]))
    assert initial.left == ["layers.0.feed_forward.linear1", "layers.0.feed_forward.linear2"]
    assert torch.equal(module.state_dict()["model.layers.0.feed_forward.linear2.bias"], before)


def test_the_same_model_is_taken_whole(module_of, saved):
    module = module_of("model=transformer", "data=L5")
    initial = take_weights(module, str(saved[0]))
    assert initial.left == [] and "none stays as initialised" in str(initial)
    assert differences(module.state_dict(), saved[1]) == []


def test_what_cannot_be_taken_is_refused_in_one_line(module_of, saved, tmp_path):
    module = module_of("model=linear", "data=L3")
    bare, foreign = tmp_path / "bare.ckpt", tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {"model.x": 1}, "global_step": 1, "version": version()}, bare)
    foreign.write_text("nothing", encoding="utf-8")
    reasons = {
        saved[0]: "no layer of .* has the name and shape",
        bare: "is not a checkpoint of SeqLab",
        foreign: "truncated or not a checkpoint",
        tmp_path: "no checkpoint at .*best.ckpt",
        tmp_path / "nowhere": "no checkpoint at",
    }
    for path, reason in reasons.items():
        with pytest.raises(InputError, match=f"init_from={path}: .*{reason}") as caught:
            take_weights(module, str(path))
        assert "\n" not in str(caught.value)


def test_a_file_that_would_run_something_is_not_unpickled(module_of, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    torch.save({"state_dict": {}, "global_step": 1, "version": version(), "more": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="holds objects other than tensors and plain values"):
        take_weights(module_of("model=linear", "data=L3"), str(tmp_path / "evil.ckpt"))
    assert not (tmp_path / "run").exists()


def test_it_decides_a_run_and_null_changes_no_hash(root):
    def digest(*words):
        return RunConfig.of(composed(["data=L3", *words], root / "conf")).hash

    assert digest("init_from=outputs/a") != digest() == digest("init_from=null")
    assert digest("init_from=outputs/a") != digest("init_from=outputs/b")


def test_it_takes_the_folder_of_any_run(root):
    """Whose name has commas and equals signs; null is none."""
    words = prepared(["init_from=outputs/L5/transformer,2026=a-1b", "model=lstm"], root / "conf")
    assert words == ["init_from='outputs/L5/transformer,2026=a-1b'", "model=lstm"]
    assert prepared(["init_from=null"], root / "conf") == ["init_from=null"]
    assert RunConfig.of(composed(words, root / "conf")).plain["init_from"] == "outputs/L5/transformer,2026=a-1b"


def test_a_run_that_began_so_is_resumed_bit_for_bit_without_the_other(command, root, tiny, tmp_path):
    sizes = ["trainer.val_every=4", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]

    def ran(folder, *words, stop=()):
        script = [root / "tests" / "stop_at.py", *stop] if stop else []
        choice = [*tiny("lstm", "L3"), *sizes, "model=lstm", "trainer.max_steps=8", f"hydra.run.dir={folder}"]
        return command(*script, root / "run.py", *choice, *words, cwd=tmp_path)

    assert ran("first", "data=L5").returncode == 0
    words = "data=L3", "init_from=first"
    whole = ran("whole", *words)
    assert whole.returncode == 0, whole.stderr
    assert "Began with the weights of first (step" in whole.stdout and "as initialised: embedding, head" in whole.stdout
    assert ran("cut", *words, stop=("SIGTERM", 5)).returncode == 143
    shutil.rmtree(tmp_path / "first")  # the checkpoint has all that is needed
    done = ran("cut", *words, "resume=auto")
    assert done.returncode == 0, done.stderr
    contents, summaries = [], []
    for name in ("whole", "cut"):
        contents.append(load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt"))
        summaries.append(json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8")))
        assert contents[-1]["initial"] == summaries[-1]["init_from"]
        assert summaries[-1].pop("seconds") >= 0
    assert differences(*(content["state_dict"] for content in contents)) == []
    assert summaries[0] == summaries[1]
    assert len(summaries[0]["init_from"]["record"]["sha256"]) == 64
    other = ran("cut", "data=L3", "resume=auto")
    assert other.returncode == 2 and "init_from" in other.stderr
