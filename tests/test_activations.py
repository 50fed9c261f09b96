"""Inside a model: outputs of modules by their names, attention weights, norms of the state."""

import pytest
import torch

from seqlab.activations import activations, attention_weights, named_parts, state_norms
from seqlab.errors import InputError
from seqlab.models.hf import HF
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(7), Classes(7), max_length=12, sos=0, eos=1, pad=2)
SIZES = {"d_model": 8, "num_layers": 2, "num_heads": 2, "ff_dim": 8}
IDS = torch.tensor([[0, 3, 4, 5, 6, 3]])


@pytest.mark.parametrize("make", [lambda: Transformer(SPEC, **SIZES), lambda: LSTM(SPEC, d_model=8, hidden_dim=8)])
def test_the_last_module_gives_the_logits_and_hooks_are_gone(make):
    model = make().eval()
    with torch.no_grad():
        logits = model(IDS)
    found = activations(model, IDS)
    torch.testing.assert_close(found["head"], logits, rtol=1e-4, atol=1e-5)
    assert {"embedding", "head"} <= found.keys() <= dict(model.named_modules()).keys()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "alibi"])
def test_attention_weights_are_those_that_the_layer_uses(positions):
    model = Transformer(SPEC, **SIZES, positions=positions).eval()
    name = "layers.1.attention"
    found = activations(model, IDS, [f"{name}.weights", name, f"{name}.qkv", "layers.1.norm1"])
    weights = found[f"{name}.weights"]
    assert weights.shape == (1, 2, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 6))
    assert (weights.triu(1) == 0).all()
    values = found[f"{name}.qkv"].unflatten(-1, (3, 2, 4))[:, :, 2].transpose(1, 2)
    read = (weights @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(model.layers[1].attention.out(read).detach(), found[name], rtol=1e-4, atol=1e-5)
    assert [*attention_weights(model, IDS)] == ["layers.0.attention.weights", f"{name}.weights"]


@pytest.mark.parametrize("type", ["gpt2", "llama"])
def test_weights_of_the_library_are_those_that_its_layers_use(type):
    model = HF(SPEC, type=type, **SIZES).eval()
    found = activations(model, IDS, ["attentions.1.weights"])
    (weights,) = found.values()
    assert weights.shape == (1, 2, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 6))
    assert (weights.triu(1) == 0).all()
    assert [*attention_weights(model, IDS)] == ["attentions.0.weights", "attentions.1.weights"]
    torch.testing.assert_close(activations(model, IDS)["net.lm_head"], model(IDS).detach())
    if type == "gpt2":
        name = "net.transformer.h.1.attn"
        inside = activations(model, IDS, [f"{name}.c_attn", f"{name}.c_proj"])
        values = inside[f"{name}.c_attn"].unflatten(-1, (3, 2, 4))[:, :, 2].transpose(1, 2)
        read = (weights @ values).transpose(1, 2).flatten(2)
        layer = model.get_submodule(f"{name}.c_proj")
        torch.testing.assert_close(layer(read).detach(), inside[f"{name}.c_proj"], rtol=1e-4, atol=1e-5)


def test_what_is_no_attention_is_not_shown():
    assert attention_weights(HF(SPEC, type="mamba2", **SIZES).eval(), IDS) == {}
    falcon = HF(SPEC, type="falcon", **SIZES).eval()  # its plain implementation sees the future here
    assert attention_weights(falcon, IDS) == {}
    with pytest.raises(InputError, match=r"^attentions.0.weights: no such module"):
        activations(falcon, IDS, ["attentions.0.weights"])


def test_names_that_are_none_are_refused():
    model = LSTM(SPEC, d_model=8, hidden_dim=8)
    with pytest.raises(InputError, match=r"^haed: no such module; did you mean head\?"):
        activations(model, IDS, ["haed"])
    with pytest.raises(InputError, match=r"weights: no such module"):
        activations(model, IDS, ["lstm.weights"])
    with pytest.raises(InputError, match=r"^names='head': give a list, such as \['head'\]"):
        activations(model, IDS, "head")
    model.spare = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"^spare: the model does not call this module"):
        activations(model, IDS, ["spare", "head"])
    assert attention_weights(model, IDS) == {}


def test_norms_of_the_state_are_those_of_reading_so_far():
    model = LSTM(SPEC, d_model=8, hidden_dim=8).eval()
    norms = state_norms(model, IDS)
    for steps in (1, 4):
        with torch.no_grad():
            _, state = model.prefill(IDS[:, :steps], model.init_state(1))
        for name, part in named_parts(state):
            assert norms[name][steps - 1] == pytest.approx(float(part.norm()), rel=1e-4)
    assert len(norms) == 2 and all(len(values) == 6 for values in norms.values())
