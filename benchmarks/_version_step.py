"""The CPU time of optimizer steps on L5, printed in seconds: `_version_step.py MODEL MAX_LENGTH BATCH_SIZE STEPS`.

benchmarks/versions.py starts it with the packages of one version or the other, so it names only what both have.
"""

import importlib
import sys
import time

import torch

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.task import RuleExtrapolation
from seqlab.optim import adamw

CLASSES = {"transformer": "Transformer", "lstm": "LSTM", "mamba": "Mamba", "xlstm": "XLSTM", "linear": "Linear"}
WARM_UP = 2


def main(name: str, max_length: int, batch_size: int, steps: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    try:
        from seqlab.run.allocator import keep_freed_memory
    except ImportError:
        pass  # before version 0.3
    else:
        keep_freed_memory()  # as a run does
    data = GrammarDataModule(grammar=Dyck(), max_length=max_length, batch_size=batch_size)
    task = RuleExtrapolation(data)
    model = getattr(importlib.import_module(f"seqlab.models.{name}"), CLASSES[name])(data.spec)
    optimizer = adamw(model, lr=1e-4)
    model.train()
    batches = [data.train_batch(index) for index in range(WARM_UP + steps)]
    for index, batch in enumerate(batches):
        started = time.process_time()
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if index >= WARM_UP:
            print(time.process_time() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
