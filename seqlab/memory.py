"""What training needs in memory: python -m seqlab.memory model=transformer data=L5 [key=value ...] [--measure]

The estimate counts tensors on a CPU in 32 bits: weights, gradients, optimizer state, saved activations and what else
forward and backward pass need for a while. --measure trains three steps in a process of its own and shows how far its
peak rose. That includes what an estimate leaves out: the allocator's slack, and some 30 MB that the libraries set up on
first use, which is most of it for a small model.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text

CONF = Path(__file__).parents[1] / "conf"
MEBIBYTE = 2**20
NUM_STEPS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the table; returns the exit code."""
    take_any_text()
    parser = Parser(
        prog="python -m seqlab.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as run.py takes them: model=lstm data=L5 data.batch_size=64")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="a further folder of configurations, as for run.py")
    parser.add_argument("--measure", action="store_true", help=f"train {NUM_STEPS} steps too, and show what they took")
    options = parser.parse_intermixed_args(arguments)
    try:
        config = compose(options.overrides, options.config_dir)
        # first, so that the other process starts from a small one
        measured = measure(config) if options.measure else None
        show(config, measured)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error, CONF)
    return 0


def compose(overrides: Sequence[str], config_dir: str | None = None) -> dict[str, Any]:
    """The resolved configuration of a job, as run.py would compose it; no directory is made.

    Args:
        overrides: as run.py takes them.
        config_dir: a further folder of configurations.

    Raises:
        HydraException, InputError: for overrides that do not work.
    """
    from seqlab.errors import InputError
    from seqlab.run.build import configuration
    from seqlab.run.config import RunConfig, composed
    from seqlab.run.overrides import readable_words, with_config_dir
    from seqlab.run.typed import with_typed

    started()

    if not CONF.is_dir():
        raise InputError(f"{CONF}: no such folder; this command needs a checkout of the project")
    words = readable_words(with_config_dir(overrides, config_dir), CONF)
    return with_typed(RunConfig.of(composed(words, CONF)), configuration, words).plain


def measure(config: dict[str, Any]) -> int:
    """How far the peak of resident memory rises over three training steps, in bytes, in a new process."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as executor:
        return executor.submit(_rise, config).result()


def _rise(config: dict[str, Any]) -> int:
    from seqlab.check import check, located
    from seqlab.run.build import build, configuration, construct

    check(config, configuration)
    datamodule = construct(config["data"])
    datamodule.train_batch(0)
    for part in ("model", "task", "optimizer"):
        located(config[part]["_target_"])  # imports what it names
    before = _peak()
    run = build(config)
    run.task.prepare()
    optimizer = run.module.make_optimizer(run.model)
    for step in range(NUM_STEPS):
        loss = run.task.loss(run.model, run.datamodule.train_batch(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _peak() - before


def _peak() -> int:
    """The most resident memory that this process has had, in bytes.

    On Linux from /proc: what getrusage gives there starts at the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def show(config: dict[str, Any], measured: int | None) -> None:
    """Print the estimate of a configuration as a table, and what was measured, if it was."""
    from seqlab.lit.footprint import estimate
    from seqlab.run.build import build
    from seqlab.show import layout

    parts = estimate(build(config).module)
    total = {"total (estimate)": sum(parts.values())}
    if measured is not None:
        total[f"measured over {NUM_STEPS} steps"] = measured
    columns = [layout.Column("memory of a training step", "name"), layout.Column("MiB")]
    blocks = [[[name, f"{size / MEBIBYTE:,.2f}"] for name, size in sizes.items()] for sizes in (parts, total)]
    layout.show(layout.Sheet(columns, blocks, title=f"{config['name']['model']} on {config['name']['data']}"))


if __name__ == "__main__":
    sys.exit(main())
