"""The published factoring network compared with nn.LSTM in all layers, at batch 4, and the speed of semiprimes."""

import time

import torch
from _timing import alternate, print_ratios
from torch import Tensor, nn

from factorization.models.binary_lstm import BinaryLSTM, SingleStepLSTM
from factorization.semiprimes import Semiprimes, balanced_semiprimes, drawn_semiprimes, semiprimes_below
from seqlab.optim import rmsprop
from seqlab.spec import Bits, Spec, Vectors

SPEC = Spec(Vectors(1), Bits(7), max_length=14, readout="last")
BATCH = 4
STEPS = 25


class Plain(nn.LSTM):
    """nn.LSTM on one step, like the layers of the published code."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x.unsqueeze(1))[0][:, -1]


def layers(kind: type[nn.LSTM]) -> nn.Sequential:
    return nn.Sequential(kind(128, 256, batch_first=True), kind(256, 512, batch_first=True))


def whole(kind: type[nn.LSTM]) -> nn.Module:
    model = BinaryLSTM(SPEC)
    for index, lstm in enumerate(layers(kind), start=1):
        model.lstms[index] = lstm
    return model


def steps(model: nn.Module, inputs: Tensor):
    """A function that takes STEPS training steps."""
    optimizer = rmsprop(model, lr=1e-3)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()

    return run


def drawn(bits: int) -> Semiprimes:
    """The semiprimes from 65,536 draws; draws that are not a semiprime of this many bits are left out."""
    semiprimes, missing = drawn_semiprimes(bits, seed=1, stream="x", indices=torch.arange(65_536))
    return semiprimes.where(~missing)


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for what, make, inputs in (
        ("layers 2 and 3, a training step", layers, torch.randn(BATCH, 128)),
        ("the whole network, a training step", whole, torch.randint(2, (BATCH, 14, 1)).float()),
    ):
        peer, ours = (steps(make(kind), inputs) for kind in (Plain, SingleStepLSTM))
        seconds = [value / STEPS for value in alternate(peer, ours)]
        rows.append((what, seconds[0], seconds[1], 4.0))
    print_ratios(f"binary_lstm against nn.LSTM, batch {BATCH}, RMSprop", rows)
    for what, make in (
        ("semiprimes up to 10^7", lambda: semiprimes_below(10**7 + 1)),
        ("S6, 32 bits", lambda: balanced_semiprimes(32)),
        ("S7, 48 bits, from a table of primes", lambda: drawn(48)),
        ("S7, 64 bits, by Miller-Rabin", lambda: drawn(64)),
    ):
        count, seconds = len(make().numbers), []
        for _ in range(5):
            started = time.perf_counter()
            make()
            seconds.append(time.perf_counter() - started)
        print(f"{what}: {count / min(seconds) / 1e6:.2f} million a second")


if __name__ == "__main__":
    main()
