"""A sweep checks the keys of each job against the choices of that job, before the first one starts."""

from pathlib import Path

import pytest

from seqlab.run.overrides import prepared
from seqlab.run.sweep_overrides import for_each_job
from seqlab.run.values import read

CONF = Path(__file__).parents[2] / "conf"
QUICK = ["trainer=fast", "trainer.max_steps=2", "trainer.val_every=2", "logger=csv", "trainer.accelerator=cpu"]
TINY = ["data.max_length=4", "data.test_lengths=[8]", "data.num_val=8", "data.num_test=8", "model.hidden_dim=8"]


@pytest.fixture
def sweep(command, root, tmp_path):
    """Words -> the completed process of a sweep in tmp_path."""
    return lambda *words: command(root / "run.py", "-m", "model=lstm", *words, *QUICK, cwd=tmp_path)


def test_a_key_that_only_the_data_of_the_jobs_have(sweep, tmp_path):
    done = sweep("data=parity,S3", *TINY, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.parent.parent.name for path in tmp_path.rglob("summary.json")) == ["S3", "parity"]


def test_a_key_that_one_of_the_jobs_has_not_starts_none(sweep, tmp_path):
    done = sweep("data=parity,L5", "data.test_lengths=[8]", "hydra.sweep.dir=sweep")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: data.test_lengths: no such key; ")
    assert not list(tmp_path.rglob("status.json"))


@pytest.mark.parametrize("text", ["a.b=[8]", "a.b=1e-3", "a.b={c: 1}", "+a.b=x y", "a.b=/x/y.txt"])
def test_a_job_gets_the_characters_as_before(text):
    _, word = for_each_job(["data=L1,L5", text], is_group="data".__eq__)
    before, once = read(text), read(word)
    assert list(once.sweep_string_iterator()) == [before.get_value_element_as_str()]
    assert once.get_key_element() == before.get_key_element()


@pytest.mark.parametrize("word", ["seed=2", "~a.b", "a.b=", "a.b=1,2", "a.b='x,y'", "hydra.sweep.dir=a.b", "data=L1"])
def test_what_cannot_or_need_not_wait_for_a_job_stays(word):
    assert for_each_job(["model=lstm,linear", word], is_group={"data", "model"}.__contains__)[1] == word


def test_a_key_that_another_override_refers_to_stays():
    words = ["-m", "data=L1,L5", "optimizer.lr=2e-3", "hydra.sweep.dir=rate_${optimizer.lr}"]
    assert prepared(words, CONF)[1] == "optimizer.lr=2e-3"
