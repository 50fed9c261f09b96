"""The Transformer's training step with the native kernels, compared with plain torch and nn.TransformerEncoder.

A step is forward, loss, backward, clipping and AdamW on strings of L5, on one thread, with freed memory kept.
`version 0.2` is the padded batch through plain torch, with scaled_dot_product_attention's dropout. `matrix products
alone` are the step's products and nothing else: what no implementation with these products can beat.
"""

import torch
from _timing import in_turns, print_turns
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from training import EncoderPeer

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss, token_loss
from rule_extrapolation.rules import PAD
from seqlab.models.transformer import Transformer
from seqlab.nn.attention import CausalSelfAttention
from seqlab.optim import adamw
from seqlab.run.allocator import keep_freed_memory


class OldAttention(CausalSelfAttention):
    """The attention of version 0.2."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        q, k, v = self._heads(x_BTC)
        dropout = self.dropout.p if self.training else 0.0
        y = scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))


class Step:
    """A training step of a model on the strings of a batch."""

    def __init__(self, model: nn.Module, batch: Tensor, *, padded: bool, precision: torch.dtype = torch.float32):
        self.model, self.batch, self.padded = model, batch, padded
        self.optimizer = adamw(model, lr=1e-5)
        self.precision = precision

    def gradients(self) -> Tensor:
        """All gradients, flat."""
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == torch.bfloat16):
            if self.padded:
                loss = token_loss(self.model(self.batch[:, :-1]), self.batch[:, 1:])[0]
            else:
                loss = model_loss(self.model, self.batch)[0]  # type: ignore[arg-type]
        loss.backward()
        return torch.cat(
            [parameter.grad.flatten() for parameter in self.model.parameters() if parameter.grad is not None]
        )

    def __call__(self) -> None:
        self.gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def matrix_products(model: Transformer, num_tokens: int) -> list[tuple[Tensor, Tensor]]:
    """Operands of all large matrix products of a step: outputs, gradients of inputs, gradients of weights."""
    pairs = []
    for layer in model.layers:
        for part in layer.modules():
            if isinstance(part, nn.Linear):
                inputs, outputs = torch.randn(num_tokens, part.in_features), torch.randn(num_tokens, part.out_features)
                weight = part.weight.detach()
                pairs += [(inputs, weight.t()), (outputs, weight), (outputs.t(), inputs)]
    return pairs


def compare(max_length: int, batch_size: int, aims: dict[str, float], repeats: int) -> None:
    data = GrammarDataModule(grammar=Dyck(), max_length=max_length, batch_size=batch_size)
    batch = data.train_batch(0)
    old, plain = Transformer(data.spec, backend="torch"), Transformer(data.spec, backend="torch")
    native = Transformer(data.spec, backend="native")
    for part in old.modules():
        if isinstance(part, CausalSelfAttention):
            part.__class__ = OldAttention
    for model in (plain, native):
        model.load_state_dict(old.state_dict())
    steps = {
        "version 0.2": Step(old, batch, padded=True),
        "plain torch, cut by length": Step(plain, batch, padded=False),
        "native": Step(native, batch, padded=False),
    }
    for step in steps.values():
        step.model.eval()
    exact, ours = steps["version 0.2"].gradients(), steps["native"].gradients()
    for step in steps.values():
        step.model.train()
    functions = dict(steps)
    if torch.cpu._is_avx512_bf16_supported():
        functions["native, bf16-mixed"] = Step(native, batch, padded=False, precision=torch.bfloat16)
    products = matrix_products(native, int((batch[:, 1:] != PAD).sum()))

    def multiply() -> None:
        for one, other in products:
            torch.matmul(one, other)

    times = in_turns(functions | {"matrix products alone": multiply}, repeats=repeats)
    print_turns(f"transformer, batch {batch_size} x {max_length + 1}", times, aims)
    print(f"relative difference of the gradients {(ours - exact).norm() / exact.norm():.0e}")


def encoder() -> None:
    """nn.TransformerEncoder of the same size against the native step."""
    data = GrammarDataModule(grammar=Dyck())
    batch = data.train_batch(0)
    steps = {
        "nn.TransformerEncoder": Step(EncoderPeer(), batch, padded=True),
        "native": Step(Transformer(data.spec, backend="native"), batch, padded=False),
    }
    print_turns("transformer, batch 128 x 33", in_turns(steps, repeats=5), {"native": 4})


def machine() -> None:
    """The rate of a large matrix product: the limit of this machine."""
    square = torch.randn(1024, 1024)
    (seconds,) = in_turns({"1024 x 1024 x 1024": lambda: square @ square}, repeats=15).values()
    print(f"a product of 1024 x 1024 x 1024: {2 * 1024**3 / sorted(seconds)[7] / 1e9:.0f} GFLOP/s")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()  # as in a run
    machine()
    compare(32, 128, {"native": 3.5, "native, bf16-mixed": 5}, 7)
    compare(32, 8, {}, 15)
    encoder()
    compare(256, 128, {"native": 10}, 1)


if __name__ == "__main__":
    main()
