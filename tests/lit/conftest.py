"""Tiny runs with a logger of choice."""

import pytest

WORDS = ["model=linear", "trainer.max_steps=8", "trainer.val_every=4", "trainer.log_every=2"]
WORDS += ["trainer.min_steps=0", "trainer.accelerator=cpu", "hydra.run.dir=run", "resume=auto"]


@pytest.fixture
def train_with(command, root, tiny, tmp_path):
    """Run the job in tmp_path/run with logger=NAME, to its end or to (signal, step)."""

    def ran(logger, *words, stop=None):
        script = [root / "run.py"] if stop is None else [root / "tests" / "stop_at.py", *stop, root / "run.py"]
        return command(*script, *tiny("linear"), *WORDS, f"logger={logger}", *words, cwd=tmp_path)

    return ran
