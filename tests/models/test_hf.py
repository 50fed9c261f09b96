"""model=hf: what it builds of a type, what it refuses, and how a cache becomes a value."""

import socket
import sys

import pytest
import torch
from transformers import DynamicCache

from seqlab.contract.measure import random_inputs
from seqlab.errors import InputError
from seqlab.models.hf_cache import CacheForm
from seqlab.run.build import build
from seqlab.spec import Bits, Classes, Spec, Tokens
from tests.small_models import small_model, token_spec, vector_spec


def built(type, spec=None, **options):
    return small_model("hf", spec or token_spec(), type=type, **options)


@pytest.mark.parametrize(
    ("type", "keys"),
    [
        ("llama", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}),
        ("gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 9, "vocab_size": 7}),
        ("mamba2", {"hidden_size": 16, "num_heads": 4, "head_dim": 8, "chunk_size": 16}),
        ("zamba2", {"chunk_size": 16, "attention_hidden_size": 32}),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}),
        ("qwen3_next", {"layer_types": ["linear_attention", "full_attention"]}),
        ("gemma3", {"layer_types": ["sliding_attention", "full_attention"], "pad_token_id": None}),
    ],
)
def test_sizes_have_the_names_of_the_type(type, keys):
    config = built(type).net.config
    assert {key: getattr(config, key) for key in keys} == keys


@pytest.mark.parametrize("type", ["zamba2", "qwen3_next", "lfm2", "gemma3"])
def test_a_small_hybrid_has_both_kinds_of_layers(type):
    config = built(type).net.config
    kinds = config.layers_block_type if type == "zamba2" else config.layer_types
    assert len(kinds) == len(set(kinds)) == 2


def test_dropout_is_every_rate_of_the_type():
    config = built("gpt2", dropout=0.25).net.config
    assert config.resid_pdrop == config.embd_pdrop == config.attn_pdrop == 0.25
    with pytest.raises(ValueError, match=r"^model.dropout=0.1: model.type=mamba2 has no dropout; allowed: 0$"):
        built("mamba2", dropout=0.1)


def test_further_keys_go_before_the_sizes():
    config = built("llama", config={"num_key_value_heads": 2, "hidden_act": "gelu"}).net.config
    assert (config.num_key_value_heads, config.num_attention_heads, config.hidden_act) == (2, 4, "gelu")


@pytest.mark.parametrize(
    ("type", "options", "message"),
    [
        ("lama", {}, r"model.type=lama: transformers [\d.]+ has no such causal language model; did you mean .*llama"),
        ("bert-base", {}, "has no such causal language model; did you mean "),
        (
            "llama",
            {"config": {"hiden_act": "silu"}},
            "model.config.hiden_act: model.type=llama has no such key; did",
        ),
        ("llama", {"config": {"vocab_size": 9}}, "model.config.vocab_size: not allowed; it follows from the data"),
        ("llama", {"config": {"hidden_act": "nothing"}}, "model.type=llama refuses this: "),
        ("llama", {"config": {"hidden_size": "wide"}}, "model.type=llama refuses this: "),
        ("gpt2", {"num_heads": 3}, "model.type=gpt2 refuses this: "),
        (
            "llama",
            {"d_model": 2**15, "num_layers": 9},
            r"ValueError: [\d,]+ parameters, of 536,870,912 allowed",
        ),
        (
            "gemma3",
            {"config": {"use_bidirectional_attention": True}},
            "model.type=gemma3 is not causal here: outputs depend on later inputs",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(type, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        built(type, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModelForCausalLM": "somebody/code--modeling.Model"}},
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel"},
        {"experts_implementation": "somebody/kernel"},
        {"quantization_config": {"quant_method": "gptq"}},
        {"name_or_path": "somebody/weights"},
        {"trust_remote_code": True},
        {"use_mamba_kernels": True},
        {"dtype": "float16"},
        {"vision_config": {"model_type": "timm_wrapper"}},
        {"rope_parameters": {"rope_type": "default", "auto_map": "x"}},
        {"layers": [{"backbone": "somebody/weights"}]},
    ],
    ids=lambda config: next(iter(config)),
)
def test_keys_that_could_fetch_or_run_something_are_refused(config, compose):
    with pytest.raises(ValueError, match=r"^model\.config\.[\w.]+: not allowed; it could fetch files"):
        built("llama", config=config)
    plain = compose("model=hf", "model.type=llama")
    plain["model"]["config"] = config  # as a checkpoint may say
    with pytest.raises(InputError, match="not allowed"):
        build(plain)


@pytest.mark.parametrize("type", ["mamba2", "gpt_oss", "gemma3", "falcon_mamba"])
def test_nothing_is_asked_for_over_a_network(type, monkeypatch):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **options: asked.append(address))
    model = built(type)
    model(random_inputs(model.spec, 2, 5))
    assert asked == []


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"^model=hf needs the package transformers: pip install 'seqlab\[hf_models"):
        built("llama")


def test_inputs_and_outputs_of_every_kind():
    for spec in (vector_spec(), Spec(Tokens(256, embedding="fourier"), Bits(8), max_length=9)):
        model = built("llama", spec)
        assert model(random_inputs(spec, 2, 5)).shape == (2, 5, spec.output.width)
    with pytest.raises(ValueError, match="embedding=pair needs a model with positions"):
        built("llama", Spec(Tokens(256, embedding="pair"), Bits(8), max_length=9))


def test_more_steps_than_positions_are_refused():
    with pytest.raises(ValueError, match=r"model.type=gpt2 reads up to 9 steps, not 12; model.config=\{max_position"):
        built("gpt2").init_state(1, 12)
    built("gpt2", config={"max_position_embeddings": 12}).init_state(1, 12)
    built("mamba2").init_state(1, 999)


def test_a_table_of_positions_shorter_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"model.type=gpt2 reads up to 5 steps, not 9; model.config=\{max_position"):
        built("gpt2", config={"n_positions": 5})


@pytest.mark.parametrize("type", ["bert", "gpt2", "gptj", "openai-gpt", "opt"])
def test_more_steps_than_it_can_read_are_named(type):
    model = built(type, Spec(Tokens(7), Classes(7), max_length=6), **{"d_model": 16, "num_heads": 4})
    with pytest.raises(ValueError, match=rf"model.type={type} does not read 9 steps"):
        model(torch.zeros(1, 9, dtype=torch.int64))


def test_a_model_is_built_in_training_mode():
    model = built("llama")
    assert model.training and all(module.training for module in model.modules())


def caches(steps=3, **kept):
    """Of an attention layer after 1, 2 ... steps of 5 rows."""
    found = []
    for number in range(1, steps + 1):
        cache = DynamicCache()
        keys = torch.arange(5.0 * 2 * number * 3).view(5, 2, number, 3)
        cache.update(keys, -keys, 0)
        for name, values in kept.items():
            setattr(cache, name, values[number - 1])
        found.append(cache)
    return found


def test_a_cache_is_taken_apart_and_put_together():
    made = caches(counted=[1, 2, 3], twice=[torch.tensor([7.0])] * 3)
    form = CacheForm(made, 5)
    parts = form.parts(made[1])
    assert [tuple(part.shape) for part in parts] == [(5, 2, 2, 3)] * 2
    whole = form.whole(parts, 2)
    assert whole.counted == 2 and torch.equal(whole.twice, torch.tensor([7.0]))
    assert all(map(torch.equal, form.parts(whole), parts))
    whole.update(torch.zeros(5, 2, 1, 3), torch.zeros(5, 2, 1, 3), 0)
    for part in form.parts(form.whole(parts, 2)):
        part.zero_()
    assert parts[0].shape[2] == 2 and parts[0].abs().sum() > 0


def test_the_batch_may_be_at_any_place():
    rows = [torch.rand(2, 5, number) for number in (1, 2, 3)]
    form = CacheForm(caches(other=rows), 5)
    part = form.parts(caches(other=rows)[2])[-1]
    assert part.shape == (5, 2, 3) and torch.equal(part.movedim(0, 1), rows[2])


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"squares": [1, 4, 9]}, r"something \(int\) that changes with the steps"),
        (
            {"table": [torch.zeros(1), *[torch.ones(1)] * 2]},
            r"something \(Tensor\) that changes with the steps",
        ),
        ({"sometimes": [[], [1], [1, 2]]}, "another number of things"),
    ],
)
def test_what_changes_otherwise_cannot_be_restored(kept, message):
    with pytest.raises(ValueError, match=message):
        CacheForm(caches(**kept), 5)
