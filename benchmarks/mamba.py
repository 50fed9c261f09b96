"""Mamba: training against mambapy 1.2.0 and against whole batches, decoding against re-running the prefix, and memory.

`pip install 'seqlab[reference]'` installs mambapy; without it the first table is left out.
"""

import importlib.util
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from _timing import alternate, print_ratios
from torch import Tensor, nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss, token_loss
from seqlab.decode import decode
from seqlab.models.mamba import Mamba
from seqlab.nn.native import build
from seqlab.optim import adamw
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(7), Classes(7), max_length=257, sos=0, eos=1, pad=2)
GIBIBYTE = 2**30


class Peer(nn.Module):
    """mambapy's layers (parallel scan) with the weights, embedding, norm and head of our model."""

    def __init__(self, ours: Mamba):
        super().__init__()
        from mambapy.mamba import Mamba as Layers  # pyright: ignore[reportMissingImports]
        from mambapy.mamba import MambaConfig  # pyright: ignore[reportMissingImports]

        self.layers = Layers(MambaConfig(d_model=64, n_layers=8, d_state=32, d_conv=8))
        self.layers.load_state_dict({f"layers.{k}": v for k, v in ours.backbone.layers.state_dict().items()})
        self.embedding, self.norm, self.head = ours.backbone.embedding, ours.backbone.norm_f, ours.lm_head

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.embedding(tokens))))


def step(model: nn.Module, tokens: Tensor) -> float:
    """Seconds of the processor for a forward pass, the loss and a backward pass."""
    started = time.process_time()
    model.zero_grad(set_to_none=True)
    token_loss(model(tokens[:, :-1]), tokens[:, 1:])[0].backward()
    return time.process_time() - started


def backends() -> list[str]:
    try:
        build.load()
    except build.UnavailableError as error:
        print(f"no native backend: {error}")
        return ["torch"]
    return ["torch", "native"]


def training(repeats: int = 5) -> None:
    """Time training steps at batch 32, length 34, one thread: peer and ours in turns, after one warm-up turn."""
    if importlib.util.find_spec("mambapy") is None:
        print("no mambapy: training steps are not compared")
        return
    torch.set_num_threads(1)
    tokens = torch.randint(3, 7, (32, 35))
    ours = {backend: Mamba(SPEC, backend=backend) for backend in backends()}  # type: ignore[arg-type]
    for model in ours.values():
        model.load_state_dict(ours["torch"].state_dict())
    peer = Peer(ours["torch"])
    for model in ours.values():
        assert torch.allclose(model(tokens), peer(tokens), atol=1e-5)
    models = {"mambapy": peer, **ours}
    times = {name: [] for name in models}
    for repeat in range(-1, repeats):
        for name, model in models.items():
            seconds = step(model, tokens)
            if repeat >= 0:
                times[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    aims = {"torch": 2.2, "native": 14.0}
    rows = [(f"{name}, against mambapy's pscan", medians["mambapy"], medians[name], aims[name]) for name in ours]
    print_ratios("training step, batch 32 x 34, 1 thread, processor time", rows)


def packed(repeats: int = 5) -> None:
    """Time training steps of a batch of L5: its real steps alone, and the whole batch with its padding, one thread."""
    torch.set_num_threads(1)
    data = GrammarDataModule(grammar=Dyck())
    batch, rows = data.train_batch(0), []

    def step_of(backend: str, real_steps_alone: bool) -> Callable[[], None]:
        torch.manual_seed(0)
        model = Mamba(data.spec, backend=backend)  # type: ignore[arg-type]
        optimizer = adamw(model, lr=1e-3)

        def step() -> None:
            optimizer.zero_grad()
            loss = model_loss(model, batch) if real_steps_alone else token_loss(model(batch[:, :-1]), batch[:, 1:])
            loss[0].backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return step

    ours = step_of(backends()[-1], True)
    for peer, aim in ((backends()[-1], 1.4), ("torch", 3.0)):
        times = alternate(step_of(peer, False), ours, repeats=repeats, clock=time.process_time)
        rows.append((f"{backends()[-1]}, real steps, against {peer}, whole batch", *times, aim))
    print_ratios("optimizer step on L5, batch 128 x 33, 1 thread, processor time", rows)


def never_end(logits: Tensor) -> Tensor:
    return logits.index_fill(-1, torch.tensor([1, 2]), -torch.inf).argmax(-1)


@torch.inference_mode()
def rerun(model: Mamba, prompts: Tensor, max_length: int) -> Tensor:
    tokens = prompts
    while tokens.shape[1] < max_length:
        tokens = torch.cat([tokens, never_end(model(tokens)[:, -1])[:, None]], 1)
    return tokens


def decoding(max_length: int = 257) -> None:
    """Time decoding of 64 prompts to SOS and 256 tokens with backend=auto: with state, and re-running the prefix."""
    model = Mamba(SPEC).eval()
    prompts = torch.randint(3, 7, (64, 9))
    lengths = torch.full((64,), 9)

    def with_state() -> Tensor:
        return decode(model, prompts, lengths, max_length=max_length, choose=never_end).tokens

    def without() -> Tensor:
        return rerun(model, prompts, max_length)

    assert torch.equal(with_state()[:, :24], rerun(model, prompts, 24)), "both ways must write the same tokens"
    times = alternate(without, with_state, repeats=1, warm_up=False)  # re-running takes minutes
    title = f"decoding 64 prompts to length {max_length - 1}, {torch.get_num_threads()} threads"
    print_ratios(title, [(f"{backends()[-1]}, against the prefix again", *times, 10)])


def peak_memory(backend: str) -> None:
    """Take three training steps at batch 128 x 258; print this process's peak memory in bytes before and after."""

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    model = Mamba(SPEC, backend=backend)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = peak()
    for _ in range(3):
        step(model, torch.randint(3, 7, (128, 259)))
        optimizer.step()
    print(before, peak())


def memory() -> None:
    for backend in backends():
        done = subprocess.run(
            [sys.executable, __file__, backend], capture_output=True, text=True, check=True, encoding="utf-8"
        )
        before, peak = (int(word) / GIBIBYTE for word in done.stdout.split())
        print(f"training at batch 128 x 258, {backend}: peak {peak:.2f} GiB ({before:.2f} before it), aim below 4 GB")


def main() -> None:
    torch.manual_seed(0)
    jobs: list[Callable[[], None]] = [memory, training, packed, decoding]
    for job in jobs:
        job()


if __name__ == "__main__":
    peak_memory(sys.argv[1]) if len(sys.argv) > 1 else main()
