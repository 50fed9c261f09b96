"""A training step of LSTM, GRU and deep LSTM with the native kernels, compared with torch's layers, on a batch of L5.

nn.LSTM or nn.GRU reads the whole batch with its padding, or parts of it cut by length (seqlab/ragged.py). One thread,
processor time, a whole optimizer step. bfloat16 is measured only where the processor has units for its products, and
not for the GRU, which has no kernel for it.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from _timing import Row, alternate, print_ratios
from torch import nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss, token_loss
from seqlab.model import SequenceModel
from seqlab.models.deep_lstm import DeepLSTM
from seqlab.models.lstm import LSTM
from seqlab.nn.native import build
from seqlab.optim import adamw

# a model; aims against torch on the whole batch, in float32 and under bf16-mixed; the aim against torch on parts
CASES = {
    "LSTM": (LSTM, (1.6, 3.5), 1.1),
    "GRU": (partial(LSTM, cell="gru"), (1.5,), 1.5),
    "DeepLSTM": (DeepLSTM, (1.6, 1.8), 1.1),
}


def step_of(model: SequenceModel, data: GrammarDataModule, *, real_steps_alone: bool, bf16: bool) -> Callable[[], None]:
    batch, optimizer = data.train_batch(0), adamw(model, lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if real_steps_alone:
                loss = model_loss(model, batch)[0]
            else:
                loss = token_loss(model(batch[:, :-1]), batch[:, 1:])[0]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    try:
        build.load()
        backend = "native"
    except build.UnavailableError as error:
        print(f"no native backend, torch against itself: {error}")
        backend = "torch"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, rows = GrammarDataModule(grammar=Dyck()), list[Row]()
    has_units = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[operator]
    for kind, (make, aims, aim_on_parts) in CASES.items():
        for bf16, aim_on_whole in zip((False, True) if has_units else (False,), aims, strict=False):
            plain, ours = (make(data.spec, backend=name) for name in ("torch", backend))  # type: ignore[arg-type]
            packed = step_of(ours, data, real_steps_alone=True, bf16=bf16)
            for alone, peer, aim in ((False, "whole batch", aim_on_whole), (True, "cut by length", aim_on_parts)):
                times = alternate(
                    step_of(plain, data, real_steps_alone=alone, bf16=bf16), packed, clock=time.process_time
                )
                name = f"{kind}, {'bf16-mixed' if bf16 else 'float32'}, against torch, {peer}"
                rows.append((name, *times, aim))
    print_ratios("optimizer step on L5, batch 128 x 33, 1 thread, processor time", rows)
    print(f"units for bfloat16: {'yes' if has_units else 'none here, left out'}")


if __name__ == "__main__":
    main()
