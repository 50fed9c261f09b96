"""Export folders from a stranger: each is refused, and nothing that it asks for happens."""

import json
import struct

import pytest
import torch

import seqlab
from seqlab.errors import InputError
from seqlab.export.folder import load_export, save_export
from tests.security.hostile import Touch, call


@pytest.fixture
def export_dir(run_dir, tmp_path):
    """An export folder, to be spoilt."""
    save_export(seqlab.load_run(run_dir), tmp_path / "export", "safetensors")
    return tmp_path / "export"


def hostile_config(folder, mark):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"data": call(mark)}), encoding="utf-8")


def deep_config(folder, mark):
    (folder / "config.json").write_text('{"a":' * 100_000, encoding="utf-8")


def large_config(folder, mark):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model"]["ff_dim"] = 10**8
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def huge_tensors(folder, mark):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def huge_header(folder, mark):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def pickled_weights(folder, mark):
    torch.save({"x": Touch(mark)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [hostile_config, deep_config, large_config, huge_tensors, huge_header, pickled_weights],
    ids=lambda change: change.__name__,
)
def test_hostile_exports_are_refused_and_do_nothing(export_dir, mark, change):
    change(export_dir, mark)
    with pytest.raises(InputError):
        load_export(export_dir)
    assert not mark.exists()
