"""Suites: what their files may say, and that every measure has a scale."""

import re

import pytest

from seqlab.errors import InputError
from seqlab.plugins import trusting
from seqlab.profile.job import measured, refuse_other_budget, targets_of
from seqlab.profile.models import models_of
from seqlab.profile.scores import Scale, scale_of
from seqlab.profile.sizes import fitted
from seqlab.profile.suite import ABILITIES, suite_named, suites
from seqlab.proportion import value_of
from seqlab.run.build import construct
from seqlab.spec import Classes, Spec, Tokens
from seqlab.task import Task
from tests.conftest import ROOT

NAMES = ("quick", "standard", "full")
SUITES = {name: suite_named(name) for name in NAMES}
SPEC = Spec(Tokens(4), Classes(4), max_length=16)


def cases():
    """Every distinct cell of the suites, once; those of quick whose baselines take less than a second are fast."""
    seen = {}
    for name, suite in SUITES.items():
        for cell, part in suite.cells.items():
            measures = tuple((measure.metric, measure.ability) for measure in part.measures)
            seen.setdefault((tuple(part.overrides), measures), (name, cell, name == "quick" and is_small(part)))
    return [
        pytest.param(name, cell, marks=() if fast else pytest.mark.slow, id=f"{name}-{cell}")
        for name, cell, fast in seen.values()
    ]


def is_small(part):
    """Whether the number of test strings of a cell can be lowered."""
    return part.curve == "test/right_by_length"


def test_a_cell_whose_data_have_another_budget_is_refused():
    refuse_other_budget(1000, 1040)
    refuse_other_budget(1000, 0)
    said = "the cell states 1,100 targets; its data have 1,000 in its steps, as Task.num_targets counts"
    with pytest.raises(InputError, match=said):
        refuse_other_budget(1000, 1100)


@pytest.mark.parametrize(
    ("words", "in_a_row"),
    [
        ("data=copy data.length=12", 12 + 20),  # a symbol at each step
        ("data=text data.context_length=16", 16),
        ("data=adding", 1),
        ("data=semiprimes data.head=bits", 1),
        ("data=semiprimes data.head=tokens", 1),  # a factor, however it is written
    ],
)
def test_where_a_task_does_not_count_there_is_a_target_at_each_step_or_one_in_a_row(compose, words, in_a_row):
    config = compose(*words.split(), "data.batch_size=4")
    task = construct(config["task"], datamodule=construct(config["data"]))
    assert targets_of(task, task.data, 10) == pytest.approx(10 * 4 * in_a_row, rel=0.03)  # epochs end in small batches


def test_quick_is_a_part_of_standard_and_standard_of_full():
    tasks = [set(SUITES[name].cells) for name in NAMES]
    assert tasks[0] <= tasks[1] <= tasks[2]
    for name in NAMES:
        found = {measure.ability for _, measure in SUITES[name].measures}
        assert found == set(ABILITIES), name


@pytest.mark.parametrize(
    "cell",
    [pytest.param(c, marks=() if c in SUITES["quick"].cells else pytest.mark.slow) for c in SUITES["full"].cells],
)
def test_each_seed_has_the_targets_that_a_cell_states(compose, cell):
    for seed in SUITES["full"].seeds:
        for part in [suite.cells[cell] for suite in SUITES.values() if cell in suite.cells]:
            config = compose(*SUITES["full"].run_overrides(cell, seed), *part.overrides, "model=lstm", full=True)
            task = construct(config["task"], datamodule=construct(config["data"]))
            refuse_other_budget(targets_of(task, task.data, part.steps), part.targets)


@pytest.mark.parametrize(("name", "cell"), cases())
def test_the_oracle_scores_one_and_the_best_shortcut_nothing(compose, name, cell):
    """And every other shortcut less."""
    part = SUITES[name].cells[cell]
    few = ["data.num_test=16"] if name == "quick" and is_small(part) else []
    config = compose(*SUITES[name].run_overrides(cell, 1), *few, "model=lstm", full=True)
    task = construct(config["task"], datamodule=construct(config["data"]))
    rows = {name: {metric: value_of(value) for metric, value in row.items()} for name, row in task.baselines().items()}
    for measure in part.measures:
        kinds = {"optimal": task.optimal, "solvers": task.solvers}
        scale = scale_of(measure.metric, rows, **kinds, better=task.better.get(measure.metric))
        assert isinstance(scale, Scale), scale
        assert scale == scale_of(measure.metric, rows, **kinds, better=None)  # what nobody says follows from the ends
        scores = {
            name: scale.score(value) for name, row in rows.items() if (value := row.get(measure.metric)) is not None
        }
        assert scores[scale.optimum] == 1 and scores[scale.shortcut] == 0
        shortcuts = scores.keys() - {*task.optimal, *task.solvers}
        assert len(shortcuts) > 1 and all(scores[name] <= 0 for name in shortcuts)
        summary = {"better": task.better, "baselines": rows, "intervals": {}}
        kind = config["task"]["_target_"]
        for name, right in ((scale.optimum, 1), (scale.shortcut, 0)):
            assert measured(measure.metric, {**summary, "metrics": rows[name]}, kind)["score"] == right


def test_a_scale_that_cannot_be_says_why():
    rows = {"chance": {"a": 0.5, "b": 1.0}, "oracle": {"a": 1.0, "b": 1.0}, "solver": {"a": 0.9, "c": 1.0}}
    kinds = {"optimal": ("oracle",), "solvers": ("solver",), "better": "high"}
    assert scale_of("a", rows, **kinds) == Scale(0.5, 1.0, "chance", "oracle")
    assert scale_of("b", rows, **kinds) == "the shortcut chance reaches the optimum of b"
    assert scale_of("c", rows, **kinds) == (
        "no baseline knows the optimum of c (Task.optimal names those that would: oracle)"
    )
    assert scale_of("a", {"oracle": {"a": 1.0}}, **kinds) == "no shortcut has a value of a"
    losses = {"chance": {"loss": 2.0}, "ngram": {"loss": 1.5}, "optimal": {"loss": 1.0}}
    low = scale_of("loss", losses, optimal=("optimal",), solvers=(), better="low")
    assert low == Scale(1.5, 1.0, "ngram", "optimal") and low.score(1.25) == 0.5


@pytest.mark.parametrize("page", ["profile.md", "extending.md"])
def test_the_pages_say_which_baselines_know_the_optimum_and_who_counts_targets(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in Task.optimal)
    assert {"`Task.optimal`", "`Task.solvers`", "`Task.num_targets`"} <= set(re.findall("`[^`\n]+`", text))


def test_where_nobody_says_what_is_better_it_is_the_way_from_the_shortcuts_to_the_optimum():
    """The floor is then the shortcut nearest to the optimum, whichever way that is."""
    rows = {
        "chance": {"distance": 85.0, "hits": 0.1, "odd": 1.0},
        "copy": {"distance": 20.0, "hits": 0.3, "odd": 3.0},
        "oracle": {"distance": 0.0, "hits": 1.0, "odd": 2.0},
    }
    kinds = {"optimal": ("oracle",), "solvers": (), "better": None}
    assert scale_of("distance", rows, **kinds) == Scale(20.0, 0.0, "copy", "oracle")
    assert scale_of("hits", rows, **kinds) == Scale(0.3, 1.0, "copy", "oracle")
    assert "shortcuts are on both sides of the optimum" in scale_of("odd", rows, **kinds)
    same = {"chance": {"hits": 1.0}, "oracle": {"hits": 1.0}}
    assert scale_of("hits", same, **kinds) == "the shortcut chance reaches the optimum of hits"


def test_a_metric_that_better_does_not_name_may_be_low_in_a_cell():
    rows = {"chance": {"test/distance_by_length/8": 80.0}, "bayes": {"test/distance_by_length/8": 0.0}}
    summary = {"better": {}, "baselines": rows, "intervals": {}, "metrics": {"test/distance_by_length/8": 20.0}}
    assert measured("test/distance_by_length/8", summary, "sequences.task.Recurrence")["score"] == 0.75


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: 0", "version: "),
        ("seeds: [1]", "seed: [1]", "seed: no such key; did you mean seeds?"),
        ("ability: state", "ability: wit", "cells.parity.measures.0.ability: "),
        ("steps: 20", "steps: many", "cells.parity.steps: "),
        ("targets: 720", "", "cells.parity.targets: "),
        ("about: two", "about: [two", "cannot be read"),
    ],
)
def test_a_wrong_suite_is_refused_by_key(folder, tmp_path, old, new, said):
    text = (folder / "suite" / "tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "mine.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        suite_named("mine", str(tmp_path))
    assert said in str(caught.value)


def test_rates_are_tried_by_short_runs_of_the_first_seed():
    words = SUITES["standard"].trial_overrides("parity", 3e-3)
    assert {"optimizer.lr=0.003", "seed=1", "trainer.max_steps=300", "trainer.min_steps=300"} <= set(words)
    assert "trainer.max_steps=1000" in SUITES["standard"].run_overrides("parity", 2, 1e-3)


@pytest.mark.parametrize("model", ["lstm", "transformer", "mamba", "linear"])
def test_the_width_is_the_one_nearest_to_the_budget(compose, model):
    """Against all widths, one after another."""
    node = compose(f"model={model}", "size@model=transduction_${model}", full=True)["model"]
    size = fitted(node, SPEC, 20_000)
    step = 2 * node["num_heads"] if "num_heads" in node else 4
    others = [
        fitted(
            {**node, **{key: max(1, round(width * node[key] / node["d_model"] / step)) * step for key in size.widths}},
            SPEC,
            0,
            ["d_model"],
        )
        for width in range(step, 20 * step, step)
    ]
    best = min(abs(other.parameters - 20_000) for other in others)
    assert abs(size.parameters - 20_000) == best


def test_a_width_that_the_user_has_set_stays(compose):
    node = compose("model=lstm", "size@model=transduction_${model}", full=True)["model"]
    assert fitted(node, SPEC, 10**6, ["hidden_dim"]).widths == {}


def test_a_variant_comes_before_a_model_of_its_name():
    one, two = models_of([], "gru,linear")
    assert (one.group, two.group) == ("variant", "variant")
    (hf,) = models_of(["model=hf", "model.type=llama"], None)
    assert hf.overrides == ["model=hf", "model.type=llama"] and hf.label == "hf model.type=llama"


def test_a_plug_in_brings_a_suite(folder, tmp_path, monkeypatch):
    package = tmp_path / "seqlab_of_suites"
    (package / "conf" / "suite").mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    text = (folder / "suite" / "tiny.yaml").read_text(encoding="utf-8")
    (package / "conf" / "suite" / "theirs.yaml").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with trusting(["seqlab_of_suites"]):
        assert {"theirs", *NAMES} <= set(suites()) and suite_named("theirs").parameters == 4000
    assert "theirs" not in suites()


def test_the_suites_of_this_project_are_found():
    assert {path.stem for path in (ROOT / "conf" / "suite").glob("*.yaml")} == set(suites())
