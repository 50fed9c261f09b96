"""The contract for types of transformers, small: attention with several kinds of positions, recurrences, hybrids."""

import re
from pathlib import Path

import pytest
import transformers

from seqlab.contract import outcome, outcomes, weights
from seqlab.contract.measure import subject_of
from seqlab.models.hf import HF
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import small_model, token_spec

# Of these each keeps its state in the library's cache.
TYPES = ["llama", "gpt2", "gpt_neox", "bloom", "qwen3", "gemma3", "mamba2", "qwen3_next", "xlstm", "lfm2"]
REREAD = ["rwkv"]  # wrong for three rows: found out, and read again
SIZES = {"xlstm": {"d_model": 64}}  # its cache has room for multiples of 64 alone

PAGE = (Path(__file__).parents[2] / "docs" / "results" / "hf_types.md").read_text(encoding="utf-8")
OF_THE_PAGE = f"transformers {transformers.__version__} " in PAGE
WORKING, REFUSED = PAGE.split("\n## Refused\n")
ROW = re.compile(r"^\| ([\w-]+) \| [\d,]+ \| (state|read again) \| (all|\d+ of \d+) \| [\d.]+ \|$", re.MULTILINE)
ROWS = ROW.findall(WORKING)
REASONS = re.findall(r"^\| ([\w-]+) \| (.+) \|$", REFUSED.partition("|---|---|")[2], re.MULTILINE)


@pytest.mark.parametrize("type", [*TYPES, *REREAD])
def test_contract(type):
    subject = subject_of(lambda: small_model("hf", token_spec(20), type=type, **SIZES.get(type, {})))
    if OF_THE_PAGE:  # older versions have further caches that go wrong
        assert subject.model.rereads == (type in REREAD)
    failed = {name: found for name, found in outcomes(subject) if not found.passed}
    assert failed == {}


def test_the_page_counts_what_its_table_has():
    steps, gradients = [row[1] for row in ROWS], [row[2] for row in ROWS]
    assert {*TYPES, *REREAD} <= {row[0] for row in ROWS}
    see = sum("is not causal here" in reason for _, reason in REASONS)
    counted = [len(ROWS), steps.count("state"), steps.count("read again"), gradients.count("all"), see]
    numbers = list(map(int, re.findall(r"\d+", WORKING.partition("\nSizes: ")[0])))
    assert numbers[-6:] == [*counted, len(REASONS) - see] and numbers[0] == len(ROWS) + len(REASONS)


@pytest.mark.slow
@pytest.mark.skipif(not OF_THE_PAGE, reason="the page is of another version")
@pytest.mark.parametrize("row", [*ROWS, *REASONS], ids=lambda row: row[0])
def test_every_type_is_as_the_page_says(row):
    """benchmarks/hf_types.py prints the page."""
    spec = Spec(Tokens(7), Classes(7), max_length=33, sos=0, eos=1, pad=2)
    type, *said = row

    def make():
        return HF(spec, type=type, d_model=64, num_layers=2, num_heads=4, ff_dim=128)

    if len(said) == 1:
        with pytest.raises(ValueError, match=r"^model\.type="):
            make()
        return
    subject = subject_of(make)
    found = outcome(weights.gradients, subject)
    gradients = "all" if found.passed else found.measured.partition(" parameters")[0]
    assert ("read again" if subject.model.rereads else "state", gradients) == tuple(said)
