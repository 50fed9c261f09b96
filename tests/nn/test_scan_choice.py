"""Which backend the selective scan takes, and why."""

import logging
import sys
import types

import pytest
import torch

from seqlab.nn import scan
from seqlab.nn.native import build, choice
from seqlab.nn.scan import chosen_backend, cuda_kernel, selective_scan
from tests.native import WHY_NOT
from tests.nn.test_scan import random_arguments
from tests.reference.scan import selective_scan as plain_scan


@pytest.fixture
def fresh_choice():
    """No choice remembered, before and after."""
    for function in (chosen_backend, cuda_kernel, choice.chosen_backend):
        function.cache_clear()
    yield
    for function in (chosen_backend, cuda_kernel, choice.chosen_backend):
        function.cache_clear()


def test_the_choice_is_logged_once(fresh_choice, caplog):
    arguments = random_arguments(1, 2, 3, 4)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        for _ in range(3):
            selective_scan(*arguments, backend="torch")
    assert caplog.messages == ["selective scan on cpu: backend=torch takes torch"]
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        chosen = chosen_backend("auto", "cpu")
    assert chosen == ("torch" if WHY_NOT else "native")
    assert caplog.messages[1].startswith(f"selective scan on cpu: backend=auto takes {chosen}")


@pytest.mark.parametrize(("backend", "level"), [("auto", logging.INFO), ("native", logging.WARNING)])
def test_falls_back_to_torch_without_the_native_scan(fresh_choice, monkeypatch, caplog, backend, level):
    def unavailable():
        raise build.UnavailableError("no C++ compiler (c++) on PATH")

    monkeypatch.setattr(build, "load", unavailable)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        selective_scan(*random_arguments(1, 2, 3, 4), backend=backend)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        f"selective scan on cpu: backend={backend} takes torch; native is not available: no C++ compiler (c++) on PATH"
    )


def test_backends_of_the_other_device_are_refused(fresh_choice):
    with pytest.raises(ValueError, match="backend=cuda computes on a GPU, and the model is on cpu"):
        selective_scan(*random_arguments(1, 2, 3, 4), backend="cuda")
    with pytest.raises(ValueError, match="backend=native computes on a CPU, and the model is on cuda"):
        chosen_backend("native", "cuda")


BROKEN = {
    "missing": "raise ModuleNotFoundError(\"No module named 'selective_scan_cuda'\")",
    "no library": "raise OSError('libcudart.so.12: cannot open shared object file')",
    "other torch": "raise RuntimeError('undefined symbol:\\n  _ZN3c10')",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_missing_or_broken_mamba_ssm_is_one_line_with_the_install_command(fresh_choice, monkeypatch, tmp_path, how):
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text(BROKEN[how], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mamba_ssm", raising=False)
    with pytest.raises(ValueError) as caught:
        cuda_kernel()
    message, kind = str(caught.value), BROKEN[how][6:].split("(")[0]
    assert message.startswith(f"backend=cuda needs mamba_ssm, which cannot be imported ({kind}: ")
    assert "pip install --no-build-isolation mamba-ssm" in message and "\n" not in message
    assert chosen_backend("auto", "cuda") == "torch"


def test_the_cuda_kernel_is_called_as_mamba_ssm_wants_it(monkeypatch):
    """A stand-in with the arguments and layout of selective_scan_fn; the kernel itself needs a GPU."""
    calls = []

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                          return_last_state=False):  # fmt: skip
        calls.append([tensor.dtype for tensor in (u, delta, A, B, C)])
        assert u.is_contiguous() and D is None and z is None and not delta_softplus
        y, last = plain_scan(u.mT, delta.mT, A, B.mT, C.mT, torch.zeros(len(u), *A.shape))
        return (y.mT, last) if return_last_state else y.mT

    package, ops, interface = (types.ModuleType(name) for name in ("mamba_ssm", "mamba_ssm.ops", "interface"))
    interface.selective_scan_fn = selective_scan_fn
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", ops)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", interface)
    cuda_kernel.cache_clear()
    arguments = random_arguments(2, 9, 16, 8)
    zero = torch.zeros_like(arguments[-1])
    for start, num_calls in ((zero, 1), (arguments[-1], 1)):  # the kernel cannot start from another state
        results = scan._cuda_scan(*arguments[:-1], start)
        for result, expected in zip(results, plain_scan(*arguments[:-1], start), strict=True):
            torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
        assert len(calls) == num_calls
    assert not scan._cuda_scan(*arguments[:-1], zero)[1].requires_grad
    y, _ = scan._cuda_scan(arguments[0].bfloat16(), *arguments[1:-1], zero)
    assert y.dtype == torch.bfloat16 and set(calls[-1]) == {torch.float32}
    cuda_kernel.cache_clear()
