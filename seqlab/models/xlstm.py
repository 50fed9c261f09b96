"""xLSTM (Beck et al. 2024): the package `xlstm` behind the contract of a sequence model."""

import functools
import os
from collections import namedtuple
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn

from seqlab.model import SequenceModel, zeros
from seqlab.nn.embedding import input_layer
from seqlab.nn.slstm import SLSTMCell, choose_backend
from seqlab.spec import Spec

# B batch, T time, C channels, H heads, D head width, S = 4 states of the sLSTM, I inner width of an mLSTM
# block, K width of the convolution


class MLSTMState(NamedTuple):
    """Matrix memory, normaliser and stabiliser of an mLSTM block, and the last inputs of its convolution."""

    memory_BHDD: Tensor
    normaliser_BHD1: Tensor
    maximum_BH11: Tensor
    inputs_BKI: Tensor


class SLSTMState(NamedTuple):
    """Output, cell, normaliser and stabiliser of an sLSTM block, and the last inputs of its convolution."""

    states_BSC: Tensor
    inputs_BKC: Tensor


@functools.cache
def state_type(num_blocks: int) -> Any:
    """The NamedTuple with one `MLSTMState` or `SLSTMState` a block, named as in the package's dict."""
    names = [f"block_{index}" for index in range(num_blocks)]
    return namedtuple("XLSTMState", names)


class XLSTM(SequenceModel):
    """Embedding, a residual stack of mLSTM and sLSTM blocks with a final norm, a linear head without bias.

    `forward` is the package's parallel form, up to its context length (spec.max_length + 1); `prefill`, `step` and
    longer inputs take the package's recurrent steps, which know no length. A state is a NamedTuple with an
    `MLSTMState` or an `SLSTMState` a block.

    Args:
        spec: what goes in and comes out, and the context length.
        d_model: width of the residual stream.
        num_layers: number of blocks.
        num_heads: heads of the mLSTM and of the sLSTM; must divide d_model into parts of at least 2.
        slstm_at: which blocks, counted from 0, are sLSTM blocks.
        d_conv: width of the causal convolution in both kinds of block.
        qkv_blocksize: queries, keys and values of the mLSTM are computed from so many channels each.
        ff_factor, activation: of the gated feed-forward layer of an sLSTM block; its width, ff_factor times d_model,
            is rounded up to a multiple of 64.
        bias_init: how the forget gates of the sLSTM start.
        dropout: on the output of each layer in a block.
        backend: of the sLSTM. `vanilla` (or `cpu`) is plain torch. `auto` uses the package's CUDA kernels for tensors
            on a GPU where they can be compiled, and plain torch elsewhere; `cuda` does the same and refuses to go
            without the kernels.
        cuda_dtype: what the CUDA kernels compute in. The weights are float32 either way.

    Raises:
        ValueError: when sizes do not divide, or the kernels of backend=cuda cannot be had; the message says why.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(2)] = 128,
        num_layers: Annotated[int, Ge(1)] = 7,
        num_heads: Annotated[int, Ge(1)] = 4,
        slstm_at: tuple[Annotated[int, Ge(0)], ...] = (1,),
        d_conv: Annotated[int, Ge(2)] = 4,
        qkv_blocksize: Annotated[int, Ge(1)] = 4,
        ff_factor: Annotated[float, Gt(0)] = 1.3,
        activation: Literal["gelu", "relu", "swish"] = "gelu",
        bias_init: Literal["powerlaw_blockdependent", "small_init", "standard"] = "powerlaw_blockdependent",
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        backend: Literal["auto", "vanilla", "cpu", "cuda"] = "auto",
        cuda_dtype: Literal["float32", "bfloat16"] = "float32",
    ):
        super().__init__(spec)
        check_sizes(d_model, num_layers, num_heads, slstm_at, qkv_blocksize)
        with_kernels = choose_backend(backend)
        xlstm = import_package()
        self.slstm_at = sorted(set(slstm_at))
        self.context_length = spec.max_length + 1
        self.embedding = input_layer(spec, d_model)
        feed_forward = xlstm.FeedForwardConfig(proj_factor=ff_factor, act_fn=activation, dropout=dropout)
        mlstm = xlstm.mLSTMLayerConfig(conv1d_kernel_size=d_conv, qkv_proj_blocksize=qkv_blocksize, num_heads=num_heads)
        slstm = xlstm.sLSTMLayerConfig(
            conv1d_kernel_size=d_conv, num_heads=num_heads, bias_init=bias_init, backend="vanilla", dtype=cuda_dtype
        )
        self.stack = xlstm.xLSTMBlockStack(
            xlstm.xLSTMBlockStackConfig(
                mlstm_block=xlstm.mLSTMBlockConfig(mlstm=mlstm),
                slstm_block=xlstm.sLSTMBlockConfig(slstm=slstm, feedforward=feed_forward),
                context_length=self.context_length,
                num_blocks=num_layers,
                embedding_dim=d_model,
                dropout=dropout,
                slstm_at=self.slstm_at,
            )
        )
        self.head = nn.Linear(d_model, spec.output.width, bias=False)
        for index in self.slstm_at:
            layer = self.stack.blocks[index].xlstm
            layer.slstm_cell = SLSTMCell(layer.slstm_cell, with_kernels=with_kernels, required=backend == "cuda")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as the package's language model does, which its constructor does not."""
        from xlstm.components.init import small_init_init_

        d_model = self.head.in_features
        self.stack.reset_parameters()
        if isinstance(self.embedding, nn.Embedding):
            small_init_init_(self.embedding.weight, dim=d_model)  # others start as they are made
        small_init_init_(self.head.weight, dim=d_model)

    def init_state(self, batch: int, length: int | None = None) -> Any:
        """Zeros, and a stabiliser of -inf for the mLSTM.

        The package's step starts its stabiliser from 0. The parallel form has none before the first input, which is
        -inf: started so, the two forms have the same scale at every step, and so the same epsilon. They agree to
        rounding, from 0 only to 1e-6 (in float64 too).
        """
        parts = []
        for index, block in enumerate(self.stack.blocks):
            config, width = block.xlstm.config, block.xlstm.conv1d.config.feature_dim
            heads, inputs = config.num_heads, zeros(self, batch, config.conv1d_kernel_size, width)
            if index in self.slstm_at:
                parts.append(SLSTMState(zeros(self, batch, 4, width), inputs))
            else:
                memory = zeros(self, batch, heads, width // heads, width // heads)
                normaliser = zeros(self, batch, heads, width // heads, 1)
                maximum = torch.full_like(normaliser[:, :, :1], -torch.inf)
                parts.append(MLSTMState(memory, normaliser, maximum, inputs))
        return state_type(len(parts))(*parts)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1] > self.context_length:
            return super().forward(inputs)
        return self.head(self.stack(self.embedding(inputs)))

    def prefill(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        # the package rounds a state to the dtype of its inputs: under autocast it would do so at every step
        with torch.autocast(inputs.device.type, enabled=False):
            for x_BC in self.embedding(inputs).unbind(1):
                output_B1C, after = self.stack.step(x_BC.unsqueeze(1), as_dict(state))
                state = as_value(after)
                outputs.append(output_B1C)
            return self.head(torch.cat(outputs, 1)), state


def as_dict(state: Any) -> dict[str, dict[str, Any]]:
    """A state as the package's step takes it, which overwrites the inputs of the convolutions: they are copied."""
    result: dict[str, dict[str, Any]] = {}
    for name, part in zip(state._fields, state, strict=True):
        if isinstance(part, SLSTMState):
            result[name] = {"slstm_state": part.states_BSC.transpose(0, 1), "conv_state": (part.inputs_BKC.clone(),)}
        else:
            result[name] = {"mlstm_state": part[:3], "conv_state": (part.inputs_BKI.clone(),)}
    return result


def as_value(state: dict[str, dict[str, Any]]) -> Any:
    """What the package's step returns, as NamedTuples with the batch first."""
    parts = []
    for part in state.values():
        (inputs,) = part["conv_state"]
        if "slstm_state" in part:
            parts.append(SLSTMState(part["slstm_state"].transpose(0, 1), inputs))
        else:
            memory, normaliser, maximum = part["mlstm_state"]
            parts.append(MLSTMState(memory, normaliser, maximum, inputs))
    return state_type(len(parts))(*parts)


def import_package() -> ModuleType:
    """The package xlstm, imported when a model needs it.

    Where torch sees a GPU, the import asks for the CUDA toolkit, even for plain torch, and fails without (OSError:
    CUDA_HOME is not set). A stand-in for CUDA_HOME, for the time of the import, is all that it needs.
    """
    from torch.utils import cpp_extension

    stand_in = torch.cuda.is_available() and cpp_extension.CUDA_HOME is None
    try:
        if stand_in:
            cpp_extension.CUDA_HOME = os.sep
        import xlstm
    finally:
        if stand_in:
            cpp_extension.CUDA_HOME = None
            os.environ.pop("CUDA_LIB", None)  # where the import thinks that the toolkit is
    return xlstm


def check_sizes(d_model: int, num_layers: int, num_heads: int, slstm_at: tuple[int, ...], qkv_blocksize: int) -> None:
    """Raise ValueError where the package would fail on an assertion or divide by zero."""
    inner = -(-2 * d_model // 64) * 64  # of an mLSTM block: the package rounds up to a multiple of 64
    heads = [n for n in range(1, d_model // 2 + 1) if d_model % n == 0 and inner % n == 0]
    if num_heads not in heads:
        raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model} and {inner}; allowed: {heads}")
    if inner % qkv_blocksize:
        sizes = [n for n in range(1, inner + 1) if inner % n == 0]
        raise ValueError(f"qkv_blocksize={qkv_blocksize} does not divide {inner}; allowed: {sizes}")
    if any(index >= num_layers for index in slstm_at):
        raise ValueError(
            f"num_layers={num_layers} needs another slstm_at than {list(slstm_at)}; allowed: 0 to {num_layers - 1}"
        )
