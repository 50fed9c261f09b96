"""Names that a plug-in and this project both have are refused where they are chosen; runs of an absent plug-in."""

import re
import shutil

import pytest

from seqlab.errors import InputError
from seqlab.profile.suite import suite_named
from seqlab.run.config import composed
from seqlab.run.overrides import prepared


def clash(folder, group="model", name="linear"):
    """A YAML of this group and name, which this project has too."""
    file = folder / group / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("defaults: []\n", encoding="utf-8")
    return file


def test_a_name_that_a_plugin_and_this_project_have_is_refused_where_it_is_chosen(plugin, root):
    theirs = clash(plugin("plug_m") / "conf")
    composed(["model=lstm", "data=L5"], root / "conf")
    with pytest.raises(InputError) as caught:
        composed(["model=linear", "data=L5"], root / "conf")
    first, second = sorted([theirs, root / "conf" / "model" / "linear.yaml"])
    assert str(caught.value) == f"model=linear is ambiguous: {first} and {second} have this name; rename yours"


def test_a_name_is_refused_too_where_a_yaml_chooses_it(plugin, root):
    """data=L5 has the task rule_extrapolation."""
    theirs = clash(plugin("plug_n") / "conf", "task", "rule_extrapolation")
    with pytest.raises(InputError, match=f"^task=rule_extrapolation is ambiguous: .*{theirs}"):
        composed(["data=L5"], root / "conf")


def test_a_name_in_a_further_folder_is_refused_and_the_same_folder_is_no_other(tmp_path, root):
    theirs = clash(tmp_path / "own", "data", "L4")
    with pytest.raises(InputError, match=f"^data=L4 is ambiguous: .*{theirs}"):
        composed(["data=L4", f"hydra.searchpath=[{tmp_path / 'own'}]"], root / "conf")
    composed(["data=L4", f"hydra.searchpath=[{root / 'conf'}]"], root / "conf")


def test_the_command_refuses_an_ambiguous_name_in_one_line(command, tmp_path, root):
    theirs = clash(tmp_path / "own")
    done = command(root / "run.py", "model=linear", "data=L5", "--config-dir", tmp_path / "own")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: model=linear is ambiguous: ") and str(theirs) in line


def test_a_suite_of_a_name_that_is_taken_is_refused(plugin):
    theirs = clash(plugin("plug_p") / "conf", "suite", "quick")
    with pytest.raises(InputError, match=f"^--suite quick is ambiguous: .*{theirs}"):
        suite_named("quick")


def test_resuming_a_run_without_its_plugin_says_which_one(finished_run, tmp_path, root):
    folder = shutil.copytree(finished_run[0], tmp_path / "foreign")
    file = folder / ".hydra" / "config.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("seqlab.models.transformer.", "plug_q.model."), encoding="utf-8")
    words = folder / ".hydra" / "overrides.yaml"
    words.write_text(f"{words.read_text(encoding='utf-8')}- model=plug_q_model\n", encoding="utf-8")
    message = (
        f"resume={folder}: the run was made with plug_q, which is no plug-in here; "
        "if you trust plug_q: SEQLAB_PLUGINS=plug_q"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        prepared([f"resume={folder}"], root / "conf")
