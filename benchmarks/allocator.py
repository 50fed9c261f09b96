"""A training step in a process that keeps freed memory (seqlab/run/allocator.py), compared with one that does not.

Each process prints its CPU milliseconds per step and its peak memory. Processes of both kinds take turns.
"""

import resource
import statistics
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss
from seqlab.models.lstm import LSTM
from seqlab.models.mamba import Mamba
from seqlab.models.transformer import Transformer
from seqlab.models.xlstm import XLSTM
from seqlab.optim import adamw
from seqlab.run.allocator import keep_freed_memory

MODELS = {"transformer": Transformer, "lstm": LSTM, "mamba": Mamba, "xlstm": XLSTM}
STEPS, TURNS = 8, 3


def measure(name: str, keep: bool) -> None:
    """Print milliseconds of CPU time per step, and the peak memory in MB."""
    if keep:
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = GrammarDataModule(grammar=Dyck())
    model = MODELS[name](data.spec)
    optimizer = adamw(model, lr=1e-5)
    times = []
    for index in range(STEPS):
        started = time.process_time()
        optimizer.zero_grad()
        model_loss(model, data.train_batch(index))[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(1000 * statistics.median(times[2:]), peak)


def main() -> None:
    table = Table(title=f"training step, batch 128 x 33, 1 thread, {TURNS} processes each", title_justify="left")
    for heading in ("model", "ms", "kept ms", "ratio", "range", "more MB"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    for name in MODELS:
        found: dict[str, list[list[float]]] = {"": [], "keep": []}
        for _ in range(TURNS):
            for keep, rows in found.items():
                words = [sys.executable, __file__, name, *filter(None, [keep])]
                done = subprocess.run(words, capture_output=True, text=True, check=True, encoding="utf-8")
                rows.append([float(word) for word in done.stdout.split()])
        ratios = sorted(plain[0] / kept[0] for plain, kept in zip(*found.values(), strict=True))
        times = [statistics.median(row[0] for row in rows) for rows in found.values()]
        more = statistics.median(kept[1] - plain[1] for plain, kept in zip(*found.values(), strict=True))
        table.add_row(
            name, *(f"{value:.1f}" for value in times), f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}", f"{more:.0f}",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    measure(sys.argv[1], keep=len(sys.argv) > 2) if len(sys.argv) > 1 else main()
