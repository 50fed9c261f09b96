"""Five LSTM layers of width 512 on batches of 32 x 60: a per-step Python cell in float64 versus nn.LSTM and others.

One table from one run, with one thread, in processor time: ratios to the naive cell, proportions of this machine's
measured rate of matrix products, size of the weights and arithmetic intensity. It also writes deep_lstm_roofline.png
(or the file given as an argument), the roofline from measured peak and bandwidth. The lines below the table test
Strassen's algorithm and float64, which a research note recommends.
"""

import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from seqlab.export.quantize import quantize
from seqlab.show.style import INK, house_style, log_axis, save_figure

HIDDEN, LAYERS, LENGTH, BATCH = 512, 5, 60, 32
REPEATS = 3
FORWARD = 2 * LAYERS * LENGTH * BATCH * 4 * HIDDEN * 2 * HIDDEN  # operations in matrix products
TRAINING = 3 * FORWARD  # the backward pass has two products for each one of the forward pass


class NaiveLSTM(nn.Module):
    """A naive baseline: a Python loop over steps and layers, one matrix product per gate, float64."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.ModuleList(nn.Linear(2 * HIDDEN, HIDDEN) for _ in "ifgo") for _ in range(LAYERS))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(x.shape[0], HIDDEN)
        states = [(zeros, zeros)] * LAYERS
        outputs = []
        for below in x.unbind(1):
            for index, (to_i, to_f, to_g, to_o) in enumerate(self.gates):  # type: ignore[misc]
                hidden, cell = states[index]
                both = torch.cat([below, hidden], 1)
                cell = torch.sigmoid(to_f(both)) * cell + torch.sigmoid(to_i(both)) * torch.tanh(to_g(both))
                below = torch.sigmoid(to_o(both)) * torch.tanh(cell)
                states[index] = (below, cell)
            outputs.append(below)
        return torch.stack(outputs, 1)


class Stack(nn.Module):
    """One-layer nn.LSTM modules as in seqlab/models/deep_lstm.py, without dropout, skip connections and norms."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(HIDDEN, HIDDEN, batch_first=True) for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x, _ = layer(x)
        return x


def best_of(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """The minimum processor seconds of a call after one warm-up: load on the machine can only increase the time."""
    times = []
    for _ in range(repeats + 1):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times[1:])


def product_rate(dtype: torch.dtype, size: int = 1024) -> float:
    """Operations per second of the product of two square matrices."""
    a, b = torch.randn(2, size, size).to(dtype)
    return 2 * size**3 / best_of(lambda: a @ b, repeats=15)


def bandwidth() -> float:
    """Bytes per second that a sum over 256 MB reads."""
    x = torch.ones(64 * 2**20)
    return x.nbytes / best_of(x.sum, repeats=15)


def training_step(model: nn.Module, x: Tensor) -> None:
    model.zero_grad()
    model(x).square().mean().backward()


def forward(model: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        model(x)


def strassen(a: Tensor, b: Tensor, levels: int) -> Tensor:
    """The product of two square matrices by 7 products of their quarters (Strassen 1969), recursively to `levels`."""
    if levels == 0:
        return a @ b
    half = len(a) // 2
    a11, a12, a21, a22 = a[:half, :half], a[:half, half:], a[half:, :half], a[half:, half:]
    b11, b12, b21, b22 = b[:half, :half], b[:half, half:], b[half:, :half], b[half:, half:]
    m1 = strassen(a11 + a22, b11 + b22, levels - 1)
    m2, m3 = strassen(a21 + a22, b11, levels - 1), strassen(a11, b12 - b22, levels - 1)
    m4, m5 = strassen(a22, b21 - b11, levels - 1), strassen(a11 + a12, b22, levels - 1)
    m6, m7 = strassen(a21 - a11, b11 + b12, levels - 1), strassen(a12 - a22, b21 + b22, levels - 1)
    return torch.cat([torch.cat([m1 + m4 - m5 + m7, m3 + m5], 1), torch.cat([m2 + m4, m1 - m2 + m3 + m6], 1)])


def weight_bytes(model: nn.Module) -> int:
    return sum(value.nbytes for value in model.state_dict().values())


def roofline(points: dict[str, tuple[float, float]], peak: float, bytes_a_second: float) -> Figure:
    """Plot achieved rates over arithmetic intensity, with the roof of bandwidth and peak fp32 rate."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axis = figure.subplots()
    places = [0.25, peak / bytes_a_second, 1024.0]
    axis.plot(places, [min(peak, bytes_a_second * place) / 1e9 for place in places], color=INK)
    axis.text(places[1], peak / 1e9 * 1.04, "fp32 roof", fontsize="small")
    for name, (intensity, rate) in points.items():
        axis.plot(intensity, rate / 1e9, marker="o", markersize=7)
        axis.annotate(name, (intensity, rate / 1e9), (8, 0), textcoords="offset points", fontsize="small", va="center")
    log_axis(axis, "x")
    log_axis(axis, "y")
    axis.set(xlabel="operations a byte of memory", ylabel="10⁹ operations a second")
    return figure


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    fp32, fp64, speed = product_rate(torch.float32), product_rate(torch.float64), bandwidth()
    x = torch.randn(BATCH, LENGTH, HIDDEN)
    naive, stack = NaiveLSTM(), Stack()
    bf16_here = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[operator]
    steps = {"naive cell, fp64": (naive, x.double()), "nn.LSTM stack, fp32": (stack, x)}
    if bf16_here:
        steps["nn.LSTM stack, bf16"] = (deepcopy(stack).bfloat16(), x.bfloat16())
    table = Table(title=f"{LAYERS} layers of {HIDDEN}, batch {BATCH} x {LENGTH}, one thread", title_justify="left")
    for heading in ("what", "ms", "times the naive cell", "aim", "of the fp32 rate", "aim", "weights MB", "op/byte"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    points = {}

    def add(name: str, seconds: float, peer: float, operations: float, size: int, aim: str, rate_aim: str) -> None:
        rate = operations / seconds
        intensity = FORWARD / (size * LENGTH)  # assumes that all weights are read again at each step of the sequence
        cells = (f"{1000 * seconds:.0f}", f"{peer / seconds:.1f}", aim, f"{rate / fp32:.0%}", rate_aim)
        table.add_row(name, *cells, f"{size / 1e6:.1f}", f"{intensity:.0f}")
        points[name] = (intensity, rate)

    aims = {"nn.LSTM stack, fp32": (">= 4", ">= 50%"), "nn.LSTM stack, bf16": (">= 7", "")}
    trained = {name: best_of(lambda pair=pair: training_step(*pair)) for name, pair in steps.items()}
    for name, (model, _) in steps.items():
        peer = trained["naive cell, fp64"]
        add(f"training: {name}", trained[name], peer, TRAINING, weight_bytes(model), *aims.get(name, ("", "")))
    steps["nn.LSTM stack, int8 dynamic"] = (quantize(deepcopy(stack)), x)
    read = {name: best_of(lambda pair=pair: forward(*pair)) for name, pair in steps.items()}
    for name, (model, _) in steps.items():
        add(f"inference: {name}", read[name], read["naive cell, fp64"], FORWARD, weight_bytes(model), "", "")
    console = Console(width=150)
    console.print(table)
    console.print(
        f"products of 1024 x 1024: fp32 {fp32 / 1e9:.0f} Gop/s, fp64 {fp64 / 1e9:.0f} Gop/s; "
        f"memory read at {speed / 1e9:.1f} GB/s; bfloat16 arithmetic: {'yes' if bf16_here else 'none here, left out'}"
    )
    a, b = torch.randn(2, 512, 512)
    plain, once = best_of(lambda: a @ b, repeats=30), best_of(lambda: strassen(a, b, 1), repeats=30)
    console.print(f"Strassen, one level, 512 x 512: {once / plain:.2f} times the time of torch's product")
    gates, rows = torch.randn(4 * HIDDEN, HIDDEN), torch.randn(BATCH, HIDDEN)
    rate = 2 * BATCH * 4 * HIDDEN * HIDDEN / best_of(lambda: rows @ gates.T, repeats=50)
    console.print(
        f"the product of a step, {BATCH} x {HIDDEN} by {HIDDEN} x {4 * HIDDEN}: {rate / fp32:.0%} of the fp32 rate"
    )
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "deep_lstm_roofline.png")
    with house_style():
        save_figure(roofline(points, fp32, speed), out)
    console.print(f"roofline: {out}")


if __name__ == "__main__":
    main()
