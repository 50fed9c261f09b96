"""A suite through a launcher of Hydra: its rows are those of the runs on the cores of this machine."""

import pytest

from tests.profile.test_profile import rows_in

LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
    "ray": ["hydra/launcher=ray_local", "+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.remote.num_cpus=1"],
}


@pytest.mark.parametrize(
    "name", ["joblib", *(pytest.param(name, marks=pytest.mark.slow) for name in ("submitit", "ray"))]
)
def test_a_launcher_runs_a_suite(name, profile, profiled, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{name}_launcher")
    done = profile("model=linear", *LAUNCHERS[name], "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " done" in line]
    assert [line.partition(" ")[0] for line in lines] == ["1/2", "2/2"]
    assert rows_in(tmp_path / "out") == rows_in(profiled[0])
