"""Greedy decoding with state, compared with re-running the prefix for each token: 64 prompts, to length 32 and 256.

The peer is our own forward pass over the whole prefix for each token, the cost of generation without a state. For
length 256, every 16th of its passes is timed and counted 16 times. EOS gets a logit of -inf, so that both generate the
same number of tokens. The last rows show the gain from stopping early.
"""

import time

import torch
from _timing import alternate, print_ratios
from torch import Tensor

from seqlab.decode import decode
from seqlab.model import SequenceModel
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(7), Classes(7), max_length=33, sos=0, eos=1, pad=2)
NUM_PROMPTS, PROMPT_LENGTH = 64, 9


def never_end(logits: Tensor) -> Tensor:
    return logits.index_fill(-1, torch.tensor([1, 2]), -torch.inf).argmax(-1)


def end_after_sixteen() -> object:
    """A choice function that ends every row at its seventh step, a completion of typical length."""
    steps = iter(range(10_000))
    return lambda logits: torch.full((len(logits),), 1) if next(steps) == 6 else never_end(logits)


@torch.inference_mode()
def rerun(model: SequenceModel, prompts: Tensor, max_length: int) -> Tensor:
    tokens = prompts
    while tokens.shape[1] < max_length:
        tokens = torch.cat([tokens, never_end(model(tokens)[:, -1])[:, None]], 1)
    return tokens


@torch.inference_mode()
def rereading(model: SequenceModel, prefix: Tensor) -> float:
    """Seconds to compute the next token from the whole prefix."""
    started = time.perf_counter()
    never_end(model(prefix)[:, -1])
    return time.perf_counter() - started


def main() -> None:
    torch.manual_seed(0)
    prompts = torch.randint(3, 7, (NUM_PROMPTS, PROMPT_LENGTH))
    prompts[:, 0] = 0
    lengths = torch.full((NUM_PROMPTS,), PROMPT_LENGTH)
    rows = []
    for name, model in (("transformer", Transformer(SPEC).eval()), ("lstm", LSTM(SPEC).eval())):
        for max_length, aim in ((33, 5), (257, 30)):

            def with_state(model: SequenceModel = model, length: int = max_length) -> Tensor:
                return decode(model, prompts, lengths, max_length=length, choose=never_end).tokens

            tokens = with_state()
            if max_length < 100:
                assert torch.equal(tokens, rerun(model, prompts, max_length)), "both ways must write the same tokens"
            every = 1 if max_length < 100 else 16
            seconds = sum(every * rereading(model, tokens[:, :n]) for n in range(PROMPT_LENGTH, max_length, every))
            started = time.perf_counter()
            with_state()
            rows.append((f"{name} to {max_length - 1}", seconds, time.perf_counter() - started, aim))

        def stopped(model: SequenceModel = model) -> Tensor:
            return decode(model, prompts, lengths, max_length=33, choose=end_after_sixteen()).tokens  # type: ignore

        def to_the_end(model: SequenceModel = model) -> Tensor:
            return decode(model, prompts, lengths, max_length=33, choose=never_end).tokens

        rows.append((f"{name} to 32: all rows end after 7, against none", *alternate(to_the_end, stopped), 1))
    print_ratios(f"decoding, {NUM_PROMPTS} prompts, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
