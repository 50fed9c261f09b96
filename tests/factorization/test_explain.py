import math

import pytest
import torch

from factorization.explain import main
from factorization.explanation import bit_weights
from factorization.fourier import PRIMES, controls, match, residue_phases


def test_phases_add_up_to_residues():
    for prime in PRIMES:
        phases = residue_phases(14, prime)
        assert len(phases) == max(prime // 2, 1)
        for number in (4, 8633, 16383):
            bits = torch.tensor([number >> place & 1 for place in range(13, -1, -1)])
            turns = (phases * bits).sum(1) / (2 * math.pi)
            expected = torch.arange(1, len(phases) + 1) * number / prime
            assert ((turns - expected + 0.5) % 1 - 0.5).abs().max() < 1e-3


@pytest.mark.parametrize("sign", [1, -1])
def test_units_that_compute_residues_are_found(sign):
    units = [(3, 1), (7, 2), (31, 15), (47, 5)]
    exact = torch.stack([residue_phases(14, prime)[k - 1] for prime, k in units])
    turns = 2 * math.pi * torch.randint(-2, 3, exact.shape, generator=torch.Generator().manual_seed(0))
    found = match(sign * exact + turns + 0.1)
    assert list(zip(found.primes.tolist(), found.multiples.tolist(), strict=True)) == units
    assert (found.scores > 0.99).all()


def test_controls_are_shuffled_units():
    exact = torch.stack([residue_phases(14, 31)[k] for k in range(15)])
    random = controls(exact, seed=1, repeats=10)
    assert random.shape == (150,)
    assert float(random.mean()) < 0.8 < float(match(exact).scores.min())
    assert torch.equal(random, controls(exact, seed=1, repeats=10))
    assert not torch.equal(random, controls(exact, seed=2, repeats=10))


@pytest.mark.parametrize("order", ["msb", "lsb"])
def test_weights_stand_in_the_order_of_the_phases(compose, order):
    from seqlab.run.build import build

    run = build(compose("model=sine_net", "data=semiprimes", f"data.order={order}"))
    number = torch.tensor([8633])
    angle = run.model.sines(run.datamodule.encode(number).flatten(1)) - run.model.sines.bias
    bits = torch.tensor([float(bit) for bit in f"{8633:014b}"])
    torch.testing.assert_close(bit_weights(run) @ bits, angle[0].detach())


def test_the_command(command, root, tmp_path, capsys):
    words = ["model=sine_net", "data=semiprimes", "trainer=fast", "model.hidden_dim=8", "trainer.accelerator=cpu"]
    done = command(root / "run.py", *words, "logger=csv", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert main([str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "of 8 units match a residue" in shown
    assert (tmp_path / "run" / "plots" / "explanation.png").stat().st_size < 300_000

    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "new" / "other.png")]) == 0
    assert (tmp_path / "new" / "other.png").exists()
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such run directory" in capsys.readouterr().err


def test_other_models_are_refused(finished_run, capsys):
    assert main([str(finished_run[0])]) == 2
    assert "model=transformer has no sine units to explain" in capsys.readouterr().err
