"""A decoder-only Transformer (Vaswani et al. 2017), pre-norm or post-norm."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Interval, Le
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from seqlab.model import SequenceModel, check_room, zeros
from seqlab.nn.attention import CausalSelfAttention
from seqlab.nn.dropout import Dropout
from seqlab.nn.embedding import input_layer, tie
from seqlab.nn.native import transformer as native
from seqlab.nn.native.choice import Backend, is_plain, takes_native
from seqlab.nn.native.product import linear
from seqlab.nn.positional import (
    STRIDE,
    LearnedPositions,
    NoPositions,
    PairWithPosition,
    RandomPositions,
    SinusoidalPositions,
)
from seqlab.ragged import real_steps, row_starts
from seqlab.spec import Spec, Tokens

# B batch, T time, C channels, L layers, H heads, S cache capacity, D head width, N tokens of all rows in a row


AddedPositions = SinusoidalPositions | LearnedPositions | NoPositions
Positions = Literal["sinusoidal", "none", "learned", "rotary", "alibi", "random"]


class TransformerState(NamedTuple):
    """Keys and values of the steps read so far, with capacity S."""

    keys_BLHSD: Tensor
    values_BLHSD: Tensor
    length_B: Tensor  # int64, the same in every row


class FeedForward(nn.Module):
    """Linear, activation, dropout, linear (section 3.3).

    `relu_rescale` r computes relu(r x) / r. ReLU is positively homogeneous, so for r > 0 this equals relu(x). The
    option reproduces a published setting and changes nothing (see tests/models/test_transformer.py).
    """

    def __init__(self, *, d_model: int, ff_dim: int, dropout: float, activation: str, relu_rescale: float):
        super().__init__()
        self.linear1 = nn.Linear(d_model, ff_dim)
        self.linear2 = nn.Linear(ff_dim, d_model)
        self.dropout = Dropout(dropout)
        self.activation = gelu if activation == "gelu" else relu
        self.relu_rescale = relu_rescale

    def forward(self, x_BTC: Tensor) -> Tensor:
        hidden = self.linear1(x_BTC)
        if self.relu_rescale != 1.0:
            hidden = relu(self.relu_rescale * hidden) / self.relu_rescale
        else:
            hidden = self.activation(hidden)
        return self.linear2(self.dropout(hidden))

    def packed(self, x_NC: Tensor) -> Tensor:
        """`forward` with the native kernels, without the bias of the last map. It leaves out `relu_rescale`."""
        hidden = linear(x_NC, self.linear1.weight)
        hidden = native.activation(hidden, self.linear1.bias, self.activation is gelu, self.dropout)
        return linear(hidden, self.linear2.weight)


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each with dropout, a residual connection and a layer norm before or after."""

    def __init__(self, *, attention: CausalSelfAttention, feed_forward: FeedForward, pre_norm: bool, d_model: int,
                 dropout: float, eps: float):  # fmt: skip
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.norm1 = nn.LayerNorm(d_model, eps=eps)
        self.norm2 = nn.LayerNorm(d_model, eps=eps)
        self.dropout = Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, x_BTC: Tensor, cache: tuple[Tensor, Tensor, int, bool] | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). With a cache, the inputs are T new steps after it (`CausalSelfAttention.extend`)."""

        def attend(x: Tensor) -> Tensor:
            return self.attention(x) if cache is None else self.attention.extend(x, *cache)

        if self.pre_norm:
            x_BTC = x_BTC + self.dropout(attend(self.norm1(x_BTC)))
            return x_BTC + self.dropout(self.feed_forward(self.norm2(x_BTC)))
        x_BTC = self.norm1(x_BTC + self.dropout(attend(x_BTC)))
        return self.norm2(x_BTC + self.dropout(self.feed_forward(x_BTC)))

    def linear_maps(self) -> tuple[nn.Module, ...]:
        """The four linear maps."""
        return self.attention.qkv, self.attention.out, self.feed_forward.linear1, self.feed_forward.linear2

    def packed(
        self,
        stream_NC: Tensor,
        x_NC: Tensor,
        starts: Tensor,
        norms: Sequence[nn.LayerNorm],
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """`forward` with the native kernels on packed rows.

        Args:
            stream_NC: the residual stream, float32.
            x_NC: the input of the attention: the stream, or its norm.
            starts: (B + 1,) the first token of each row.
            norms: the two that follow the branches. In a pre-norm layer, the second is the next layer's.
            dtype: of the outputs of norms.

        Returns:
            The next stream_NC and x_NC.
        """

        def add(branch_NC: Tensor, bias: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
            total_NC, x_NC = native.residual_norm(stream_NC, branch_NC, bias, norm, dtype, self.dropout)
            return (total_NC if self.pre_norm else x_NC), x_NC

        stream_NC, x_NC = add(self.attention.packed(x_NC, starts), self.attention.out.bias, norms[0])
        return add(self.feed_forward.packed(x_NC), self.feed_forward.linear2.bias, norms[1])


class Transformer(SequenceModel):
    """Embedding, positions along time, causal layers, a linear head.

    Args:
        spec: input and output format; spec.max_length is no limit, except for positions=learned and embedding=pair.
        d_model: width of the residual stream.
        num_layers, num_heads, ff_dim: number of layers, heads (must divide d_model), width of the feed-forward layer.
        dropout: on the embedded input, the attention weights, the feed-forward layer and both residual branches.
        norm: `pre` (Xiong et al. 2020; with a final norm) or `post` (as in the paper; without a final norm).
        activation: activation of the feed-forward layer.
        relu_rescale: r in relu(r x)/r; has no effect, for reproduction only.
        layer_norm_eps: epsilon of every layer norm.
        positions: how a step knows its place (seqlab/nn/positional.py). `sinusoidal` (Vaswani et al. 2017), `none`
            (Haviv et al. 2022), `learned` (a vector for each of spec.max_length positions), `rotary` (Su et al. 2021),
            `alibi` (Press et al. 2022), `random` (Ruoss et al. 2023: sinusoidal, of positions drawn for each batch).
        max_positions: number of sinusoidal positions, and so the maximum sequence length, in steps; of `random`, four
            times the maximum. The others do not use it.
        tied: tie the head's weights to the embedding (Press & Wolf 2017); needs tokens.
        backend: `native`: whole sequences on a CPU are read by C++ kernels (seqlab/nn/native), in float32 or under
            autocast. `torch`: plain torch. `auto`: native where it is available.

    Raises:
        ValueError: num_heads does not divide d_model, relu_rescale is used with gelu, `tied` without a learned
            embedding, or positions that do not fit the heads, max_positions or the embedding.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 6,
        num_heads: Annotated[int, Ge(1)] = 8,
        ff_dim: Annotated[int, Ge(1)] = 512,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
        norm: Literal["pre", "post"] = "pre",
        activation: Literal["relu", "gelu"] = "relu",
        relu_rescale: Annotated[float, Gt(0)] = 1.0,
        layer_norm_eps: Annotated[float, Gt(0)] = 2e-4,
        positions: Positions = "sinusoidal",
        max_positions: Annotated[int, Ge(1)] = 5000,
        tied: bool = False,
        backend: Backend = "auto",
    ):
        super().__init__(spec)
        if d_model % num_heads:
            divisors = [n for n in range(1, d_model + 1) if d_model % n == 0]
            raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model}; allowed: {divisors}")
        if relu_rescale != 1.0 and activation != "relu":
            raise ValueError(f"relu_rescale={relu_rescale} needs activation=relu, not {activation}")
        if positions == "rotary" and d_model // num_heads % 2:
            raise ValueError(f"positions=rotary needs heads of even width: d_model={d_model} has {num_heads} heads")
        if positions == "random" and max_positions < STRIDE * spec.max_length:
            least = STRIDE * spec.max_length
            raise ValueError(f"positions=random needs max_positions={least} or more here, not {max_positions}")
        if isinstance(spec.input, Tokens) and spec.input.embedding == "pair":
            if positions != "sinusoidal":
                raise ValueError(f"positions={positions} does not go with embedding=pair, which has its own")
            self.embedding = nn.Identity()
            self.positions = PairWithPosition(spec.input.size, d_model, spec.max_length)
        else:
            if positions == "sinusoidal" and max_positions < spec.max_length:
                raise ValueError(f"max_positions={max_positions}: needed here are {spec.max_length} or more")
            self.embedding = input_layer(spec, d_model, scaled=True)
            self.positions = self.added_positions(positions, d_model, max_positions)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                attention=CausalSelfAttention(
                    d_model=d_model,
                    num_heads=num_heads,
                    dropout=dropout,
                    relative=positions if positions in ("rotary", "alibi") else None,
                ),
                feed_forward=FeedForward(
                    d_model=d_model, ff_dim=ff_dim, dropout=dropout, activation=activation, relu_rescale=relu_rescale
                ),
                pre_norm=norm == "pre",
                d_model=d_model,
                dropout=dropout,
                eps=layer_norm_eps,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model, eps=layer_norm_eps) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(d_model, spec.output.width)
        if tied:
            tie(self.head, self.embedding)
        self.cache_shape = (num_layers, num_heads, d_model // num_heads)
        self.pre_norm = norm == "pre"
        # parts of a batch would draw positions of their own
        self.reads_parts = self.reads_parts and positions != "random"
        self.backend: Backend = backend

    def added_positions(self, positions: Positions, d_model: int, max_positions: int) -> AddedPositions:
        """What is added to the embedded inputs; `rotary` and `alibi` are in the attention instead."""
        if positions == "learned":
            return LearnedPositions(d_model, self.spec.max_length)
        if positions == "random":
            return RandomPositions(d_model, max_positions)
        return SinusoidalPositions(d_model, max_positions) if positions == "sinusoidal" else NoPositions()

    def _embedded(self, inputs: Tensor, start: int = 0) -> Tensor:
        # embedding=pair has no parameters and so no dtype: cast to that of the layers
        return self.positions(self.embedding(inputs), start).to(next(self.layers.parameters()).dtype)

    def _layers(self) -> list[TransformerLayer]:
        return list(self.layers)  # type: ignore[return-value]

    def _is_native(self) -> bool:
        plain = all(is_plain(part, nn.Linear) for layer in self._layers() for part in layer.linear_maps())
        return plain and takes_native("transformer", self.backend, self.head.weight)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self._is_native():
            return super().packed(inputs, lengths)
        x_BTC = self._embedded(inputs)
        return self.head(self._read(x_BTC[real_steps(lengths, inputs.shape[1])], row_starts(lengths)))

    def _read(self, x_NC: Tensor, starts: Tensor) -> Tensor:
        """What the head reads, (N, C), of embedded packed rows, with the native kernels."""
        x_NC = self.dropout(x_NC)
        low = torch.is_autocast_enabled("cpu") and self.pre_norm  # of the input of matrix products
        dtype = torch.get_autocast_dtype("cpu") if low else torch.float32
        norms = [norm for layer in self._layers() for norm in (layer.norm1, layer.norm2)]
        stream_NC = x_NC
        if self.pre_norm:
            first, *norms = [*norms, self.norm]  # type: ignore[list-item]
            stream_NC, x_NC = native.norm(x_NC, first, dtype)
        for layer, *after in zip(self._layers(), norms[::2], norms[1::2], strict=True):
            stream_NC, x_NC = layer.packed(stream_NC, x_NC, starts, after, dtype)
        return x_NC

    def forward(self, inputs: Tensor) -> Tensor:
        if self._is_native():
            batch, time = inputs.shape[:2]
            starts = torch.arange(batch + 1) * time
            x_NC = self._read(self._embedded(inputs).flatten(0, 1), starts)
            return self.head(x_NC.unflatten(0, (batch, time)))
        x_BTC = self.dropout(self._embedded(inputs))
        for layer in self.layers:
            x_BTC = layer(x_BTC)
        return self.head(self.norm(x_BTC))

    def init_state(self, batch: int, length: int | None = None) -> TransformerState:
        layers, heads, width = self.cache_shape
        room = length or self.spec.max_length
        self.positions.check(room)
        shape = (batch, layers, heads, room, width)
        return TransformerState(zeros(self, *shape), zeros(self, *shape), zeros(self, batch, dtype=torch.int64))

    def prefill(self, inputs: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        length, room = int(state.length_B[0]), state.keys_BLHSD.shape[3]
        check_room(length, inputs.shape[1], room)
        x_BTC = self._embedded(inputs, start=length)
        # the kernel of a step has no gradient, and computes in float32
        exact = not torch.is_grad_enabled() and not torch.is_autocast_enabled(inputs.device.type)
        use_native = exact and self._is_native()
        for index, layer in enumerate(self.layers):
            x_BTC = layer(x_BTC, (state.keys_BLHSD[:, index], state.values_BLHSD[:, index], length, use_native))
        return self.head(self.norm(x_BTC)), state._replace(length_B=state.length_B + inputs.shape[1])
