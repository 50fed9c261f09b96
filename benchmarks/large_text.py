"""Training on a text of 100 MB: the peak memory of a whole job, including tests and baselines.

Each job is run.py in a separate process, on words of an artificial language drawn by Zipf's law. One of the texts holds
occasional emoji, so that Python needs four bytes for each of its characters. The ratio is the memory limit of a job,
2 GiB, divided by its peak memory. Each job takes minutes; `--megabytes 10` is quicker.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

RUN = Path(__file__).parents[1] / "run.py"
MEGABYTE = 10**6
MOST_MEGABYTES = 2 * 2**30 / MEGABYTE  # memory limit of a job
NUM_WORDS, WORDS_A_LINE, LINES_AT_ONCE = 50_000, 12, 20_000
SIZES = ["model=transformer", "model.d_model=8", "model.num_layers=1", "model.num_heads=1", "model.ff_dim=8"]
SIZES += ["data=text", "data.context_length=512", "task.stride=512", "data.batch_size=8"]
STEPS = ["trainer.max_steps=50", "trainer.val_every=50", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
JOBS = (("char", "", "characters"), ("char", "\U0001f600", "characters, some emoji"), ("bpe", "", "byte-level BPE"))


def write_text(file: Path, size: int, end: str) -> None:
    """Write `size` bytes of lines of words, with `end` after every 20,000 lines."""
    generator = np.random.default_rng(0)
    letters = generator.integers(97, 123, (NUM_WORDS, 10), dtype=np.uint8)
    words = [bytes(row[: 2 + rank % 9]).decode() for rank, row in enumerate(letters)]
    weights = 1 / np.arange(1, NUM_WORDS + 1)
    with open(file, "w", encoding="utf-8") as out:
        while out.tell() < size:
            drawn = generator.choice(NUM_WORDS, (LINES_AT_ONCE, WORDS_A_LINE), p=weights / weights.sum())
            out.write("".join(" ".join(words[word] for word in line) + ".\n" for line in drawn.tolist()) + end)


def run(folder: Path, *overrides: str) -> tuple[float, float]:
    """Run a job. Returns its time in seconds and its peak resident memory in megabytes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(RUN), *SIZES, *STEPS, *overrides], cwd=folder, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "the job failed"
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return time.perf_counter() - started, usage.ru_maxrss * unit / MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100, help="size of each text (default: 100)")
    size = parser.parse_args().megabytes
    table = Table(title=f"a job on {size} MB of text, 1 thread", title_justify="left")
    for heading in ("tokenizer", "seconds", "peak MB", "limit MB", "ratio", "aim"):
        table.add_column(heading, justify="left" if heading == "tokenizer" else "right", no_wrap=True)
    with tempfile.TemporaryDirectory() as name:
        for number, (tokenizer, end, title) in enumerate(JOBS):
            file = Path(name) / "text.txt"
            write_text(file, size * MEGABYTE, end)
            seconds, peak = run(
                Path(name), f"data.path={file}", f"data.tokenizer={tokenizer}", f"hydra.run.dir={number}"
            )
            table.add_row(
                title, f"{seconds:.0f}", f"{peak:.0f}", f"{MOST_MEGABYTES:.0f}", f"{MOST_MEGABYTES / peak:.2f}", ">= 1"
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
