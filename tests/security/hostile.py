"""How files are spoilt: a checkpoint changed in place, a node that runs a command, a pickle that makes a folder."""

import os
import sys

import torch


def spoil(run_dir, change, name="best.ckpt"):
    """Change the content of a checkpoint in place."""
    file = run_dir / "checkpoints" / name
    content = torch.load(file, weights_only=True)
    change(content)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(30_000)  # torch's pickler needs more for deep nesting than what a stranger writes by hand
    torch.save(content, file)
    sys.setrecursionlimit(limit)


def call(mark):
    """A node that would run a command, by functions of this project."""
    words = {"_target_": "seqlab.run.sweep_overrides.with_sweep_names", "overrides": ["touch", str(mark)]}
    return {"_target_": "seqlab.run.launch.waited_for", "command": words}


class Touch:
    """What an unpickler would do with this is to make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
