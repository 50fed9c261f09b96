"""Seconds until a model completes every ID prompt of L5 grammatically, with an older version and with this one.

    git worktree add ../seqlab-0.2 6324a54
    python benchmarks/time_to_grammatical.py ../seqlab-0.2 FOLDER

Each run is `python run.py model=MODEL data=L5`, one after another, with one thread. It is ended when it has reached
the goal, or after its 1,200 steps. Time is that of the processor since the start of the command, which other programs
change little. The folder gets a table and a figure. Runs that outputs/time_to_grammatical has already are not repeated.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.show.style import house_style, log_axis, save_figure

HERE = Path(__file__).resolve().parents[1]
RUNS = HERE / "outputs" / "time_to_grammatical"
METRIC = "val/id/grammatical"
MODELS = ("transformer", "mamba", "xlstm")  # the LSTM of the default depth completes nothing in the time of a run
TICKS = os.sysconf("SC_CLK_TCK")
Curve = list[tuple[int, float, float]]  # step, CPU seconds since the start, proportion of prompts


def has_reached(run: Path) -> bool:
    """Whether a run has logged the goal."""
    file = run / "metrics.csv"
    if not file.exists():
        return False
    with open(file, encoding="utf-8", newline="") as rows:
        return any(float(row.get(METRIC) or 0) == 1 for row in csv.DictReader(rows))


def used(process: int) -> float:
    """The CPU seconds of a process so far (Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def train(checkout: Path, model: str, run: Path) -> None:
    """Train until the goal is reached or the run ends, then write curve.json into the run."""
    words = [sys.executable, str(checkout / "run.py"), f"model={model}", "data=L5", "trainer.accelerator=cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*words, f"hydra.run.dir={run}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    walls, cpus = [time.time()], [0.0]
    while process.poll() is None:
        time.sleep(0.5)
        walls.append(time.time())
        cpus.append(max(used(process.pid), cpus[-1]))
        if has_reached(run):
            process.send_signal(signal.SIGTERM)
            process.wait()
    board = next((run / "tensorboard").rglob("events*")).parent  # it has two files, if the run went to its end
    events = EventAccumulator(str(board))
    events.Reload()
    curve = [
        (event.step, float(np.interp(event.wall_time, walls, cpus)), event.value) for event in events.Scalars(METRIC)
    ]
    (run / "curve.json").write_text(json.dumps(curve), encoding="utf-8")


def reached(curve: Curve) -> tuple[int, float] | None:
    """Step and seconds of the first validation with every prompt right."""
    return next(((step, seconds) for step, seconds, proportion in curve if proportion == 1), None)


def draw(curves: dict[str, dict[str, Curve]], file: Path) -> None:
    """One panel a model: the proportion of prompts by time, for each version."""
    figure = Figure(figsize=(3.2 * len(curves), 3), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (model, versions) in zip(panels, curves.items(), strict=True):
        for version, curve in versions.items():
            panel.plot([seconds for _, seconds, _ in curve], [value for *_, value in curve], ".-", label=version)
        panel.set(title=model, xlabel="CPU seconds", ylim=(-0.03, 1.03))
        log_axis(panel, "x")
    panels[0].set_ylabel("ID prompts completed grammatically")
    panels[0].legend()
    save_figure(figure, file)


def table(curves: dict[str, dict[str, Curve]]) -> str:
    """Markdown: step and CPU seconds of the goal for each model and version, and the ratio of the seconds."""
    older, newer = next(iter(curves.values()))
    lines = [f"| model | {older}: steps | CPU s | {newer}: steps | CPU s | ratio |", "|---|" + "---:|" * 5]
    for model, versions in curves.items():
        goals = [reached(curve) for curve in versions.values()]
        cells = [f"{goal[0]:,} | {goal[1]:.0f}" if goal else "not reached | -" for goal in goals]
        before, after = goals
        ratio = f"{before[1] / after[1]:.1f}" if before and after else "-"
        lines.append(f"| {model} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines) + "\n"


def main(older: Path, out: Path) -> None:
    curves: dict[str, dict[str, Curve]] = {model: {} for model in MODELS}
    for model in MODELS:
        for version, checkout in (("older", older), ("now", HERE)):
            run = RUNS / version / model
            if not (run / "curve.json").exists():
                train(checkout, model, run)
            curves[model][version] = json.loads((run / "curve.json").read_text(encoding="utf-8"))
            print(model, version, reached(curves[model][version]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    with house_style():
        draw(curves, out / "time_to_grammatical.png")
    (out / "time_to_grammatical.md").write_text(table(curves), encoding="utf-8")
    print(table(curves))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(*(Path(word).resolve() for word in sys.argv[1:]))
    else:
        print("time_to_grammatical.py CHECKOUT FOLDER: say an older version's folder, and where the table goes")
