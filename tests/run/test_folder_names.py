"""The names of folders and the hashes of runs, by which resume=auto and a repeated sweep find them."""

from pathlib import Path

from omegaconf import OmegaConf

from seqlab.run.config import RunConfig, folder_name
from seqlab.run.overrides import prepared

CONF = Path(__file__).parents[2] / "conf"


def folder_of_sweep(*words):
    (place,) = (word for word in prepared(["-m", *words], CONF) if word.startswith("hydra.sweep.dir="))
    return place


def test_a_sweeps_folder_does_not_depend_on_quotes():
    assert folder_of_sweep("seed=1,2", "data.path=é.txt") == folder_of_sweep("seed=1,2", "data.path='é.txt'")
    assert folder_of_sweep("seed=1,2", "data.path='a,b'") != folder_of_sweep("seed=1,2", "data.path=a,b")


def test_a_name_of_long_letters_fits_a_file_system(tmp_path):
    for letter in ("x", "é", "語", "𝒳"):
        for words in (letter * 500, "a" + letter * 500, "ab" + letter * 500, "abc" + letter * 500):
            name = folder_name(words, "1a2b3c4d")
            assert name.endswith("-1a2b3c4d") and len(name.encode()) <= 255
            assert words.startswith(name.removesuffix("-1a2b3c4d"))  # cut between two letters
            (tmp_path / name).mkdir()
    assert folder_name("x" * 500, "1a2b3c4d") == "x" * 80 + "-1a2b3c4d"


def test_the_hash_does_not_depend_on_quotes():
    def of(**data):
        return RunConfig.of(OmegaConf.create({"data": data, "trainer": {"max_steps": 1}})).hash

    for number, text in ((2020, "2020"), (1000.0, "1e3"), (True, "true"), (False, "False"), (0.5, ".5")):
        assert of(column=number) == of(column=text)
    assert len({of(column=value) for value in ("2020", "2021", "year", None, "", True)}) == 6


def test_the_hash_of_a_run_stays():
    """resume=auto and a sweep that is given again find runs by it."""
    config = {
        "seed": 1,
        "resume": "auto",
        "debug": True,
        "logger": {"csv": {"_target_": "x"}},
        "trainer": {"max_steps": 900, "precision": "32-true"},
        "schedule": {"total": "${trainer.max_steps}", "warmup": "1e3"},
        "data": {"column": "2020", "path": "été.txt", "seasons": [7, None, True]},
        "hydra": {"run": {"dir": "${nowhere}"}},
    }
    found = RunConfig.of(OmegaConf.create(config))
    assert found.hash == "89d416cd"
    more = config | {"trainer": {"max_steps": 5, "precision": "32-true"}, "resume": None, "debug": False, "logger": {}}
    assert RunConfig.of(OmegaConf.create(more)).hash == found.hash
    assert RunConfig.of(OmegaConf.create(config | {"seed": 2})).hash != found.hash
