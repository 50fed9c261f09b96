"""Learning rates are chosen from finite losses; a cell without one gets a reason, and is tried again."""

import io
import json
from dataclasses import replace

import pytest

from seqlab.profile.models import Model
from seqlab.profile.runs import Job, Profile
from seqlab.profile.suite import suite_named


@pytest.fixture
def begun(tmp_path):
    """(results of trials) -> a profile of one cell whose trials have these, what it prints, and its job."""

    def made(*results):
        whole = suite_named("standard")
        suite = replace(whole, cells={"parity": whole.cells["parity"]}, seeds=[1], rates=[1e-4, 1e-3, 1e-2])
        profile = Profile("standard", suite, [Model("lstm", "model")], tmp_path, output=io.StringIO())
        job = Job(profile.models[0], "parity", 1)
        for rate, result in zip(suite.rates, results, strict=True):
            directory = profile.directory(job._replace(rate=rate, trial=True))
            directory.mkdir(parents=True)
            (directory / "profile.json").write_text(json.dumps(result), encoding="utf-8")
        return profile, job

    return made


def test_without_a_loss_no_rate_is_chosen(begun):
    profile, job = begun(*[{"val_loss": None}] * 3)
    assert profile.rate(job) is None
    profile.carry_out()
    said = "none of the learning rates 0.0001, 0.001, 0.01 led to a validation loss"
    assert {(row.value, row.reason) for row in profile.rows} == {(None, said)}
    assert said in profile.output.getvalue() and not profile.directory(job).exists()


def test_a_cell_whose_trials_are_refused_says_why(begun):
    profile, job = begun(*[{"reason": "bad spec"}] * 3)
    assert profile.rate(job) is None and profile.without_rate(job) == "bad spec"


def test_the_lowest_finite_loss_chooses_and_what_was_refused_is_tried_again(begun):
    profile, job = begun({"reason": "bad spec"}, {"val_loss": 2.0}, {"val_loss": 1.0})
    assert profile.rate(job) == 1e-2 and profile.without_rate(job) == ""
    assert profile.loss(job._replace(rate=1e-4, trial=True)) is None
