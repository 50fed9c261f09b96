"""A suite of two tiny cells in a folder of its own, and the command on it."""

import pytest

SUITE = """
about: two tiny cells
version: 1
parameters: 4000
seeds: [1]
overrides:
  - size@model=transduction_${model}
  - logger=csv
  - trainer.accelerator=cpu
  - schedule.warmup=5
  - eval.prompt_lengths=[4]
cells:
  parity:
    overrides:
      - data=parity
      - data.max_length=8
      - data.test_lengths=[12]
      - data.num_val=8
      - data.num_test=16
      - data.batch_size=8
    steps: 20
    targets: 720
    curve: test/right_by_length
    measures:
      - {ability: state, metric: test/1-8/last}
      - {ability: length, metric: test/9-12/last}
  L3:
    overrides: [data=L3, data.max_length=12, data.num_val=16, data.num_test=32, data.batch_size=8]
    steps: 20
    targets: 1300
    measures:
      - {ability: counting, metric: test/id/grammatical}
"""


def with_rates(text):
    """The suite with three rates to choose from, and its first cell alone."""
    return text.partition("  L3:")[0].replace("cells:", "rates: [1.0e-7, 1.0e-2, 10]\nrate_steps: 8\ncells:")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder for --config-dir with the suites `tiny` and `rates`."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "suite").mkdir()
    (folder / "suite" / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    (folder / "suite" / "rates.yaml").write_text(with_rates(SUITE), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def profile(command, folder):
    """Words -> `seqlab profile WORDS --suite tiny`, done."""

    def ran(*words, cwd=None):
        return command("-m", "seqlab", "profile", "--suite", "tiny", "--config-dir", folder, *words, cwd=cwd)

    return ran


@pytest.fixture(scope="session")
def profiled(profile, tmp_path_factory):
    """The folder of a finished profile of the linear model, and what the command printed."""
    out = tmp_path_factory.mktemp("profiled") / "out"
    done = profile("model=linear", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout
