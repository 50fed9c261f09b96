"""A small configuration of any causal language model of the library transformers, from the sizes that models have here.

Nothing is fetched and no code but the library's own runs: keys that could ask for either are refused, and a hub gets no
request.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from seqlab.errors import nearest
from seqlab.model import num_parameters
from seqlab.spec import Spec, Tokens

# Keys that name code or files to be fetched, choose an implementation, or configure a part of another type.
REFUSED = re.compile(
    r"auto_map|implementation|quantization|backbone|name_or_path|remote|revision|pretrained|kernels|dtype|_config$|^_"
)
FROM_THE_DATA = {"vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"}
MOST_PARAMETERS = 2**29  # 2 GiB in float32: a type may have parts that the sizes here do not reach
LONGEST_REASON = 200  # characters of what the library says
CHUNK = 16  # steps that a state-space layer reads at once; mamba2's own 256 take 60 times as long for short sequences


class Sizes(NamedTuple):
    """The sizes that every model has here."""

    d_model: int
    num_layers: int
    num_heads: int
    ff_dim: int


def library() -> ModuleType:
    """The library, which keeps its warnings to itself.

    Raises:
        ValueError: it is not installed.
    """
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # read when it is imported: kernels are code, fetched or kept before
    try:
        import transformers
    except ImportError as error:
        raise ValueError("model=hf needs the package transformers: pip install 'seqlab[hf_models]'") from error
    transformers.logging.set_verbosity_error()  # it warns that kernels are missing and that a cache is empty
    return transformers


@contextmanager
def offline() -> Iterator[None]:
    """Inside, every request to a hub is refused, whatever asks for it."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def build(type: str, spec: Spec, sizes: Sizes, dropout: float, further: Mapping[str, Any]) -> Any:
    """A model of the library with random weights.

    Args:
        type: a model_type that has a causal language model.
        spec: gives the vocabulary and the number of positions.
        sizes: under whatever names the type has for them.
        dropout: wherever the type has dropout.
        further: keys of the type's own configuration; they go before the sizes.

    Raises:
        ValueError: there is no such type, a key is refused or unknown, the library refuses the values, or the model
            would have more than MOST_PARAMETERS.
    """
    transformers = library()
    types = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if type not in types:
        close = difflib.get_close_matches(type, types, n=3)
        guess = f"did you mean {', '.join(close)}?" if close else "allowed: gpt2, llama, mamba2, qwen3 and others"
        raise ValueError(
            f"model.type={type}: transformers {transformers.__version__} has no such causal language model; {guess}"
        )
    refuse(further)
    with offline(), refusals(type):
        default = transformers.AutoConfig.for_model(type)
        text = default.get_text_config(decoder=True)
        if text.__class__ is not default.__class__:  # of a model that also sees; else it is a copy under other names
            default = text
    known = own_keys(default, transformers)
    if unknown := sorted(set(further) - known):
        choices = nearest(unknown[0], known - FROM_THE_DATA)
        raise ValueError(f"model.config.{unknown[0]}: model.type={type} has no such key; {choices}")
    keys = keys_of(default, known, spec, sizes, type) | dropouts(default, known, dropout, type) | dict(further)
    with offline(), refusals(type):
        with torch.device("meta"):  # shapes without memory
            declared = num_parameters(transformers.AutoModelForCausalLM.from_config(default.__class__(**keys)))
        if declared > MOST_PARAMETERS:
            raise ValueError(
                f"{declared:,} parameters, of {MOST_PARAMETERS:,} allowed; model.config sets further sizes"
            )
        return transformers.AutoModelForCausalLM.from_config(default.__class__(**keys))


@contextmanager
def refusals(type: str) -> Iterator[None]:
    """Turn whatever the library raises for values that do not fit each other into one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise ValueError(f"model.type={type} refuses this: {error.__class__.__name__}: {reason}") from error


def refuse(further: Mapping[str, Any], path: str = "model.config") -> None:
    """Raise ValueError for a key, at any depth, that is not a plain number or choice of the architecture."""
    for key, value in further.items():
        if REFUSED.search(str(key)):
            raise ValueError(f"{path}.{key}: not allowed; it could fetch files, run other code or set a precision")
        if path == "model.config" and key in FROM_THE_DATA:
            raise ValueError(f"{path}.{key}: not allowed; it follows from the data")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                refuse(item, f"{path}.{key}")


def own_keys(default: Any, transformers: ModuleType) -> set[str]:
    """The keys of a type's own configuration, with its other names for them; not those of every configuration."""
    of_all = set(transformers.PretrainedConfig().to_dict())
    own = set(default.to_dict()) - of_all
    return own | {name for name, key in default.attribute_map.items() if key in own} | {"tie_word_embeddings"}


def keys_of(default: Any, known: set[str], spec: Spec, sizes: Sizes, type: str) -> dict[str, Any]:
    """What a type's configuration has to say for these sizes."""
    vocabulary = spec.input.size if isinstance(spec.input, Tokens) else spec.output.width
    keys = {key: value for key, value in named(sizes, spec.max_length).items() if key in known}
    if default.to_dict().get("q_lora_rank") is None:
        keys.pop("q_lora_rank", None)  # queries without a projection to a lower rank
    if "vocab_size_per_layer_input" in known:
        keys["vocab_size_per_layer_input"] = vocabulary
    for name in {"layer_types", "layers_block_type"} & known:
        kinds: list[str] = list(dict.fromkeys(getattr(default, name) or ()))
        if len(kinds) > 1:  # the first few layers of the default may all be of one kind
            keys[name] = alternating(kinds, sizes.num_layers)
    keys |= OF_ONE_TYPE.get(type, lambda sizes: {})(sizes)
    renamed = {default.attribute_map.get(key, key): value for key, value in keys.items()}
    # No id is padding: an embedding of padding has no gradient, and some types count positions by it.
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    # Of the ways to compute experts this one takes any precision, and for a few experts no longer.
    one_by_one = {"experts_implementation": "eager"}
    fixed = {"vocab_size": vocabulary, "tie_word_embeddings": False, "is_decoder": True}
    return renamed | special | one_by_one | fixed


def alternating(kinds: list[str], num_layers: int) -> list[str]:
    """Each kind of layer in turn.

    >>> alternating(["conv", "full_attention"], 3)
    ['conv', 'full_attention', 'conv']
    """
    return (kinds * num_layers)[:num_layers]


def dropouts(default: Any, known: set[str], dropout: float, type: str) -> dict[str, float]:
    """Every rate of dropout in a type's configuration, but those of heads that are not built.

    Raises:
        ValueError: dropout is asked for, and the type has none.
    """
    rates = re.compile("(?!classifier|summary)[a-z_]*(dropout|pdrop)")
    names = [key for key, value in default.to_dict().items() if key in known and rates.match(key) and is_rate(value)]
    if dropout and not names:
        raise ValueError(f"model.dropout={dropout}: model.type={type} has no dropout; allowed: 0")
    return dict.fromkeys(names, dropout)


def is_rate(value: Any) -> bool:
    """Whether a default is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def named(sizes: Sizes, length: int) -> dict[str, Any]:
    """The sizes under all names that types have for them; a configuration takes those that it has."""
    d_model, num_layers, num_heads, ff_dim = sizes
    head, inner, experts = max(d_model // num_heads, 1), 2 * d_model, 4
    low_rank = max(d_model // 16, 1)
    names = [
        (
            "hidden_size n_embd d_model embedding_dim emb_dim embedding_size input_embedding_size dim_model lru_width "
            "output_embedding_size attention_hidden_size word_embed_proj_dim cross_attention_hidden_size "
            "hidden_size_per_layer_input",
            d_model,
        ),
        ("num_hidden_layers n_layer n_layers num_layers num_blocks decoder_layers num_decoder_layers", num_layers),
        (
            "num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads "
            "num_decoder_attention_heads num_key_value_heads num_kv_heads kv_n_heads linear_num_heads "
            "linear_num_key_heads linear_num_value_heads swa_num_attention_heads swa_num_key_value_heads "
            "index_n_heads indexer_n_heads indexer_kv_heads",
            num_heads,
        ),
        (
            "intermediate_size n_inner ffn_dim ffn_hidden_size decoder_ffn_dim d_inner dim_ff feed_forward_size "
            "moe_intermediate_size shared_intermediate_size shared_expert_intermediate_size intermediate_size_mlp "
            "moe_shared_expert_intermediate_size expert_ffn_hidden_size dense_intermediate_size "
            "prefix_dense_intermediate_size shared_experts_intermediate_size",
            ff_dim,
        ),
        (
            "head_dim v_head_dim qk_head_dim qk_nope_head_dim kv_lora_rank q_lora_rank o_lora_rank d_head d_kv "
            "dim_head attention_head_size kv_channels linear_head_dim linear_key_head_dim linear_value_head_dim "
            "swa_head_dim index_head_dim indexer_head_dim global_head_dim",
            head,
        ),
        ("qk_rope_head_dim rotary_dim", max(head // 2 * 2, 2)),
        ("n_mamba_heads mamba_n_heads mamba_num_heads", num_heads),
        ("mamba_d_head mamba_headdim mamba_head_dim", inner // num_heads),
        ("mamba_d_ssm", inner),
        ("n_groups mamba_n_groups mamba_ngroups n_group topk_group o_groups", 1),
        ("time_step_rank mamba_dt_rank gated_norm_rank", low_rank),
        ("num_experts num_local_experts n_routed_experts moe_num_experts", experts),
        ("num_experts_per_tok moe_topk moe_top_k top_k_experts", experts // 2),
        ("max_position_embeddings n_positions context_length max_target_positions", length),
        ("chunk_size mamba_chunk_size block_size attention_chunk_size", CHUNK),
        ("first_k_dense_replace num_dense_layers", 1),
        ("num_nextn_predict_layers num_mtp_layers num_kv_shared_layers", 0),
        ("adapter_rank laurel_rank", low_rank),
    ]
    return {name: value for words, value in names for name in words.split()}


def _lfm2(sizes: Sizes) -> dict[str, Any]:
    return {"layer_types": alternating(["conv", "full_attention"], sizes.num_layers), "block_auto_adjust_ff_dim": False}


def _zamba(sizes: Sizes) -> dict[str, Any]:
    inner = 2 * sizes.d_model  # its attention reads the layer beside the embedding
    return {"attention_hidden_size": inner, "attention_head_dim": inner // sizes.num_heads, "use_mamba_kernels": False}


# What a size has to be for one type alone.
OF_ONE_TYPE: Mapping[str, Callable[[Sizes], dict[str, Any]]] = MappingProxyType(
    {
        "lfm2": _lfm2,
        "lfm2_moe": _lfm2,
        "jamba": lambda sizes: {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
        "mamba2": lambda sizes: {"head_dim": 2 * sizes.d_model // sizes.num_heads},
        "xlstm": lambda sizes: {"qk_dim_factor": 1.0, "autocast_kernel_dtype": "float32"},
        "zamba": _zamba,
        "zamba2": _zamba,
    }
)


def width_of(net: nn.Module) -> int:
    """The width that a model of the library reads at its first layer."""
    return net.get_input_embeddings().weight.shape[1]  # type: ignore[operator]
