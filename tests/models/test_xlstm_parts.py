"""xLSTMs of one kind of block, and without convolutions."""

import pytest
import torch

from seqlab.models.xlstm import MLSTMState, SLSTMState
from tests.small_models import small_model, token_spec


@pytest.fixture
def tokens():
    return torch.randint(7, (3, 9), generator=torch.Generator().manual_seed(0))


def names(model):
    return {name.split(".xlstm.")[1] for name in model.state_dict() if ".xlstm." in name}


@pytest.mark.parametrize(("slstm_at", "kinds"), [([], [MLSTMState] * 2), ([0, 1], [SLSTMState] * 2)])
def test_blocks_of_one_kind(tokens, slstm_at, kinds):
    model = small_model("xlstm", token_spec(), slstm_at=slstm_at).eval()
    _, state = model.prefill(tokens, model.init_state(3))
    assert [type(part) for part in state] == kinds
    assert ("mlstm_cell.igate.weight" in names(model)) is (not slstm_at)
    assert ("slstm_cell._bias_" in names(model)) is bool(slstm_at)


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_an_mlstm_without_convolution_is_one_whose_convolution_passes_everything_on(tokens, backend):
    without = small_model("xlstm", token_spec(), slstm_at=[], d_conv=0, backend=backend).eval()
    identity = small_model("xlstm", token_spec(), slstm_at=[], d_conv=3, backend=backend).eval()
    assert not any("conv" in name for name in names(without))
    state = identity.state_dict()
    for name in state:
        if name.endswith("conv.weight"):
            state[name] = torch.tensor([0.0, 0.0, 1.0]).expand_as(state[name])
        elif name.endswith("conv.bias"):
            state[name] = torch.zeros_like(state[name])
    identity.load_state_dict(state | without.state_dict())
    torch.testing.assert_close(without(tokens), identity(tokens), rtol=1e-5, atol=1e-6)
    _, after = without.prefill(tokens, without.init_state(3))
    assert all(part.inputs_BKI.shape[:2] == (3, 0) for part in after)


def test_an_slstm_without_convolution_reads_its_input_as_it_is(tokens):
    model = small_model("xlstm", token_spec(), slstm_at=[0, 1], d_conv=0).eval()
    assert not any("conv" in name for name in names(model))
    layer = model.stack.blocks[0].xlstm
    x_BTC = torch.randn(3, 5, 16)
    gates = [gate(x_BTC) for gate in (layer.fgate, layer.igate, layer.zgate, layer.ogate)]  # the package's order
    output, _ = layer.slstm_cell(torch.cat(gates, -1))
    torch.testing.assert_close(layer(x_BTC), layer.group_norm(output).transpose(1, 2).flatten(2))


def test_a_convolution_over_one_step_is_refused():
    with pytest.raises(ValueError, match=r"d_conv=1 is no convolution over time; allowed: 0 \(none\), 2 and more"):
        small_model("xlstm", token_spec(), d_conv=1)
