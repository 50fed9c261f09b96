"""Memory of training: seqlab memory model=transformer data=L5 [key=value ...] [--measure]

The estimate counts 32-bit tensors on a CPU: weights, gradients, optimizer state, saved activations and temporary
tensors of the forward and backward pass. --measure trains three steps in a new process and shows the rise of its peak
memory. That includes what the estimate leaves out: the allocator's overhead, and some 30 MB that the libraries allocate
on first use. For a small model this is most of it.
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
from seqlab.places import CONF

MEBIBYTE = 2**20
NUM_STEPS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the table and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as train takes them: model=lstm data=L5 data.batch_size=64")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="additional folder of configurations, as for train")
    parser.add_argument("--measure", action="store_true", help=f"also train {NUM_STEPS} steps and show the peak memory")
    options = parser.parse_intermixed_args(arguments)
    try:
        config = compose(options.overrides, options.config_dir)
        # before `show`, so that the new process starts from a small parent
        measured = measure(config) if options.measure else None
        show(config, measured)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error, CONF)
    return 0


def compose(overrides: Sequence[str], config_dir: str | None = None) -> dict[str, Any]:
    """Resolve the configuration of a run as `seqlab train` would, without creating a directory.

    Args:
        overrides: as for `seqlab train`.
        config_dir: an additional folder of configurations.

    Raises:
        HydraException, InputError: for invalid overrides.
    """
    from seqlab.run.compose import plain_config

    started()
    return plain_config(overrides, CONF, config_dir)


def measure(config: dict[str, Any]) -> int:
    """Measure in a new process by how many bytes three training steps raise the peak resident memory."""
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
        located(config[part]["_target_"])  # imports the module
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
    """Peak resident memory of this process, in bytes.

    On Linux it is read from /proc, because getrusage there starts at the peak of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def show(config: dict[str, Any], measured: int | None) -> None:
    """Print the estimate for a configuration as a table, with the measured value if there is one."""
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
