"""Which backend a model takes, said once, and what happens without a compiler or elsewhere than on a CPU."""

import copy
import logging

import pytest
import torch
from torch import nn

from seqlab.models.xlstm import XLSTM
from seqlab.nn.native import build, choice
from tests.native import WHY_NOT, needs_native
from tests.nn.test_native_xlstm import (
    MIXED,
    SIZES,
    batch,
    lively,
    spec,
    twin,
)


@pytest.fixture
def fresh_choice():
    """No choice remembered, before and after."""
    choice.chosen_backend.cache_clear()
    yield
    choice.chosen_backend.cache_clear()


@pytest.mark.parametrize("backend", ["auto", "native", "torch", "vanilla", "cpu"])
def test_the_choice_is_logged_once(fresh_choice, caplog, monkeypatch, backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    inputs, lengths = batch(MIXED)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        model = XLSTM(spec(), **SIZES[0], backend=backend)
        for _ in range(3):
            model.packed(inputs, lengths)
            model(inputs)
    (message,) = caplog.messages
    if backend in ("auto", "native"):
        assert message.startswith(f"xlstm on cpu: backend={backend} takes {'torch' if WHY_NOT else 'native'}")
    else:
        assert message == f"xlstm: plain torch (backend={backend})"


@pytest.mark.parametrize(("backend", "level"), [("auto", logging.INFO), ("native", logging.WARNING)])
def test_plain_without_a_compiler(fresh_choice, monkeypatch, caplog, tmp_path, backend, level):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def unavailable():
        raise build.UnavailableError("no C++ compiler (c++) on PATH")

    monkeypatch.setattr(build, "load", unavailable)
    inputs, lengths = batch(MIXED)
    model = lively(**SIZES[0], backend=backend)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        results = [model.packed(inputs, lengths), model.packed(inputs, lengths)]
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], twin(model).packed(inputs, lengths))
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        f"xlstm on cpu: backend={backend} takes torch; native is not available: no C++ compiler (c++) on PATH"
    )


def test_native_is_refused_elsewhere(fresh_choice):
    model = XLSTM(spec(), **SIZES[0], backend="native").to("meta")
    with pytest.raises(ValueError, match="backend=native computes on a CPU, and the model is on meta"):
        model(torch.zeros(1, 3, dtype=torch.int64, device="meta"))


class Doubled(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


@needs_native
def test_replaced_parts_are_heard():
    model = lively(**SIZES[1])
    inputs, lengths = batch(MIXED)
    before = model.packed(inputs, lengths)
    for name, part in list(model.stack.named_modules()):
        if type(part) is nn.Linear:
            changed = copy.deepcopy(model)
            replacement = Doubled(part.in_features, part.out_features, bias=part.bias is not None)
            replacement.load_state_dict(part.state_dict())
            changed.stack.set_submodule(name, replacement)
            after = changed.packed(inputs, lengths)
            assert torch.equal(after, twin(changed).packed(inputs, lengths)), name
            assert not torch.allclose(after, before, atol=1e-4), name


@needs_native
def test_double_and_autocast_are_those_of_the_plain_path():
    model = lively(**SIZES[1])
    inputs, lengths = batch(MIXED)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.packed(inputs, lengths), twin(model).packed(inputs, lengths))
    model.double()
    assert torch.equal(model.packed(inputs, lengths), twin(model).packed(inputs, lengths))
