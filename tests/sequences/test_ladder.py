"""experiment=sequences and the ladder of what each of its parts adds; what a run says of an answer."""

import re

import pytest
import torch
from hydra.core.hydra_config import HydraConfig

LADDER = ["fourier", "table", "differences", "relative", "pointer", "both"]
TINY_BODY = ("model.d_model=16", "model.body.d_model=16", "model.body.num_layers=1", "model.body.ff_dim=16")


def parts(config):
    """The parts that a configuration has: its input, and the options that are on."""
    return {
        config["data"]["embedding"],
        *(key for key in ("differences", "relative", "pointer") if config["model"][key]),
    }


def test_each_rung_adds_one_part(compose):
    rungs = [parts(compose("experiment=sequences_ablation", f"ablation=numbers_{name}", full=True)) for name in LADDER]
    assert rungs == [
        {"fourier"},
        {"number"},
        {"number", "differences"},
        {"number", "differences", "relative"},
        {"number", "differences", "pointer"},
        {"number", "differences", "relative", "pointer"},
    ]
    assert parts(compose("experiment=sequences", full=True)) == rungs[-1]


def test_the_sweep_runs_all_rungs_of_the_same_body_for_the_same_steps(compose):
    configs = [compose("experiment=sequences_ablation", f"ablation=numbers_{name}", full=True) for name in LADDER]
    swept = HydraConfig.get().sweeper.params["ablation"]
    assert swept.split(",") == [f"numbers_{name}" for name in LADDER]
    assert [config["name"]["model"] for config in configs] == swept.split(",")
    for config in configs:
        assert config["model"]["body"] == configs[0]["model"]["body"]
        assert config["trainer"] == configs[0]["trainer"] and config["trainer"]["max_steps"] == 3000


def test_it_learns_and_says_what_it_copied(prepare):
    run, _ = prepare("experiment=sequences", *TINY_BODY, "data.batch_size=64", full=True)
    batch = run.datamodule.train_batch(0)
    optimizer = torch.optim.Adam(run.model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        losses.append(run.task.loss(run.model, batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    text = run.task.describe(run.model, run.task.parse_prompt("3 5 7 9 11 13"))
    assert re.search(r"^because +[\d.]+%  15 = ", text, flags=re.MULTILINE)
    assert re.search(r"^ +[\d.]+%  not copied$", text, flags=re.MULTILINE)
    plain, _ = prepare("data=recurrence", "model=lstm")
    assert "because" not in plain.task.describe(plain.model, plain.task.parse_prompt("3 5 7 9 11 13"))


@pytest.mark.parametrize("text", ["7 7 7", "0 255 0 255", "1 2 3 4 5 6 7 8 9 10 11"])
def test_short_and_long_prompts_are_explained(prepare, text):
    run, _ = prepare("experiment=sequences", *TINY_BODY, full=True)
    lines = run.task.describe(run.model, run.task.parse_prompt(text)).splitlines()
    known = {int(number) for number in text.split()[-8:]} | {2}  # and the factor of an anchor
    sums = [line.split(" = ")[1] for line in lines if " = " in line]
    assert sums and all(int(number) in known for line in sums for number in re.findall(r"\d+", line))
