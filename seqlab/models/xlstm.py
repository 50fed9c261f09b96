"""xLSTM (Beck et al. 2024): the package `xlstm` with the interface of a sequence model."""

import functools
import os
from collections import namedtuple
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Interval, Le
from torch import Tensor, nn

from seqlab.model import SequenceModel, zeros
from seqlab.nn.embedding import input_layer
from seqlab.nn.mlstm import MLSTMStep, NoConvolution
from seqlab.nn.native import xlstm as native
from seqlab.nn.native.choice import Backend, has_hooks, takes_native
from seqlab.nn.slstm import SLSTMCell, choose_backend
from seqlab.ragged import real_steps, row_starts
from seqlab.spec import Spec

# B batch, T time, C channels, H heads, D head width, S = 4 states of the sLSTM, I inner width of an mLSTM
# block, K width of the convolution, N steps of all rows one after another

# which implementation on a CPU follows from model.backend
ON_A_CPU: dict[str, Backend] = {"auto": "auto", "native": "native"}


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
    """The NamedTuple type with one `MLSTMState` or `SLSTMState` per block, named as in the package's dict."""
    names = [f"block_{index}" for index in range(num_blocks)]
    return namedtuple("XLSTMState", names)


class XLSTM(SequenceModel):
    """Embedding, a residual stack of mLSTM and sLSTM blocks with a final norm, a linear head without bias.

    `forward` and `packed` use the parallel form up to the context length (spec.max_length + 1): that of the package, or
    on a CPU native kernels with the same weights (seqlab/nn/native/xlstm.py). `prefill`, `step` and longer inputs use
    the recurrent steps, which have no length limit: the package's, but for the cells (seqlab/nn/slstm.py, mlstm.py). A
    state is a NamedTuple with one `MLSTMState` or `SLSTMState` per block.

    Args:
        spec: input and output format, and the context length.
        d_model: width of the residual stream.
        num_layers: number of blocks.
        num_heads: heads of the mLSTM and of the sLSTM; must divide d_model into parts of at least 2.
        slstm_at: indices of the sLSTM blocks, from 0: `[]` is an xLSTM[1:0] of the paper, all of them an xLSTM[0:1].
        d_conv: width of the causal convolution in both types of block, 2 or more; 0: no convolution.
        qkv_blocksize: block size of the block-diagonal projections to queries, keys and values of the mLSTM.
        ff_factor, activation: of the gated feed-forward layer of an sLSTM block; its width, ff_factor times d_model,
            is rounded up to a multiple of 64.
        bias_init: initialisation of the forget gates of the sLSTM.
        dropout: dropout on the output of each layer in a block.
        backend: `auto`: on a CPU in float32, C++ kernels for both types of block if they can be compiled; on a GPU, the
            package's CUDA kernels for the sLSTM if they can be compiled; else plain torch. `native`: the C++ kernels,
            with a warning without them, and an error on a GPU. `cuda`: the CUDA kernels, with an error without them,
            and plain torch on a CPU. `torch` (or `vanilla`, `cpu`): plain torch everywhere.
        cuda_dtype: dtype in which the CUDA kernels compute. The weights are float32 in any case.

    Raises:
        ValueError: sizes do not divide, or backend=cuda lacks the kernels; the message says why.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(2)] = 128,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 7,
        num_heads: Annotated[int, Ge(1)] = 4,
        slstm_at: tuple[Annotated[int, Ge(0)], ...] = (1,),
        d_conv: Annotated[int, Ge(0)] = 4,
        qkv_blocksize: Annotated[int, Ge(1)] = 4,
        ff_factor: Annotated[float, Gt(0)] = 1.3,
        activation: Literal["gelu", "relu", "swish"] = "gelu",
        bias_init: Literal["powerlaw_blockdependent", "small_init", "standard"] = "powerlaw_blockdependent",
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        backend: Literal["auto", "torch", "native", "cuda", "vanilla", "cpu"] = "auto",
        cuda_dtype: Literal["float32", "bfloat16"] = "float32",
    ):
        super().__init__(spec)
        check_sizes(d_model, num_layers, num_heads, slstm_at, d_conv, qkv_blocksize)
        with_kernels = choose_backend(backend)
        xlstm = import_package()
        self.slstm_at, self.d_conv = sorted(set(slstm_at)), d_conv
        self.context_length = spec.max_length + 1
        self.embedding = input_layer(spec, d_model)
        feed_forward = xlstm.FeedForwardConfig(proj_factor=ff_factor, act_fn=activation, dropout=dropout)
        mlstm = xlstm.mLSTMLayerConfig(
            conv1d_kernel_size=d_conv or 2, qkv_proj_blocksize=qkv_blocksize, num_heads=num_heads
        )
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
        self.mlstm_step = MLSTMStep(ON_A_CPU.get(backend, "torch"))
        for index in set(range(num_layers)) - set(self.slstm_at):
            layer = self.stack.blocks[index].xlstm
            layer.mlstm_cell.backend_fn_step = self.mlstm_step
            if not d_conv:
                layer.conv1d = NoConvolution()
        self.part_types = part_types(self.stack)
        self.reset_parameters()

    @property
    def backend(self) -> Backend:
        """Who computes on a CPU: whole sequences, and the steps of the mLSTM."""
        return self.mlstm_step.backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self.mlstm_step.backend = backend

    def reset_parameters(self) -> None:
        """Initialise like the package's language model; the constructor of its block stack does not do so."""
        from xlstm.components.init import small_init_init_

        d_model = self.head.in_features
        self.stack.reset_parameters()
        if isinstance(self.embedding, nn.Embedding):
            small_init_init_(self.embedding.weight, dim=d_model)  # other input layers keep their initialisation
        small_init_init_(self.head.weight, dim=d_model)

    def init_state(self, batch: int, length: int | None = None) -> Any:
        """Zeros, and -inf for the stabiliser of the mLSTM.

        The package's step starts its stabiliser from 0. The parallel form has no stabiliser before the first input,
        which corresponds to -inf. With -inf both forms have the same scale at every step, and so the same epsilon, and
        agree up to rounding. With 0 they agree only to 1e-6, even in float64.
        """
        parts = []
        for index, block in enumerate(self.stack.blocks):
            if index in self.slstm_at:
                width = self.head.in_features
                parts.append(SLSTMState(zeros(self, batch, 4, width), zeros(self, batch, self.d_conv, width)))
            else:
                heads, width = block.xlstm.config.num_heads, block.xlstm.proj_down.in_features
                memory = zeros(self, batch, heads, width // heads, width // heads)
                normaliser = zeros(self, batch, heads, width // heads, 1)
                maximum = torch.full_like(normaliser[:, :, :1], -torch.inf)
                parts.append(MLSTMState(memory, normaliser, maximum, zeros(self, batch, self.d_conv, width)))
        return state_type(len(parts))(*parts)

    def _is_native(self) -> bool:
        # not if somebody has replaced a part or hooked onto it (`is_plain`)
        plain = self.part_types == part_types(self.stack) and not any(map(has_hooks, self.stack.modules()))
        if self.backend == "torch" or torch.is_autocast_enabled("cpu") or not plain:
            return False
        weight = self.stack.post_blocks_norm.weight
        if self.backend == "auto" and weight.device.type != "cpu":
            return False  # the sLSTM chooses, and has logged it
        return takes_native("xlstm", self.backend, weight)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self._is_native() or int(lengths.max()) > self.context_length:
            return super().packed(inputs, lengths)
        x_NC = self.embedding(inputs[real_steps(lengths, inputs.shape[1])])
        return self.head(self._stack(x_NC, row_starts(lengths)))

    def _stack(self, x_NC: Tensor, starts: Tensor) -> Tensor:
        """The stack of blocks on packed rows, (N, C), with the native kernels."""
        for index, block in enumerate(self.stack.blocks):
            layer = native.slstm if index in self.slstm_at else native.mlstm
            x_NC = x_NC + layer(block.xlstm, block.xlstm_norm(x_NC), starts)
            if block.ffn is not None:
                x_NC = x_NC + block.ffn(block.ffn_norm(x_NC))
        return self.stack.post_blocks_norm(x_NC)

    def forward(self, inputs: Tensor) -> Tensor:
        batch, time = inputs.shape[:2]
        if time <= self.context_length and self._is_native():
            starts = torch.arange(batch + 1) * time
            x_NC = self._stack(self.embedding(inputs).flatten(0, 1), starts)
            return self.head(x_NC.unflatten(0, (batch, time)))
        if time > self.context_length:
            return super().forward(inputs)
        return self.head(self.stack(self.embedding(inputs)))

    def prefill(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        # the package casts a state to the dtype of its inputs: under autocast it would round at every step
        with torch.autocast(inputs.device.type, enabled=False):
            for x_BC in self.embedding(inputs).unbind(1):
                output_B1C, after = self.stack.step(x_BC.unsqueeze(1), as_dict(state))
                state = as_value(after)
                outputs.append(output_B1C)
            return self.head(torch.cat(outputs, 1)), state


def part_types(module: nn.Module) -> list[type[nn.Module]]:
    """The types of a module and of all its parts."""
    return [type(part) for part in module.modules()]


def as_dict(state: Any) -> dict[str, dict[str, Any]]:
    """Convert a state to the package's format. Convolution inputs are copied, because the package overwrites them."""
    result: dict[str, dict[str, Any]] = {}
    for name, part in zip(state._fields, state, strict=True):
        if isinstance(part, SLSTMState):
            result[name] = {"slstm_state": part.states_BSC.transpose(0, 1), "conv_state": (part.inputs_BKC.clone(),)}
        else:
            result[name] = {"mlstm_state": part[:3], "conv_state": (part.inputs_BKI.clone(),)}
    return result


def as_value(state: dict[str, dict[str, Any]]) -> Any:
    """Convert a state from the package's format to NamedTuples with the batch first."""
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
    """Import the package xlstm, lazily.

    On a machine with a GPU the import fails without the CUDA toolkit (OSError: CUDA_HOME is not set), even if only
    plain torch is used. A temporary placeholder for CUDA_HOME avoids this.
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
            os.environ.pop("CUDA_LIB", None)  # set by the import from the placeholder
    return xlstm


def check_sizes(
    d_model: int, num_layers: int, num_heads: int, slstm_at: tuple[int, ...], d_conv: int, qkv_blocksize: int
) -> None:
    """Raise ValueError for sizes with which the package would fail on an assertion or divide by zero."""
    inner = -(-2 * d_model // 64) * 64  # inner width of an mLSTM block: the package rounds up to a multiple of 64
    heads = [n for n in range(1, d_model // 2 + 1) if d_model % n == 0 and inner % n == 0]
    if num_heads not in heads:
        raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model} and {inner}; allowed: {heads}")
    if inner % qkv_blocksize:
        sizes = [n for n in range(1, inner + 1) if inner % n == 0]
        raise ValueError(f"qkv_blocksize={qkv_blocksize} does not divide {inner}; allowed: {sizes}")
    if d_conv == 1:
        raise ValueError("d_conv=1 is no convolution over time; allowed: 0 (none), 2 and more")
    if any(index >= num_layers for index in slstm_at):
        raise ValueError(
            f"num_layers={num_layers} needs another slstm_at than {list(slstm_at)}; allowed: 0 to {num_layers - 1}"
        )
