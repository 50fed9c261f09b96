import pytest
import torch
from torch import nn

from factorization.models.binary_lstm import BatchNorm, BinaryLSTM, SingleStepLSTM, unreachable
from seqlab.model import num_parameters
from seqlab.spec import Bits, Classes, Spec, Tokens, Vectors

SPEC = Spec(Vectors(1), Bits(7), max_length=14, readout="last")


class Reference(nn.Module):
    """The same network on nn.LSTM throughout, with its state dict."""

    def __init__(self, model):
        super().__init__()
        self.lstms = nn.ModuleList(nn.LSTM(m.input_size, m.hidden_size, batch_first=True) for m in model.lstms)
        self.norms, self.head = model.norms, model.head
        self.load_state_dict(model.state_dict(), strict=True)

    def forward(self, x):
        x = self.norms[0](self.lstms[0](x)[0][:, -1])
        for lstm, norm in zip(self.lstms[1:], self.norms[1:], strict=True):
            x = norm(lstm(x.unsqueeze(1))[0][:, -1])
        return self.head(x)


def bits(batch, seed=0):
    return torch.randint(2, (batch, 14, 1), generator=torch.Generator().manual_seed(seed)).float()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BinaryLSTM(SPEC)


def test_golden_numbers_of_parameters(model):
    assert num_parameters(model) == 2_120_815
    assert sum(int(mask.sum()) for mask in unreachable(model).values()) == 1_476_096


def test_equals_a_stack_of_lstms_with_the_same_state_dict(model):
    model.double().eval()
    reference = Reference(model).double().eval()
    inputs = bits(32).double()
    torch.testing.assert_close(model(inputs), reference(inputs), rtol=0, atol=1e-12)
    for network in (model, reference):
        network.zero_grad()
        network(inputs).square().sum().backward()
        network.gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in network.named_parameters()
        }
    for name, gradient in reference.gradients.items():
        torch.testing.assert_close(model.gradients[name], gradient, rtol=0, atol=1e-12)


def test_what_can_never_receive_a_gradient(model):
    """Exactly the recurrent weights and forget gates of layers 2 and 3, in this model and in the reference."""
    masks = unreachable(model)
    for network in (model, Reference(model)):
        reached = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in network.named_parameters()}
        network.train()
        for seed in range(4):
            network.zero_grad()
            network(bits(64, seed)).square().sum().backward()
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    reached[name] |= parameter.grad != 0
        for name, seen in reached.items():
            if name in masks:
                assert not (seen & masks[name]).any(), name
                assert seen[~masks[name]].float().sum() >= 0.99 * int((~masks[name]).sum()), name
            else:
                assert seen.any(), name  # a ReLU that never fires leaves its row without


@pytest.mark.parametrize(("width", "hidden"), [(128, 256), (256, 512)])
def test_a_single_step_is_exact_to_1e_6(width, hidden):
    layer, reference = SingleStepLSTM(width, hidden, batch_first=True), nn.LSTM(width, hidden, batch_first=True)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(64, width)
    torch.testing.assert_close(layer(x), reference(x.unsqueeze(1))[0][:, 0], rtol=0, atol=1e-6)


def test_sequence_to_sequence_stacking_sees_time():
    torch.manual_seed(0)
    model = BinaryLSTM(SPEC, hidden_dims=(6, 7, 8), head_dims=(5,), stacking="sequence").eval()
    assert model(bits(3)).shape == (3, 7)
    model(bits(16)).square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.parameters())
    assert unreachable(model) == {}
    whole = bits(3)
    by_hand = whole
    for lstm, norm in zip(model.lstms, model.norms, strict=True):
        by_hand = norm(lstm(by_hand)[0])
    torch.testing.assert_close(model(whole), model.head(by_hand[:, -1]))


@pytest.mark.parametrize("stacking", ["last", "sequence"])
def test_batch_norm(stacking):
    torch.manual_seed(0)
    model = BinaryLSTM(SPEC, hidden_dims=(6, 7), head_dims=(5,), stacking=stacking, norm="batch", dropout=0.0)
    model.head[-2].p = 0.0
    assert model(bits(5)).shape == (5, 7)
    assert torch.isfinite(model(bits(1))).all()  # the last batch of an epoch may be one row
    model.train()(bits(1)).sum().backward()
    rows = torch.randn(20, 3)
    torch.testing.assert_close(BatchNorm(3)(rows), nn.BatchNorm1d(3)(rows))
    torch.testing.assert_close(BatchNorm(3)(rows.view(4, 5, 3)), nn.BatchNorm1d(3)(rows).view(4, 5, 3))


def test_the_order_after_the_lstms_is_that_of_the_code(model):
    kinds = [type(layer).__name__ for layer in model.head]
    assert kinds == ["Linear", "ReLU", "LayerNorm", "Dropout"] * 2 + ["Linear"]
    assert [layer.p for layer in model.head if isinstance(layer, nn.Dropout)] == [0.3, 0.4]
    assert model.dropout.p == 0.3


@pytest.mark.parametrize(
    "spec",
    [
        Spec(Tokens(7), Classes(7), max_length=9, sos=0, eos=1, pad=2),
        Spec(Vectors(1), Bits(7), max_length=14),
        Spec(Tokens(3), Bits(7), max_length=14, readout="last"),
    ],
)
def test_other_specs_are_refused(spec):
    with pytest.raises(ValueError, match=r"model=binary_lstm reads a whole number .* needs data=semiprimes"):
        BinaryLSTM(spec)


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="hidden_dims="):
        BinaryLSTM(SPEC, hidden_dims=())
