"""Export trained models, and measure size, speed and accuracy: seqlab export RUN --format int8 bf16

    safetensors  unchanged weights; gives the same logits
    bf16         weights rounded to bfloat16; computes in float32
    int8         8-bit weights, activations rounded at run time (seqlab/export/quantize.py); CPU only
    onnx         the forward pass for other runtimes: pip install 'seqlab[onnx]'

Several runs and formats give one table. Each export is written to RUN/export/FORMAT with configuration and tokenizer,
loaded again (seqlab.export.folder.load_export), and evaluated with the run's test if the run's data are available; the
export itself needs no data. The table has a row for the checkpoint (whose file also holds the optimizer state) and one
per format. Its columns are the size of the file and of the weights in memory, the time of one step at the end of a
window and of a whole window (one sequence, CPU), and the metrics with their change. A format that a run does
not support is left out and reported on stderr after the table.
"""

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.files import at_home
from seqlab.output import take_any_text

if TYPE_CHECKING:
    from seqlab.run.build import Run
    from seqlab.show.layout import Sheet

MEGABYTE = 10**6
NUM_TIMED = 30  # calls over which the median is taken
HEADINGS = ("run", "format", "file MB", "in memory MB", "step ms", "window ms")


class Row(NamedTuple):
    """Sizes in bytes, times in seconds and metrics by name for a run and format; None if not available."""

    run: str
    format: str
    size: int
    memory: int | None
    step: float | None
    window: float | None
    metrics: dict[str, float | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, export, print the table and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--format", nargs="+", required=True, help="safetensors, bf16, int8, onnx")
    parser.add_argument("--out", type=at_home, help="for a single run: a folder instead of RUN/export")
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    options = parser.parse_args(arguments)
    try:
        sheet, errors = export(options.runs, options.format, options.out, options.checkpoint)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    if sheet is not None:
        from seqlab.show.markdown import show_or_write

        show_or_write(sheet)
        sys.stdout.flush()
    return max((tell(error) for error in errors.values()), default=0)


def export(
    runs: Sequence[str], formats: Sequence[str], out: Path | None, checkpoint: str = "best.ckpt"
) -> "tuple[Sheet | None, dict[str, Exception]]":
    """Export runs in formats and measure them.

    Returns:
        The table of the successful exports (None without any), and the errors of the others by run and format: an
        unsupported format, a missing package, an unreadable checkpoint.

    Raises:
        InputError: a folder is not a run directory, or a format is unknown.
    """
    from seqlab.attempts import Attempts
    from seqlab.errors import InputError, nearest
    from seqlab.export.folder import FORMATS
    from seqlab.run.build import load_run
    from seqlab.run.directory import RunDirectory

    started()

    for format in formats:
        if format not in FORMATS:
            raise InputError(f"--format {format}: no such format; {nearest(format, FORMATS)}")
    if out is not None and len(runs) > 1:
        raise InputError(f"--out {out} is for one run, not {len(runs)}: leave it out, and each has its own folder")
    for run in runs:
        if not RunDirectory(at_home(run)).checkpoints.is_dir():
            raise InputError(f"{run}: no run directory")
    rows, columns = Attempts[Row](), {}
    for path in runs:
        with rows.attempt(path):
            run = load_run(path, checkpoint)
            columns |= run.task.columns
            size = (RunDirectory(at_home(path)).checkpoints / checkpoint).stat().st_size
            rows[path] = measured(run, path, "checkpoint", size)
            for format in formats:
                with rows.attempt(name := f"{path} {format}"):
                    rows[name] = _row_of_export(run, path, format, (out or RunDirectory(at_home(path)).export) / format)
    made = any(row.format != "checkpoint" for row in rows.values())
    return table([*rows.values()], columns) if made else None, rows.errors


def _row_of_export(run: "Run", path: str, format: Any, folder: Path) -> Row:
    from seqlab.export.folder import load_export, save_export

    file = save_export(run, folder, format)
    size = file.stat().st_size
    if format == "onnx":
        return Row(path, format, size, None, None, onnx_window(run, file), {})
    return measured(load_export(folder), path, format, size)


def measured(run: "Run", path: str, format: str, size: int) -> Row:
    """Time a run on the CPU, in the precision of its weights, and evaluate it with its own test."""
    import torch

    from seqlab.export.folder import memory_of
    from seqlab.export.onnx import example_inputs
    from seqlab.model import SequenceModel, readable
    from seqlab.proportion import value_of

    model = run.model
    inputs = readable(model, example_inputs(run.datamodule.spec, 1))
    step = None
    with torch.inference_mode():
        window = median_seconds(lambda: model(inputs))
        if isinstance(model, SequenceModel):
            _, state = model.prefill(inputs[:, :-1], model.init_state(1, inputs.shape[1]))
            step = median_seconds(lambda: model.step(inputs[:, -1], state))
    metrics = {}
    if (trouble := data_trouble(run)) is None:
        metrics = {name: value_of(result) for name, result in run.task.evaluate(run.model, "test").items()}
    elif format == "checkpoint":  # report once per run
        print(f"{path} is exported and not evaluated: {trouble}", file=sys.stderr)
    return Row(path, format, size, memory_of(model), step, window, metrics)


def data_trouble(run: "Run") -> str | None:
    """Why the test data of a run are unreadable or have changed; None if they are fine."""
    try:
        run.datamodule.evaluation_set("test")
    except ValueError as error:
        return str(error)
    return None


def median_seconds(function) -> float:
    """The median time of a call in seconds, after three warm-up calls."""
    import time

    times = []
    for _ in range(NUM_TIMED + 3):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return sorted(times[3:])[NUM_TIMED // 2]


def onnx_window(run: "Run", file: Path) -> float | None:
    """The time of a whole window in onnxruntime, in seconds; None if it is not installed.

    Raises:
        InputError: its logits differ from the model's.
    """
    import importlib.util

    import torch

    from seqlab.errors import InputError
    from seqlab.export.onnx import example_inputs

    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3  # no warnings about shapes inside the graph, which are those of the example
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    inputs = example_inputs(run.datamodule.spec, 1)
    with torch.inference_mode():
        expected = deepcopy(run.model).float()(inputs)
    found = torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])
    if not torch.allclose(found, expected, rtol=1e-3, atol=1e-3):
        worst = float((found - expected).abs().max())
        raise InputError(f"{file}: onnxruntime gives logits that are off by up to {worst:.2g}")
    return median_seconds(lambda: session.run(None, {"inputs": inputs.numpy()}))


def table(rows: Sequence[Row], columns: dict[str, str]) -> "Sheet":
    """A table with one row per run and format; metrics show their change from the run's checkpoint."""
    from seqlab.show.layout import Column, Sheet

    lines: list[list[str]] = []
    before: dict[str, float | None] = {}
    for row in rows:
        if row.format == "checkpoint":
            before = row.metrics
        cells = [row.run, row.format, *(_scaled(size, 1 / MEGABYTE) for size in (row.size, row.memory))]
        cells += [_scaled(seconds, 1000) for seconds in (row.step, row.window)]
        cells += [_with_change(row.metrics.get(name), before.get(name)) for name in columns.values()]
        lines.append(cells)
    names = [Column(heading, "name") for heading in HEADINGS[:2]]
    return Sheet([*names, *map(Column, (*HEADINGS[2:], *columns))], [lines])


def _scaled(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.2f}"


def _with_change(value: float | None, before: float | None) -> str:
    if value is None:
        return "-"
    change = "" if before is None else f" ({value - before:+.4f})"
    return f"{value:.4f}{change}"


if __name__ == "__main__":
    sys.exit(main())
