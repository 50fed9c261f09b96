"""The products of a small model's layers by the kernel, compared with torch's (MKL on x86): forward and both gradients.

One thread, CPU time, both in turns. What the machine's processor can do decides the ratio: MKL uses the widest vectors
on Intel's processors alone.
"""

import time
from collections.abc import Callable

import torch
from _timing import alternate, print_ratios
from torch import Tensor

from seqlab.nn.native.product import crossed, times
from seqlab.run.allocator import keep_freed_memory

ROWS = 2300  # steps of a batch of 128 strings of L5 without padding
LAYERS = {  # inputs, outputs
    "attention in, 64 to 192": (64, 192),
    "feed-forward in, 64 to 512": (64, 512),
    "feed-forward out, 512 to 64": (512, 64),
    "gates of an LSTM, 256 to 1,024": (256, 1024),
}
REPEATS = 101


def main() -> None:
    keep_freed_memory()  # as a run does
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for name, (inputs, outputs) in LAYERS.items():
        x, weight, dy = torch.randn(ROWS, inputs), torch.randn(outputs, inputs), torch.randn(ROWS, outputs)
        pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
            "": (lambda x=x, weight=weight: x @ weight.t(), lambda x=x, weight=weight: times(x, weight.t())),
            ", gradient of inputs": (
                lambda dy=dy, weight=weight: dy @ weight,
                lambda dy=dy, weight=weight: times(dy, weight),
            ),
            ", gradient of weights": (lambda dy=dy, x=x: dy.t() @ x, lambda dy=dy, x=x: crossed(dy, x)),
        }
        for what, functions in pairs.items():
            rows.append((name + what, *alternate(*functions, repeats=REPEATS, clock=time.process_time), 1))
    capability = torch.backends.cpu.get_cpu_capability()
    print_ratios(f"{ROWS:,} rows, one thread, CPU time, {capability}", rows)


if __name__ == "__main__":
    main()
