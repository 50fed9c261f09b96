"""Reads summary.json, the results of a run. The file may come from an untrusted source, so its types are checked."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from seqlab.errors import InputError
from seqlab.run.directory import RunDirectory

Numbers = dict[str, float | None]  # metric -> value


class Summary(BaseModel):
    """The keys that commands read, with their types. The file has more keys, for human readers."""

    model_config = ConfigDict(strict=True)

    model: str
    data: str
    seed: int
    steps: int
    metrics: Numbers
    baselines: dict[str, Numbers]
    description: str = ""
    stopped: str = ""
    seconds: float = 0.0
    num_parameters: int = 0
    columns: dict[str, str] = {}
    meanings: dict[str, str] = {}  # a part of a metric's name, its group or the last, -> words
    better: dict[str, Literal["low", "high"]] = {}
    intervals: dict[str, tuple[float, float] | None] = {}  # None without cases
    counts: dict[str, int] = {}
    effective: dict[str, float] = {}  # of results whose cases cluster: how many independent ones are worth as much
    notes: list[str] = []


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Read and validate summary.json of a run directory.

    Raises:
        InputError: the file is damaged.
    """
    file = RunDirectory(run_dir).summary
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text)
        Summary.model_validate_json(text)
        return content
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        reason = "missing" if problem["type"] == "missing" else problem["msg"][0].lower() + problem["msg"][1:]
        raise InputError(f"{file} is damaged: {place}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
