"""Times implementations in one run, alternating, so that load on the machine affects all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

Row = tuple[str, float, float, float]  # label, seconds of the peer, seconds of ours, target ratio


def alternate(
    peer: Callable[[], object],
    ours: Callable[[], object],
    *,
    repeats: int = 7,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """The median seconds of each function, called in turns, after one uncounted warm-up turn (`warm_up`).

    With clock=time.process_time they are seconds of the processor, which other processes change less.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(-warm_up, repeats):
        for function, kept in zip((peer, ours), times, strict=True):
            started = clock()
            function()
            if repeat >= 0:
                kept.append(clock() - started)
    peer_median, our_median = (sorted(kept)[len(kept) // 2] for kept in times)
    return peer_median, our_median


def print_ratios(title: str, rows: Sequence[Row]) -> None:
    """Print a table of times in milliseconds, the ratio peer / ours, and the target ratio."""
    table = Table(title=title, title_justify="left")
    for heading in ("what", "peer ms", "ours ms", "ratio", "aim"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    for what, peer, ours, aim in rows:
        table.add_row(what, f"{1000 * peer:.2f}", f"{1000 * ours:.2f}", f"{peer / ours:.2f}", f">= {aim:g}")
    Console(width=120).print(table)


def in_turns(functions: Mapping[str, Callable[[], object]], *, repeats: int = 7) -> dict[str, list[float]]:
    """CPU seconds of each function, called in turns, after one uncounted turn. CPU time is blind to other processes."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(-1, repeats):
        for name, function in functions.items():
            started = time.process_time()
            function()
            if repeat >= 0:
                times[name].append(time.process_time() - started)
    return times


def print_turns(
    title: str, times: Mapping[str, Sequence[float]], aims: Mapping[str, float], clock: str = "CPU time"
) -> None:
    """Print the median time of each function, and its ratio to the first: the median over turns, and the range."""
    print(f"{title}: {clock} in turns")
    table = Table()
    for heading in ("what", "ms", "ratio", "range", "aim"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    base = next(iter(times.values()))
    for what, ours in times.items():
        ratios = sorted(peer / own for peer, own in zip(base, ours, strict=True))
        table.add_row(
            what,
            f"{1000 * statistics.median(ours):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            f">= {aims[what]:g}" if what in aims else "",
        )
    Console(width=120).print(table)
