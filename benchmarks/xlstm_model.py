"""xLSTM: the training step with native kernels and in plain torch, its parts, and decoding.

(The file cannot be called xlstm.py, because it would shadow the package.)

A training step is one of AdamW on the first batch of L5: gradients to zero, loss, backward, clipping, update. Native
kernels read real steps alone. They are compared with plain torch on the padded batch of 128 x 33, with plain torch on
parts that are cut by length, and with the package's own sLSTM loop on the padded batch: medians of processor time, in
turns. Each part is timed alone, in plain torch, forward and backward, on inputs of the shape that it has there.

The prefix is re-run only for every sixteenth token, and the time is multiplied by sixteen.
"""

import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from _timing import Row, alternate, print_ratios
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss, token_loss
from seqlab.decode import decode
from seqlab.models.xlstm import XLSTM
from seqlab.spec import Classes, Spec, Tokens

NUM_PROMPTS, PROMPT_LENGTH, LENGTH, EVERY = 64, 9, 257, 16


def never_end(logits: Tensor) -> Tensor:
    return logits.index_fill(-1, torch.tensor([1, 2]), -torch.inf).argmax(-1)


def decoding() -> tuple[float, float]:
    """Seconds of re-running the prefix and of our decoding. Both must generate the same tokens."""
    # whole sequences must fit: the package's parallel form is limited to its context length
    model = XLSTM(Spec(Tokens(7), Classes(7), max_length=LENGTH, sos=0, eos=1, pad=2)).eval()
    prompts = torch.randint(3, 7, (NUM_PROMPTS, PROMPT_LENGTH))
    lengths = torch.full((NUM_PROMPTS,), PROMPT_LENGTH)
    started = time.perf_counter()
    tokens = decode(model, prompts, lengths, max_length=LENGTH, choose=never_end).tokens
    ours = time.perf_counter() - started
    with torch.inference_mode():
        started = time.perf_counter()
        for position in range(PROMPT_LENGTH, LENGTH, EVERY):
            assert torch.equal(never_end(model(tokens[:, :position])[:, -1]), tokens[:, position])
        return EVERY * (time.perf_counter() - started), ours


def stepping(spec: Spec) -> tuple[float, float]:
    """CPU seconds of completing 512 prompts to the longest string, with the steps of plain torch and with ours."""
    plain = XLSTM(spec, backend="torch").eval()
    native = copy.deepcopy(plain)
    native.backend = "auto"
    prompts, lengths = torch.randint(3, 7, (512, PROMPT_LENGTH)), torch.full((512,), PROMPT_LENGTH)
    tokens = []

    def completed(model: XLSTM) -> Callable[[], None]:
        return lambda: tokens.append(decode(model, prompts, lengths, max_length=33, choose=never_end).tokens)

    times = alternate(completed(plain), completed(native), repeats=3, clock=time.process_time)
    assert all(torch.equal(each, tokens[0]) for each in tokens)
    return times


def with_the_package_loop(model: XLSTM) -> XLSTM:
    """A copy of the model whose sLSTM blocks use the package's loop."""
    model = copy.deepcopy(model)
    for index in model.slstm_at:
        layer = model.stack.blocks[index].xlstm
        layer.slstm_cell = layer.slstm_cell.vanilla[0]
    return model


def padded(model: XLSTM, batch: Tensor) -> Tensor:
    """The loss from reading whole rows, padding included."""
    return token_loss(model(batch[:, :-1]), batch[:, 1:])[0]


def cut(model: XLSTM, batch: Tensor) -> Tensor:
    """The loss from reading real steps alone, as a task does."""
    return model_loss(model, batch)[0]


def step(model: XLSTM, batch: Tensor, loss: Callable[[XLSTM, Tensor], Tensor] = padded) -> Callable[[], None]:
    """One whole training step."""
    optimizer = torch.optim.AdamW(model.parameters())

    def run() -> None:
        optimizer.zero_grad()
        loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return run


def training_steps(batch: Tensor, spec: Spec, repeats: int = 7) -> list[Row]:
    """Median seconds of processor time of a step in plain torch and with native kernels, in turns."""
    torch.manual_seed(0)
    plain = XLSTM(spec, backend="torch")
    native = copy.deepcopy(plain)
    native.backend = "auto"
    package = with_the_package_loop(plain)
    assert torch.allclose(plain(batch[:, :-1]), package(batch[:, :-1]), atol=1e-5)
    assert torch.allclose(cut(plain, batch), cut(native, batch), atol=1e-5)
    steps = {
        "ours": step(native, batch, cut),
        "plain torch, padded": step(copy.deepcopy(plain), batch),
        "plain torch, cut by length": step(copy.deepcopy(plain), batch, cut),
        "the package's loop, padded": step(package, batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(1 + repeats):
        for name, run in steps.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    times = {name: median(each[1:]) for name, each in seconds.items()}
    aims = {"plain torch, padded": 3, "plain torch, cut by length": 1, "the package's loop, padded": 4}
    return [(f"training step, against {name}", times[name], times["ours"], aim) for name, aim in aims.items()]


def parts(model: XLSTM, total: Callable[[], None]) -> Table:
    """A table of the time of each part of a training step, timed in turns with the whole step."""
    mlstm, slstm = model.stack.blocks[0].xlstm, model.stack.blocks[1].xlstm
    inner, heads = mlstm.config._inner_embedding_dim, mlstm.config.num_heads
    in_heads = [(heads, 33, inner // heads)] * 3 + [(heads, 33, 1)] * 2
    rows: list[tuple[str, int, Callable[..., Tensor], list[tuple[int, ...]]]] = [
        ("mLSTM: block", 6, model.stack.blocks[0], [(33, 128)]),
        ("  projections up and down", 6, lambda x: mlstm.proj_down(mlstm.proj_up(x)[..., :inner]), [(33, 128)]),
        ("  queries, keys, values", 18, mlstm.q_proj, [(33, inner)]),
        ("  convolution", 6, mlstm.conv1d, [(33, inner)]),
        ("  cell", 6, mlstm.mlstm_cell, [(33, inner)] * 3),
        ("    of it the parallel form", 6, lambda *x: mlstm.mlstm_cell.backend_fn(*x), in_heads),
        ("sLSTM: block", 1, model.stack.blocks[1], [(33, 128)]),
        ("  recurrence, our loop", 1, lambda x: slstm.slstm_cell(x)[0], [(33, 512)]),
        ("  recurrence, the package's loop", 1, lambda x: slstm.slstm_cell.vanilla[0](x)[0], [(33, 512)]),
    ]
    table = Table("part", "number", title="training step in plain torch, its parts", title_justify="left")
    for heading in ("ms each", "% of the step"):
        table.add_column(heading, justify="right")
    for name, number, function, shapes in rows:
        inputs = [torch.randn(128, *shape, requires_grad=True) for shape in shapes]
        whole, part = alternate(total, lambda f=function, x=inputs: f(*x).sum().backward(), repeats=5)
        table.add_row(name, str(number), f"{1000 * part:.1f}", f"{100 * number * part / whole:.0f}")
    return table


def main() -> None:
    data = GrammarDataModule(grammar=Dyck())
    batch = data.train_batch(0)
    rows = training_steps(batch, data.spec)
    rows.append(("decoding 512 prompts to 33, against plain torch", *stepping(data.spec), 2))
    rows.append(("decoding 64 prompts to 256, against re-running", *decoding(), 10))
    print_ratios(f"xlstm, {torch.get_num_threads()} threads", rows)
    torch.manual_seed(0)
    plain = XLSTM(data.spec, backend="torch")
    Console(width=120).print(parts(plain, step(plain, batch)))


if __name__ == "__main__":
    main()
