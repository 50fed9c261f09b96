"""Dynamic quantisation: weights as 8-bit integers, activations rounded to 8 bits at run time.

A weight w of output channel c is stored as round(w / s), s = max |w of c| / 127 (symmetric, one scale per channel). A
layer rounds its inputs to the range between their minimum and maximum over all rows and steps of the call. So outputs
depend slightly on how much is read at once. torch's own kernels (FBGEMM, oneDNN or QNNPACK) multiply the integers, on a
CPU only. Embeddings, norms and convolutions stay in float32. A tied embedding also stays in float32, and its head gets
separate integers.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 127  # the integers are -127 .. 127
GATES = ("ih", "hh")  # an LSTM's weights for its input and for its hidden state


def quantize(model: nn.Module) -> nn.Module:
    """Replace every nn.Linear and unidirectional nn.LSTM of a model in place, and return it.

    Subclasses keep their float32 weights, because they may compute something else.

    Raises:
        ValueError: the model has neither.
    """
    found = 0
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Linear:
                setattr(parent, name, Int8Linear(layer))
            elif type(layer) is nn.LSTM and layer.bias and not (layer.bidirectional or layer.proj_size):
                setattr(parent, name, Int8LSTM(layer))
            else:
                continue
            found += 1
    if not found:
        raise ValueError(f"{type(model).__name__} has no nn.Linear and no nn.LSTM: there is nothing to quantise")
    return model


class Packed:
    """A quantised weight (out, in) and a bias (out,) in the memory layout for this processor's kernels."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        self.put((weight / scale.unsqueeze(1)).round().to(torch.int8), scale, bias)

    def put(self, integers: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        """Set the values: integers (out, in) int8, scale (out,) float32."""
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch deprecates quantised tensors; this one is needed only for the next two lines
            warnings.filterwarnings("ignore", ".*quantized tensor creation functions.*")
            weight = torch.quantize_per_channel(integers * scale.unsqueeze(1), scale.double(), zeros, 0, torch.qint8)
        self.operand = torch.ops.quantized.linear_prepack(weight, None if bias is None else bias.detach())

    def get(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Get integers, scale and bias."""
        weight, bias = torch.ops.quantized.linear_unpack(self.operand)
        return weight.int_repr(), weight.q_per_channel_scales().float(), bias


class Int8Linear(nn.Module):
    """nn.Linear with 8-bit weights; state_dict has weight (int8), weight_scale and bias."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.packed = Packed(layer.weight.detach(), layer.bias)

    @property
    def weight(self) -> Tensor:
        """The dequantised weight in float32, for models that use it directly."""
        integers, scale, _ = self.packed.get()
        return integers * scale.unsqueeze(1)

    @property
    def bias(self) -> Tensor | None:
        """The bias in float32, (out,); None for a layer without bias."""
        return self.packed.get()[2]

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), float32."""
        # True: inputs in 7 bits, because some processors overflow in sums of two products otherwise
        return torch.ops.quantized.linear_dynamic(x, self.packed.operand, True)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        _save(self.packed, destination, f"{prefix}weight", f"{prefix}bias")

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        shape = (self.out_features, self.in_features)
        _load(self.packed, state_dict, f"{prefix}weight", f"{prefix}bias", shape, missing_keys, error_msgs)


class Int8LSTM(nn.Module):
    """nn.LSTM with 8-bit weights; the names in state_dict are nn.LSTM's, each weight with a weight_..._scale."""

    def __init__(self, layer: nn.LSTM):
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = layer.input_size, layer.hidden_size, layer.num_layers
        self.batch_first = layer.batch_first
        self.packed = {
            f"{gate}_l{index}": Packed(
                getattr(layer, f"weight_{gate}_l{index}").detach(), getattr(layer, f"bias_{gate}_l{index}")
            )
            for index in range(layer.num_layers)
            for gate in GATES
        }
        self._join()

    def _join(self) -> None:
        self.cells = []
        for index in range(self.num_layers):
            ih, hh = (self.packed[f"{gate}_l{index}"] for gate in GATES)
            self.cells.append(
                torch.ops.quantized.make_quantized_cell_params_dynamic(
                    ih.operand, hh.operand, ih.get()[2], hh.get()[2], True
                )
            )

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Like nn.LSTM: x (batch, time, in) if batch_first, states (layers, batch, hidden)."""
        if state is None:
            batch = x.shape[0 if self.batch_first else 1]
            zeros = x.new_zeros(self.num_layers, batch, self.hidden_size)
            state = (zeros, zeros)
        output, hidden, cell = torch.quantized_lstm(
            x, state, self.cells, True, self.num_layers, 0.0, False, False, self.batch_first,
            dtype=torch.qint8, use_dynamic=True,
        )  # fmt: skip
        return output, (hidden, cell)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, packed in self.packed.items():
            _save(packed, destination, f"{prefix}weight_{name}", f"{prefix}bias_{name}")

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        for name, packed in self.packed.items():
            weight, bias = f"{prefix}weight_{name}", f"{prefix}bias_{name}"
            width = self.hidden_size if name.startswith("hh") or not name.endswith("_l0") else self.input_size
            _load(packed, state_dict, weight, bias, (4 * self.hidden_size, width), missing_keys, error_msgs)
        self._join()


def _save(packed: Packed, destination: dict[str, Any], weight: str, bias: str) -> None:
    destination[weight], destination[f"{weight}_scale"], offset = packed.get()
    if offset is not None:
        destination[bias] = offset.detach()


def _load(
    packed: Packed, state: dict[str, Any], weight: str, bias: str, shape: tuple[int, int], missing: list[str],
    errors: list[str],
) -> None:  # fmt: skip
    expected = {weight: shape, f"{weight}_scale": shape[:1]}
    if packed.get()[2] is not None:
        expected[bias] = shape[:1]
    absent = [name for name in expected if name not in state]
    wrong = [name for name in expected if name in state and state[name].shape != expected[name]]
    missing.extend(absent)
    errors.extend(f"{name} is {tuple(state[name].shape)}, not {expected[name]}" for name in wrong)
    if not (absent or wrong):
        packed.put(state[weight], state[f"{weight}_scale"], state.get(bias))
