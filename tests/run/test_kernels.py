"""A model asks for kernels of one type of device, and is trained on another: refused before anything is written."""

import sys

import pytest

from seqlab.errors import InputError
from seqlab.nn.scan import cuda_kernel
from seqlab.run.config import RunConfig, composed
from seqlab.run.directory import RunDirectory
from seqlab.run.train import refuse_backend, train
from tests.conftest import ROOT, tiny_sizes

MAMBA_SSM = "selective_scan_fn = None"


@pytest.mark.parametrize(
    ("model", "device", "said"),
    [
        ({"backend": "cuda"}, "cpu", "model.backend=cuda computes on cuda, and this run trains on cpu"),
        ({"backend": "native"}, "cuda", "model.backend=native computes on cpu, and this run trains on cuda"),
        ({"d": 1, "body": {"backend": "native"}}, "mps", "model.body.backend=native .* use model.body.backend=auto"),
    ],
)
def test_kernels_of_another_device(model, device, said):
    with pytest.raises(InputError, match=said):
        refuse_backend(model, device)
    refuse_backend(model | {"backend": "auto", "body": {"backend": "torch"}}, device)


@pytest.fixture
def fresh_import():
    """Nothing of mamba_ssm remembered, before and after."""
    cuda_kernel.cache_clear()
    yield
    cuda_kernel.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mamba_ssm"]:
        del sys.modules[name]


def test_a_run_is_refused_before_it_begins(tmp_path, monkeypatch, fresh_import):
    """With a mamba_ssm that can be imported, so that only the device is wrong."""
    package = tmp_path / "mamba_ssm" / "ops"
    package.mkdir(parents=True)
    for file in (package.parent / "__init__.py", package / "__init__.py"):
        file.touch()
    (package / "selective_scan_interface.py").write_text(MAMBA_SSM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    words = [*tiny_sizes("mamba", "L3"), "model=mamba", "data=L3", "model.backend=cuda", "trainer.accelerator=cpu"]
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    with pytest.raises(InputError, match="this run trains on cpu: use"):
        train(RunConfig.of(composed(words, ROOT / "conf")), directory)
    assert not directory.path.exists()
