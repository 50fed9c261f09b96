"""The words of a command line: what Hydra cannot read is a text, and nothing ends in a parser's English."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seqlab.cli import ending
from seqlab.errors import InputError
from seqlab.run.config import composed
from seqlab.run.overrides import prepared
from seqlab.run.values import quoted, readable

CONF = Path(__file__).parents[2] / "conf"
TEXTS = [
    "été.txt",
    "Température",
    "notes (1).txt",
    "outputs/lr=0.1",
    "outputs/multirun/data=L1,L3,seed=1,2-1a2b3c4d/L1/lstm/data=L1,seed=2-5e6f7a8b",
    "Temp (°C)",
    "CO2 [ppm]",
    "[draft] notes.txt",
    "it's",
    '"so" it is',
    "'so",
    "a\\b",
    "a\\'b",
    "tail\\",
    "x\ny",
    "#1; a & b!",
    "~",
    "~/texts/a.txt",
    "日本語",
    "f(x)",
    "9" * 5000,
]


def value_of(word):
    """The value that a configuration has of a word, by way of YAML and back."""
    value = OverridesParser.create().parse_override(word).value()
    saved = OmegaConf.to_yaml(OmegaConf.create({"value": value}))
    return OmegaConf.to_container(OmegaConf.create(saved), resolve=True)["value"]


@pytest.fixture
def longest_int():
    """Python reads integers of so many digits unless somebody says otherwise, as a library does that others import."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("longest_int")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("options", [[], ["-m"]])
def test_a_value_that_hydra_cannot_read_is_the_text_that_it_is(text, options):
    if options and "," in text:
        pytest.skip("several values: a sweep")
    word, *_ = prepared([f"data.path={text}", *options], CONF)
    assert value_of(word) == text
    assert prepared([word], CONF) == [word]  # as it is given to a job, and as resume=RUN gives it again


@pytest.mark.parametrize(
    "word",
    ["seed=2", "data.seasons=[7,365]", "optimizer.lr=1e-3", "name={a: 1}", "seed=${data.seed}", "data.path='a b'",
     "data.path=a/b.txt", "data.column=null", "+data.x=1", "~data.path", "data.path=a\\ b", "model=lstm"],
)  # fmt: skip
def test_what_hydra_reads_stays_as_it_was_typed(word):
    assert prepared([word], CONF) == [word]


@pytest.mark.parametrize("word", ["seed=1,2", "seed=range(1,4)", "seed=choice(1,2)", "model=glob(*lstm)", "seed=1, 2"])
def test_sweeps_stay_as_they_were_typed(word):
    assert prepared(["-m", word], CONF)[0] == word


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["-m", "data.path=é.txt,b (1)"], ["'data.path=\"é.txt,b (1)\"'", "'data.path=\"é.txt\",\"b (1)\"'"]),
        (["data.path=a.txt,b.txt"], ["-m before", "'data.path=\"a.txt,b.txt\"'", "'data.path=[a.txt,b.txt]'"]),
        (["seed=choice(1,2)"], ["-m before", "'seed=\"choice(1,2)\"'"]),
        (["task.prompts=[é,b]"], ["'task.prompts=\"[é,b]\"'", "'task.prompts=[\"é\",b]'"]),
        (["name={a: é}"], ["'name=\"{a: é}\"'"]),
        (["-m", "seed=range(1"], ["'seed=\"range(1\"'"]),
        (["data.path=cost ${5"], ["'data.path=\"cost \\${5\"'"]),
    ],
)  # fmt: skip
def test_where_a_word_is_refused_the_quoted_form_stands_in_the_line(words, parts):
    with pytest.raises(InputError) as caught:
        prepared(words, CONF)
    for part in parts:
        assert part in str(caught.value)
        if part.startswith("'"):  # a shell and then Hydra read it
            (word,) = shlex.split(part)
            assert prepared(["-m", word], CONF)[0] == word


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([""], "'': an override is KEY=VALUE"),
        (["model"], "model: an override is KEY=VALUE"),
        (["=5"], "=5: an override is KEY=VALUE"),
        (["été=1"], "été=1: an override is KEY=VALUE"),
        (["a b=1"], "a b=1: an override is KEY=VALUE"),
        (["data.path=\udcff.txt"], "'data.path=\\udcff.txt': byte 0xff is not UTF-8"),
        (["--nope"], "unrecognized arguments: --nope; a setting is KEY=VALUE without dashes, such as model=lstm"),
        (["--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
        (["--experimental-rerun", "x.pickle"], "--experimental-rerun unpickles a file"),
        (["hydra.run.dir="], "hydra.run.dir=: names no folder"),
        (["model=null"], "model=null: a choice is a name"),
        (["+data@x={a: 1}"], "+data@x={a: 1}: a choice is a name"),
        (["data.path=a\0b"], "'data.path=a\\x00b': byte 0x0 is not text"),
        (["model=lstm,linear"], "model=lstm,linear: several choices; -m before the overrides tries each"),
    ],
)
def test_words_that_are_none(words, line):
    with pytest.raises(InputError) as caught:
        prepared(words, CONF)
    assert str(caught.value).startswith(line)


def test_a_choice_is_a_text_also_where_it_reads_as_a_number():
    assert prepared(["model=1", "data=true"], CONF) == ["model='1'", "data='true'"]


def test_options_may_stand_anywhere():
    assert prepared(["seed=1", "--cfg", "job", "model=lstm"], CONF) == ["seed=1", "model=lstm", "--cfg", "job"]


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("~/runs", "HOME/runs"),
        ("~/${now:%Y}", "HOME/${now:%Y}"),
        ("'~/runs'", "HOME/runs"),
        ("~", "HOME"),
        ("~nobody-has-this-name/x", "~nobody-has-this-name/x"),
        ("a~b", "a~b"),
        ("2020", "2020"),
        ("1e3", "1e3"),
        ("007", "007"),
        ("true", "true"),
        ("a,b", "a,b"),
        ("lr=0.1,seed=2", "lr=0.1,seed=2"),
        ("été (1)", "été (1)"),
        ("outputs/x", "outputs/x"),
    ],
)
def test_a_place_is_a_path_and_its_tilde_the_home_folder(monkeypatch, key, typed, place):
    monkeypatch.setenv("HOME", "/home/it's (me)")
    (word,) = prepared([f"{key}={typed}"], CONF)
    assert OverridesParser.create().parse_override(word).value() == place.replace("HOME", "/home/it's (me)")


def test_a_tilde_elsewhere_stays(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert prepared(["task.note=~/x"], CONF) == ["task.note='~/x'"]


def begun(folder, *words):
    """A directory of a run that these words began."""
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(list(words)), folder / ".hydra" / "overrides.yaml")
    return folder


@pytest.mark.parametrize("name", ["a=1,b=2-5e6f", "été (1)", "it's", "a\\b", "~", "[x", "true"])
@pytest.mark.parametrize("form", ["{0}", "'{0}'"])
def test_resume_takes_any_folder(tmp_path, monkeypatch, name, form):
    if "'" in name and "'" in form:
        pytest.skip("the same quotes inside and outside")
    run = begun(tmp_path / name, "model=lstm", "data.path='é.txt'", "data.column=1e3")
    words = prepared([f"resume={form.format(run)}", "seed=2"], CONF)
    assert words[:-1] == ["model=lstm", "data.path='é.txt'", "data.column=1e3", "seed=2", "resume=auto"]
    assert OverridesParser.create().parse_override(words[-1]).value() == str(run)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert prepared([f"resume=~/{name}", "seed=2"], CONF) == words


def test_words_of_a_run_directory_are_read_like_typed_ones(tmp_path):
    run = begun(tmp_path / "run", "data.path=é (1).txt")
    assert prepared([f"resume={run}"], CONF)[0] == "data.path='é (1).txt'"


# What tells parsers apart from texts, and whole words that begin like real ones.
SIGNS = st.sampled_from([*"=,[](){}'\"\\$~+-@:/.#%!*?|&;<> \t\n_0159eEaxé語𝒳\u2028\x1b", "${", "range(", "null", "L5"])
KEYS = st.sampled_from(
    [
        "seed",
        "data.path",
        "data.column",
        "model",
        "data",
        "hydra.run.dir",
        "hydra.sweep.dir",
        "resume",
        "+x",
        "++x",
        "~seed",
        "~model",
        "hydra/launcher",
        "name",
        "task.prompts",
        "data.seasons",
        "optimizer.lr",
        "experiment",
        "+experiment",
        "hydra",
        "hydra.job",
        "hydra.mode",
        "hydra.searchpath",
        "logger",
        "pair",
        "defaults",
        "+defaults",
        "_self_",
        "data@model",
        "model@x",
        "+data@x",
        "data.0",
        "trainer",
        "+trainer",
        "trainer.max_steps",
        "eval",
    ]
)
TEXT = st.lists(SIGNS, max_size=12).map("".join) | st.text(max_size=12)
WORDS = st.lists(st.builds("{}={}".format, KEYS, TEXT) | TEXT | st.sampled_from(["-m", "--cfg", "job"]), max_size=4)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(WORDS)
def test_any_words_are_composed_or_refused_in_one_line(words):
    if {"-h", "--help", "--hydra-help", "--version"} & set(words):
        return
    try:
        readied = [word for word in prepared(words, CONF) if "=" in word or word.startswith("~")]
        for word in readied:
            OverridesParser.create().parse_override(word)
        if "-m" not in words:
            composed(readied, CONF)
    except Exception as error:
        end = ending(error, CONF)
        assert end is not None and end.code == 2, error
        assert len(end.message.splitlines()) == 1


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(TEXT)
def test_any_text_comes_back_from_its_quotes(text):
    assert OverridesParser.create().parse_override(f"key={quoted(text)}").value() == text
    word = f"data.path={text}"
    try:
        taken = readable(word, sweep=False, is_group=lambda key: False)
    except InputError as error:
        assert "data.path=" in str(error)
    else:
        assert readable(taken, sweep=False, is_group=lambda key: False) == taken
        assert json.dumps(OverridesParser.create().parse_override(taken).value(), default=str)
