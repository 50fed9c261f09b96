"""Checkpoints from a stranger: each is refused in one line, and nothing that it asks for happens (docs/security.md)."""

import sys

import pytest
import torch

import seqlab
from seqlab.errors import InputError
from seqlab.predict import main as predict
from tests.security.hostile import Touch, call, spoil


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


def test_a_pickle_is_not_unpickled(run_dir, mark, capsys):
    torch.save({"config": {}, "state_dict": {}, "x": Touch(mark)}, run_dir / "checkpoints" / "best.ckpt")
    assert predict([str(run_dir), "("]) == 2
    assert "cannot read the checkpoint" in capsys.readouterr().err
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
