import base64
import json

import pytest
import yaml

from seqlab.report.__main__ import main

# one white pixel
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=")


@pytest.fixture
def report(tmp_path, capsys):
    """Options -> what the report on tmp_path / runs prints."""

    def printed(*options):
        assert main([str(tmp_path / "runs"), *options]) == 0
        return capsys.readouterr().out

    return printed


@pytest.fixture
def leave(tmp_path):
    """Leaves a run directory below tmp_path / runs, as a finished run does unless its status says otherwise."""

    def left(
        name, model="lstm", seed=1, metrics=None, *, losses=(3.0, 2.0), status="done", reason="", config=(), **more
    ):
        folder = tmp_path / "runs" / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / "plots").mkdir()
        (folder / "plots" / "forecast.png").write_bytes(PNG)
        (folder / "plots" / "learning_curves.png").write_bytes(PNG)
        shares = {"test/accuracy": 0.5} if metrics is None else metrics
        summary = {
            "model": model, "data": "L1", "description": "L1, regular", "seed": seed, "steps": 9, "seconds": 60,
            "stopped": "max_steps", "columns": {"accuracy": "test/accuracy"}, "better": {"test/accuracy": "high"},
            "metrics": shares, "intervals": {"test/accuracy": [0, 1]},
            "baselines": {"chance": {"test/accuracy": 0.25}}, **more,
        }  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        (folder / "status.json").write_text(
            json.dumps({"status": status, "reason": reason, "hash": "0"}), encoding="utf-8"
        )
        rows = [f"{step},{loss},0.5,1.0" for step, loss in enumerate(losses)]
        (folder / "metrics.csv").write_text(
            "\n".join(["step,val/loss,val/accuracy,train/loss", *rows, "9,,,0.5"]) + "\n",
            encoding="utf-8",
        )
        known = {"seed": seed, "name": {"model": model}, "logger": {"csv": name}, "optimizer": {"lr": 0.1}}
        (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(known | dict(config)), encoding="utf-8")
        return folder

    return left
