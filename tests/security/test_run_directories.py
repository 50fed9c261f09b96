"""Run directories from a stranger: what they say does nothing; it is refused in one line, or shown as text."""

import base64
import json
import shutil

import pytest
import yaml

from seqlab.report.__main__ import main as report

WORDS = {
    "adds a callback": ["+hydra.callbacks.x._target_=os.mkdir", "+hydra.callbacks.x.path=MARK"],
    "forces a callback": ["++hydra.callbacks.x._target_=os.mkdir", "++hydra.callbacks.x.path=MARK"],
    "changes a callback": ["hydra.callbacks.sweep_folder._target_=os.mkdir"],
    "takes a callback away": ["~hydra.callbacks.sweep_folder"],
    "another launcher": ["hydra/launcher=joblib"],
    "a group in Hydra's node": ["model@hydra.callbacks.x=lstm"],
    "another folder of configurations": ["--config-dir=RUN"],
    "a search path": ["hydra.searchpath=[file://RUN]"],
    "a sweep": ["seed=1,2"],
    "a new key": ["+data.further=1"],
    "a file of the run": ["experiment=../../../../../../../..RUN/evil"],
    "a file by interpolation": ["experiment=${oc.env:PWD}/evil"],
    "no words": [3],
    "no list": {"seed": 1},
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_hostile_words_of_a_run_directory_are_refused(finished_run, run_dir, mark, words, command):
    (run_dir / "evil.yaml").write_text(
        f"# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.mkdir\n      path: {mark}\n",
        encoding="utf-8",
    )
    if isinstance(words, list) and isinstance(words[0], str):
        words = [word.replace("RUN", str(run_dir)).replace("MARK", str(mark)) for word in words]
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    before = sorted(run_dir.rglob("*"))
    done = command(finished_run[2].args[1], f"resume={run_dir}", cwd=run_dir)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not mark.exists() and sorted(run_dir.rglob("*")) == before


def test_a_new_key_is_taken_when_the_user_says_it_again(finished_run, run_dir, command):
    words = yaml.safe_load((run_dir / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*words, "++seed=1"]), encoding="utf-8")
    refused = command(finished_run[2].args[1], f"resume={run_dir}")
    assert refused.returncode == 2 and "++seed=1 adds a key" in refused.stderr
    done = command(finished_run[2].args[1], f"resume={run_dir}", "++seed=1")
    assert done.returncode == 0 and "nothing to resume" in done.stdout


@pytest.mark.parametrize("name", ["overrides.yaml", "config.yaml"])
def test_tags_of_yaml_construct_nothing(finished_run, run_dir, mark, name, command):
    (run_dir / ".hydra" / name).write_text(f"- !!python/object/apply:os.mkdir ['{mark}']\n", encoding="utf-8")
    done = command(finished_run[2].args[1], f"resume={run_dir}", cwd=run_dir)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert report([str(run_dir)]) == 0
    assert not mark.exists()


@pytest.mark.parametrize("name", ["run.log", "metrics.csv", "checkpoints", "plots/x.png"])
def test_links_out_of_a_run_directory_are_refused(finished_run, run_dir, tmp_path, name, command):
    outside = tmp_path / "outside"
    outside.write_text("mine\n", encoding="utf-8")
    place = run_dir / name
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    place.symlink_to(outside)
    done = command(finished_run[2].args[1], f"resume={run_dir}", "trainer.max_steps=45")
    assert done.returncode == 2 and f"{place} is a link out of the run directory" in done.stderr
    assert outside.read_text(encoding="utf-8") == "mine\n"


def test_a_link_out_of_a_run_is_not_shown_in_the_report(run_dir, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"the secret of the one who reads")
    (run_dir / "plots" / "forecast.png").symlink_to(secret)
    assert report([str(run_dir), "--out", str(tmp_path / "page.html")]) == 0
    assert base64.b64encode(secret.read_bytes()).decode() not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "folder")]) == 0
    assert not any(path.read_bytes() == secret.read_bytes() for path in (tmp_path / "folder").iterdir())


DAMAGED = {
    "status.json": ["[1]", '{"status": ["done"], "reason": 3, "hash": {}}', "[" * 100_000, "\x00"],
    "summary.json": ["[]", '{"metrics": "none"}', '{"model": 1}', "[" * 100_000],
    "metrics.csv": ["", "step\n", "a,b\n1,2\n", "step,val/loss\nx,y\n"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in DAMAGED.items() for text in texts])
def test_files_of_wrong_types_do_not_stop_the_report(run_dir, name, text, capsys):
    (run_dir / name).write_text(text, encoding="utf-8")
    assert report([str(run_dir)]) == 0
    assert "Traceback" not in capsys.readouterr().err


WRONG_TYPES = [
    {"metrics": {"test/loss": "low"}}, {"columns": ["loss"]}, {"columns": {"loss": 1}}, {"seed": [1]},
    {"better": {"test/loss": "most"}}, {"intervals": {"test/loss": 3}}, {"baselines": {"chance": 1}}, {"seconds": "9"},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG_TYPES, ids=str)
def test_a_summary_of_wrong_types_is_told_apart(run_dir, change, capsys):
    file = run_dir / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    assert report([str(run_dir)]) == 0
    assert "summary.json is damaged" in " ".join(capsys.readouterr().out.split())


def test_text_of_a_run_is_no_html(run_dir, tmp_path):
    file = run_dir / "summary.json"
    hostile = {"model": "<script>alert(1)</script>", "description": "</script><img src=x onerror=alert(1)>"}
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | hostile), encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<img src=x" not in page and "&lt;script&gt;alert" in page


def test_names_of_a_run_do_not_lead_out_of_the_folder_of_a_report(run_dir, tmp_path):
    file = run_dir / "summary.json"
    hostile = {"model": "../../out", "data": "../L5"}
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | hostile), encoding="utf-8")
    assert report([str(run_dir), "--out", str(tmp_path / "a" / "b")]) == 0
    assert {path.parent for path in tmp_path.rglob("*out*.png")} == {tmp_path / "a" / "b"}
