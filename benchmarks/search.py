"""Exact search of a million passages of 512 dimensions: vectors mapped from their file, compared with all in memory.

The ratio is what mapping costs, with the file in the system's cache. The memory is what the process itself holds
(RssAnon): the mapped file is the system's to keep or to drop.
"""

import tempfile
from pathlib import Path

import numpy as np
from _timing import alternate, print_ratios

from lm.hybrid import best_places
from lm.search import ROWS_AT_ONCE, similarities

PASSAGES, WIDTH = 1_000_000, 512


def held() -> float:
    """Memory of this process that no file backs, in MB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def write(file: Path, generator: np.random.Generator) -> None:
    """A file of random vectors, a block at a time."""
    vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(PASSAGES, WIDTH))
    for start in range(0, PASSAGES, ROWS_AT_ONCE):
        block = vectors[start : start + ROWS_AT_ONCE]
        block[:] = generator.random(block.shape, dtype=np.float32) - 0.5


def main() -> None:
    generator = np.random.default_rng(0)
    direction = generator.random(WIDTH, dtype=np.float32) - 0.5
    with tempfile.TemporaryDirectory(dir=".") as folder:
        file = Path(folder) / "vectors.npy"
        write(file, generator)
        mapped = np.load(file, mmap_mode="r")
        before = held()
        found = best_places(similarities(mapped, direction), 100)
        more, size = held() - before, file.stat().st_size / 1e9
        memory = np.load(file)
        assert (found == best_places(memory @ direction, 100)).all()
        times = alternate(
            lambda: best_places(memory @ direction, 100), lambda: best_places(similarities(mapped, direction), 100)
        )
        print_ratios(
            f"exact search, a file of {size:.2f} GB, {more:.0f} MB more held after a query",
            [(f"{PASSAGES:,} passages, {WIDTH} dimensions", *times, 1)],
        )


if __name__ == "__main__":
    main()
