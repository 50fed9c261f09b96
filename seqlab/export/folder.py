"""Export folders: a trained model as a file that holds only numbers, with its configuration and its task's files.

    model.safetensors   the weights under their state_dict names, tied ones once (or model.onnx)
    config.json         the configuration, as in the checkpoint
    data.json           the values fitted to the data (tokenizer, scale), and the SHA-256 of the data files, as there
    ...                 files for other programs: tokenizer.json for text, with the same content as in data.json

The metadata of the safetensors file hold its format and the SHA-256 of data.json and of each additional file.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.export.onnx import write_onnx
from seqlab.export.quantize import quantize
from seqlab.files import at_home, write_text
from seqlab.kept import Kept
from seqlab.lit.checkpoints import refuse_old, version
from seqlab.lit.precision import cast_weights
from seqlab.plugins import trusting
from seqlab.run.build import Run, build

Format = Literal["safetensors", "bf16", "int8", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)


def save_export(run: Run, folder: Path, format: Format) -> Path:
    """Write an export folder and return the path of the model file.

    Args:
        run: a run from load_run.
        folder: created if necessary; an existing export is replaced.
        format: safetensors (weights as they are), bf16 (weights rounded to bfloat16), int8 (seqlab/export/quantize.py)
            or onnx (float32).

    Raises:
        InputError: the model does not support the format, or a package is missing.
    """
    files = {"data.json": _as_json(_data_of(run.datamodule.kept)), **run.task.files()}
    file = folder / ("model.onnx" if format == "onnx" else "model.safetensors")
    temporary = file.with_name(f".{file.name}.tmp")
    folder.mkdir(parents=True, exist_ok=True)
    if format == "onnx":
        write_onnx(deepcopy(run.model).float(), run.datamodule.spec, temporary)
    else:
        metadata = {"format": format, "version": version(), **{name: digest(text) for name, text in files.items()}}
        save_file(_in_format(run.model, format), temporary, metadata=metadata)
    for name, text in {"config.json": _as_json(run.config), **files}.items():
        write_text(folder / name, text)
    os.replace(temporary, file)
    return file


def _data_of(kept: Kept) -> dict[str, Any]:
    return {"fitted": kept.fitted, "data_files": kept.data_files}


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _in_format(model: nn.Module, format: Format) -> dict[str, Tensor]:
    if format == "int8":
        model = _quantized(deepcopy(model).float())
    tensors = {name: tensor.detach().contiguous() for name, tensor in distinct(model).items()}
    if format == "bf16":
        tensors = {name: t.bfloat16() if t.is_floating_point() else t for name, t in tensors.items()}
    return tensors


def _quantized(model: nn.Module) -> nn.Module:
    try:
        return quantize(model)
    except ValueError as error:
        raise InputError(str(error)) from error


def distinct(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of a model, with shared tensors only under their first name."""
    state, seen = {}, set()
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() == 0 or place not in seen:
            state[name] = tensor
        seen.add(place)
    return state


def digest(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_export(folder: str | Path, *, trust: Iterable[str] = ()) -> Run:
    """Load a run from an export folder, in evaluation mode. Weights that bf16 rounded are loaded as float32.

    The format safetensors reproduces the checkpoint's logits bit for bit, in the precision of training.

    Args:
        folder: what `seqlab export` wrote.
        trust: packages that take part here as plug-ins do. Their code runs.

    Raises:
        InputError: a file is missing or damaged, or the files do not belong together.
    """
    folder = at_home(folder)
    file = folder / "model.safetensors"
    if (folder / "model.onnx").is_file():
        raise InputError(f"{folder} holds an ONNX graph: run it with onnxruntime")
    tensors, metadata = read_tensors(file)
    refuse_old(metadata.get("version"), file)
    config, data = _read_json(folder / "config.json"), _read_json(folder / "data.json")
    if data.keys() != {"fitted", "data_files"}:
        raise InputError(f"{folder / 'data.json'} does not say what was fitted, and to which data_files")
    with trusting(trust):
        run = build(config, tensors.values(), kept=Kept(**data))
    for name, text in {"data.json": _as_json(data), **run.task.files()}.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; the export needs it")
        if not digest(text) == digest(path.read_text(encoding="utf-8")) == metadata.get(name):
            raise InputError(f"{path} does not fit {file.name}: not the {name} that the model was trained with")
    if metadata.get("format") == "int8":
        _quantized(run.model)
    elif metadata.get("format") == "safetensors":
        cast_weights(run.model, config["trainer"].get("precision", "32-true"))
    expected = distinct(run.model)
    wrong = sorted(expected.keys() ^ tensors.keys())
    wrong += [name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape]
    if wrong:
        shapes = [str(tuple(t[wrong[0]].shape)) if wrong[0] in t else "nothing" for t in (tensors, expected)]
        raise InputError(f"{file} does not fit config.json: {wrong[0]} is {shapes[0]}, and should be {shapes[1]}")
    run.model.load_state_dict(tensors, strict=False)  # the file holds tied weights once
    run.module.eval()
    return run


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        with safe_open(file, framework="pt") as content:
            return {name: content.get_tensor(name) for name in content.keys()}, content.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"cannot read {file}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not part of an export: it must hold a JSON object")
    return content


def memory_of(model: nn.Module) -> int:
    """The bytes of a model's weights and persistent buffers in memory."""
    return sum(tensor.nbytes for tensor in distinct(model).values())
