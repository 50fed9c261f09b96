"""Integer sequences: the vectorised generator versus a Python loop, and a training step versus nn.TransformerEncoder.

The loop generates the same sequences from the same random numbers: it draws a rule and initial terms, computes nine
terms, and draws again while a term leaves 0 .. 255, the end is constant, or the sequence is held out (by its hash, by a
rule that makes it, or as a real one). A second loop uses Python's own random numbers, which do not depend on the
sample's index. Run it with `python benchmarks/sequences_data.py`.
"""

import random
import time
from collections.abc import Callable

import torch
from _timing import alternate, print_ratios
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seqlab.models.transformer import Transformer
from seqlab.optim import adamw
from seqlab.randomness import GOLDEN, derived_seed
from sequences.curriculum import MAX_ATTEMPTS, draw, draw_from, mixture
from sequences.datamodule import RecurrenceDataModule
from sequences.families import FAMILIES
from sequences.family import SCALES, Family
from sequences.held_out import held_out_codes, real_codes, rules_of
from sequences.task import inputs_of

NUM_PLAIN, NUM_OURS = 2000, 16_384  # ours: a block as in training (64 batches), which fits into the CPU's caches
MASK = 2**64 - 1
NEXT: dict[str, Callable[[list[int], list[int]], int]] = {
    "constant": lambda rule, x: x[-1],
    "arithmetic": lambda rule, x: x[-1] + rule[0],
    "period_two": lambda rule, x: x[-2],
    "linear_order_two": lambda rule, x: rule[0] * x[-1] + rule[1] * x[-2] + rule[2],
}


def mix(word: int) -> int:
    """seqlab.randomness.mix on one 64-bit word."""
    word ^= word >> 30
    word = word * 0xBF58476D1CE4E5B9 & MASK
    word ^= word >> 27
    word = word * 0x94D049BB133111EB & MASK
    return (word ^ word >> 31) & MASK >> 1


FACTORS = [mix(place * GOLDEN & MASK) for place in range(1, 10)]  # of seqlab.randomness.row_hash


def plain(
    family: Family, rules: list[list[int]], draw_numbers: Callable[[int], list[float]], held_out: set[int]
) -> list[int]:
    """Generate one training sequence of a family of phase 1 from the random numbers of each attempt."""
    following = NEXT[family.name]
    attempt = 0
    while True:
        numbers = draw_numbers(attempt)
        rule = rules[int(numbers[0] * len(rules))]
        limit = SCALES[int(numbers[-1] * len(SCALES))] if family.scaled else 256
        terms = [int(number * limit) for number in numbers[1:-1]]
        while len(terms) < 9:
            terms.append(following(rule, terms))
        inside = all(0 <= term <= 255 for term in terms)
        constant = terms[-1] == terms[-2] == terms[-3] and family.name != "constant"
        if inside and not constant:
            code = mix(sum((term + 1) * factor for term, factor in zip(terms, FACTORS, strict=True)) & MASK)
            if code % 10 >= 2 and code not in held_out:
                return terms
        attempt += 1


def same_numbers(family: Family, index: int) -> Callable[[int], list[float]]:
    """attempt -> the random numbers that the vectorised generator uses for a sample."""
    width = family.order + 2
    key = derived_seed(1, f"train {family.name}", width, "splitmix")

    def numbers(attempt: int) -> list[float]:
        first = (index * MAX_ATTEMPTS + attempt) * width
        return [(mix((first + place) * GOLDEN + key & MASK) >> 10) * 2.0**-53 for place in range(width)]

    return numbers


def generator_speed() -> None:
    generator = random.Random(0)
    blocks = torch.arange(20 * NUM_OURS).split(NUM_OURS)
    same, quick = [], []
    held_out = {
        code for codes in (held_out_codes("val"), held_out_codes("test"), real_codes()) for code in codes.tolist()
    }
    for family in FAMILIES[:4]:
        rules = family.rules[rules_of(family, "train")].tolist()
        started = time.perf_counter()
        found = [plain(family, rules, same_numbers(family, index), held_out) for index in range(NUM_PLAIN)]
        peer = (time.perf_counter() - started) / NUM_PLAIN
        assert found == draw_from(family, 1, torch.arange(NUM_PLAIN))[0].tolist()
        started = time.perf_counter()
        for _ in range(NUM_PLAIN):
            plain(family, rules, lambda _, width=family.order + 2: [generator.random() for _ in range(width)], held_out)
        careless = (time.perf_counter() - started) / NUM_PLAIN
        times = []
        for indices in blocks:
            started = time.perf_counter()
            draw_from(family, 1, indices)
            times.append(time.perf_counter() - started)
        ours = sorted(times)[len(times) // 2] / NUM_OURS
        print(f"{family.name}: {1e-6 / ours:.2f} million sequences a second")
        same.append((family.name, NUM_OURS * peer, NUM_OURS * ours, 50.0))
        quick.append((family.name, NUM_OURS * careless, NUM_OURS * ours, 50.0))
    print_ratios(f"{NUM_OURS} sequences, against a Python loop that makes the same ones, 1 thread", same)
    print_ratios("against the same loop on Python's own random numbers", quick)
    final = mixture(torch.ones(1, dtype=torch.float64))
    draw(1, 0, NUM_PLAIN, lambda rows: final.expand(len(rows), -1))  # fills the tables
    started = time.perf_counter()
    draw(1, 0, 4 * NUM_OURS, lambda rows: final.expand(len(rows), -1))
    speed = 4e-6 * NUM_OURS / (time.perf_counter() - started)
    print(f"the final mixture of 17 families: {speed:.2f} million a second")


class EncoderPeer(nn.Module):
    """nn.TransformerEncoder of the same size, with our input layer, positions and head."""

    def __init__(self, ours: Transformer):
        super().__init__()
        self.ours = ours
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, "gelu", 1e-5, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(64), enable_nested_tensor=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(8))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.ours.positions(self.ours.embedding(tokens))
        return self.ours.head(self.encoder(x, mask=self.mask, is_causal=True))


def step(model: nn.Module, batch: Tensor) -> Callable[[], None]:
    optimizer = adamw(model, lr=1e-3)

    def run() -> None:
        optimizer.zero_grad()
        cross_entropy(model(inputs_of(batch)).flatten(0, 1), batch[:, 1:].clamp(min=0).flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return run


def training_speed() -> None:
    rows = []
    for batch_size in (32, 128, 512):
        data = RecurrenceDataModule(total_steps=1, batch_size=batch_size)
        sizes = {"d_model": 64, "num_layers": 3, "num_heads": 4, "ff_dim": 128, "dropout": 0.0}
        ours = Transformer(data.spec, **sizes, activation="gelu", layer_norm_eps=1e-5)
        batch = data.train_batch(0)
        times = alternate(step(EncoderPeer(Transformer(data.spec, **sizes)), batch), step(ours, batch), repeats=30)
        rows.append((f"training step, batch {batch_size}, against nn.TransformerEncoder", *times, 1.0))
    print_ratios("transformer on sequences, 1 thread", rows)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator_speed()
    training_speed()


if __name__ == "__main__":
    main()
