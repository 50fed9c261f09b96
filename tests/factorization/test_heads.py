import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from factorization.bits import to_bits
from factorization.heads import BitsHead, ClassHead, TokenHead
from tests.small_models import MODELS, small_model

FACTORS = torch.tensor([2, 97, 53])


class Fixed(torch.nn.Module):
    """The same logits whatever it reads."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, inputs):
        return self.logits


def test_bits():
    head = BitsHead(steps=14, width=1, factor_bits=7)
    logits = torch.randn(3, 7)
    answer = head.answer(Fixed(logits), torch.zeros(3, 14, 1))
    assert torch.equal(to_bits(answer.factors, 7), (logits > 0).long())
    torch.testing.assert_close(answer.confidence, logits.abs().sigmoid())
    expected = binary_cross_entropy_with_logits(logits, to_bits(FACTORS, 7).float())
    assert head.loss(Fixed(logits), torch.zeros(3, 14, 1), FACTORS) == expected


def test_the_last_step_of_a_sequence_model_is_its_answer():
    head = BitsHead(steps=14, width=1, factor_bits=7)
    logits = torch.randn(3, 14, 7)
    inputs = torch.zeros(3, 14, 1)
    assert torch.equal(head.answer(Fixed(logits), inputs).factors, head.answer(Fixed(logits[:, -1]), inputs).factors)


def test_classes():
    primes = torch.tensor([2, 3, 53, 97])
    head = ClassHead(steps=14, width=1, factor_bits=7, primes=primes)
    logits = torch.randn(3, 4)
    answer = head.answer(Fixed(logits), torch.zeros(3, 14, 1))
    assert torch.equal(answer.factors, primes[logits.argmax(1)])
    assert head.loss(Fixed(logits), torch.zeros(3, 14, 1), FACTORS) == cross_entropy(logits, torch.tensor([0, 3, 2]))
    probability = logits.softmax(1)
    for row in range(3):  # by adding up the primes that agree in the bit
        for place in range(7):
            bit = int(answer.factors[row]) >> (6 - place) & 1
            agree = sum(p for p, prime in zip(probability[row], primes, strict=True) if prime >> (6 - place) & 1 == bit)
            assert answer.confidence[row, place] == pytest.approx(float(agree), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_tokens_decode_step_by_step_as_in_parallel(name):
    """Greedy bits, read back one by one, are those that the parallel model finds most probable given each other."""
    head = TokenHead(steps=6, base=2, factor_bits=4)
    model = small_model(name, head.spec, seed=3).eval()
    inputs = torch.randint(2, (5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = head.answer(model, inputs)
        bits = to_bits(answer.factors, 4)
        sequence = torch.cat([inputs, torch.full((5, 1), 2), bits[:, :-1]], 1)
        probability = model(sequence)[:, 6:, :2].softmax(-1)
    assert torch.equal(probability.argmax(-1), bits)
    torch.testing.assert_close(answer.confidence, probability.max(-1).values, rtol=0, atol=1e-5)


def test_the_token_loss_counts_the_factors_bits_only():
    head = TokenHead(steps=6, base=10, factor_bits=4)
    logits = torch.randn(2, 10, 11, requires_grad=True)
    factors = torch.tensor([5, 7])
    loss = head.loss(Fixed(logits), torch.zeros(2, 6, dtype=torch.int64), factors)
    expected = cross_entropy(logits[:, 6:].flatten(0, 1), torch.tensor([0, 1, 0, 1, 0, 1, 1, 1]))
    assert loss == expected
    loss.backward()
    assert (logits.grad[:, :6] == 0).all()
    assert head.spec.max_length == 10
