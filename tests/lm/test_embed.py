"""Embeddings: padding, batching and windows change nothing."""

import pytest
import torch

from lm import embed as embedding
from lm.embed import embed, head_inputs, pieces_of
from seqlab.models.linear import Linear
from seqlab.models.lstm import LSTM
from seqlab.models.mamba import Mamba
from seqlab.models.transformer import Transformer
from seqlab.models.xlstm import XLSTM
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(50), Classes(50), max_length=16)
WIDTH = 16


def make(name: str):
    torch.manual_seed(0)
    models = {
        "lstm": lambda: LSTM(SPEC, d_model=8, hidden_dim=WIDTH, num_layers=2),
        "transformer": lambda: Transformer(SPEC, d_model=WIDTH, num_layers=2, num_heads=2, ff_dim=32),
        "mamba": lambda: Mamba(SPEC, d_model=WIDTH, num_layers=2),
        "xlstm": lambda: XLSTM(SPEC, d_model=WIDTH, num_layers=2, num_heads=2),
    }
    return models[name]().eval()


def texts(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(50, (length,), generator=generator).tolist() for length in lengths]


def states(model, ids):
    with torch.inference_mode(), head_inputs(model) as captured:
        model(torch.tensor([ids]))
    return captured[0][0]


NAMES = ["lstm", "transformer", "mamba", "xlstm"]


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("name", NAMES)
def test_together_as_one_by_one(name, pooling):
    model, rows = make(name), texts(3, 16, 1, 9, 40, 3, 12, 17)
    together = embed(model, rows, pooling=pooling)
    alone = torch.cat([embed(model, [row], pooling=pooling) for row in rows])
    assert together.shape == (8, WIDTH)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_mean_and_last_are_those_of_what_the_head_reads(name):
    model, (ids,) = make(name), texts(10)
    by_hand = states(model, ids)
    torch.testing.assert_close(embed(model, [ids])[0], by_hand.mean(0))
    torch.testing.assert_close(embed(model, [ids], pooling="last")[0], by_hand[-1])
    head = model.lm_head if name == "mamba" else model.head
    with torch.inference_mode():
        torch.testing.assert_close(head(by_hand)[:, :50], model(torch.tensor([ids]))[0])


def test_weighted_mean():
    model, (ids,) = make("lstm"), texts(10)
    weights = torch.rand(50) + 0.1
    w = weights[ids].unsqueeze(1)
    expected = (w * states(model, ids)).sum(0) / w.sum()
    torch.testing.assert_close(embed(model, [ids], token_weights=weights)[0], expected)


def test_a_text_beyond_the_context_is_read_in_full_windows_and_counts_each_token_once():
    model, (ids,) = make("transformer"), texts(40)
    parts = [states(model, ids[:16]), states(model, ids[16:32]), states(model, ids[24:])[-8:]]
    torch.testing.assert_close(embed(model, [ids])[0], torch.cat(parts).mean(0))
    torch.testing.assert_close(embed(model, [ids], pooling="last")[0], parts[-1][-1])


def test_a_model_with_an_endless_state_reads_a_long_text_at_once():
    model, (ids,) = make("lstm"), texts(40)
    torch.testing.assert_close(embed(model, [ids])[0], states(model, ids).mean(0))


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 33, 100])
def test_pieces_hold_each_token_once(length):
    ids = list(range(length))
    pieces = pieces_of(0, ids, 16)
    assert [id for piece in pieces for id in piece.ids[len(piece.ids) - piece.new :]] == ids
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {len(piece.ids) for piece in pieces} == {min(length, 16)}


def test_order_and_batches_do_not_matter(monkeypatch):
    model, rows = make("transformer"), texts(*range(1, 30))
    whole = embed(model, rows)
    monkeypatch.setattr(embedding, "TOKENS_AT_ONCE", 20)
    torch.testing.assert_close(embed(model, rows[::-1]).flip(0), whole, rtol=0, atol=1e-5)


def test_the_model_is_left_as_it_was():
    model, rows = make("lstm"), texts(4)
    before = model(torch.tensor(rows))
    embed(model, rows)
    torch.testing.assert_close(model(torch.tensor(rows)), before)


def test_no_texts():
    assert embed(make("lstm"), []).shape == (0, 0)


def test_a_text_without_tokens_is_refused():
    with pytest.raises(ValueError, match="text 1 has no tokens"):
        embed(make("lstm"), [[1], []])


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ValueError, match="Linear has no linear head"):
        embed(Linear(SPEC, d_model=4), [[1]])
