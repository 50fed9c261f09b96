"""Files behind a run that change, move or go: what a checkpoint keeps stands, and what reads them again notices."""

import json
import re
import shutil

import pytest
import torch

from seqlab.errors import InputError
from seqlab.export.__main__ import main as export
from seqlab.predict import main as predict
from seqlab.run.build import load_run

STEPS = ["trainer.max_steps=6", "trainer.val_every=3", "trainer.log_every=1", "trainer.min_steps=0", "logger=csv"]
CSV = "x,v\n" + "".join(f"{row},{(row * 7919) % 101 + row / 10}\n" for row in range(300))
PRICES = "High,Low,Close\n" + "".join(f"{100 + row % 7},{90 - row % 5},{95 + row % 3}\n" for row in range(300))
TEXT = "".join(f"Speaker {n}:\n{n * n} words, {7919 * n} more.\n\n" for n in range(300))
FORMS = {
    "series": ("mine.csv", CSV, ["data=series", "data.csv=mine.csv", "data.column=v", "schedule.unit=epoch"]),
    "returns": ("mine.csv", PRICES, ["data=returns", "data.csv=mine.csv"]),
    "text": ("mine.txt", TEXT, ["data=text", "data.path=mine.txt", "data.cache_dir=cache"]),
}
PROMPTS = {"series": " ".join(map(str, range(22))), "returns": "", "text": "Speaker 7:"}


@pytest.fixture(scope="module")
def trained(command, root, tiny, tmp_path_factory):
    """Kind of data -> the folder in which a run on a file there was started, with the run directory `run` in it."""
    found = {}

    def folder(kind):
        if kind not in found:
            cwd = tmp_path_factory.mktemp(kind)
            name, content, _ = FORMS[kind]
            (cwd / name).write_text(content, encoding="utf-8")
            done = command(root / "run.py", *words_of(kind, tiny), "hydra.run.dir=run", cwd=cwd)
            assert done.returncode == 0, done.stderr
            found[kind] = cwd
        return found[kind]

    return folder


def words_of(kind, tiny):
    sizes = [word for word in tiny("lstm", kind) if not word.startswith("data.path=")]
    return [*sizes, *FORMS[kind][2], "model=lstm", *STEPS, "trainer.accelerator=cpu"]


@pytest.fixture
def copied(trained, tmp_path, monkeypatch):
    """Kind -> a copy of that folder that a test may spoil; the working directory is another one."""

    def copy(kind):
        shutil.copytree(trained(kind), tmp_path / "copy")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        return tmp_path / "copy"

    return copy


def said(run_dir, kind, capsys):
    """What predict says of a prompt."""
    assert predict([str(run_dir), PROMPTS[kind]]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMS)
def test_predictions_stay_when_the_file_grows_and_when_it_is_gone(copied, capsys, kind):
    folder = copied(kind)
    name, content, _ = FORMS[kind]
    before = said(folder / "run", kind, capsys)
    (folder / name).write_text(content + content.partition("\n")[2], encoding="utf-8")
    assert said(folder / "run", kind, capsys) == before
    (folder / name).unlink()
    shutil.rmtree(folder / "cache", ignore_errors=True)
    assert said(folder / "run", kind, capsys) == before


def test_an_empty_prompt_is_what_ended_the_series(copied, capsys):
    folder = copied("series")
    (folder / "mine.csv").unlink()
    values = [line.split(",")[1] for line in CSV.splitlines()[-22:]]
    outputs = []
    for prompt in ("", " ".join(values)):
        assert predict([str(folder / "run"), prompt]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


CHANGES = {
    "longer": lambda content: content + content.splitlines()[-1] + "\n",
    "other": lambda content: content.replace("7", "8"),
}


@pytest.mark.parametrize("kind", FORMS)
def test_resume_refuses_another_file_by_name_and_takes_the_same_again(command, root, trained, tmp_path, kind):
    folder = shutil.copytree(trained(kind), tmp_path / "copy")
    name, content, _ = FORMS[kind]
    words = ["resume=run", "trainer.max_steps=9"]
    status = (folder / "run" / "status.json").read_text(encoding="utf-8")
    for change in CHANGES.values():
        (folder / name).write_text(change(content), encoding="utf-8")
        done = command(root / "run.py", *words, cwd=folder)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        sizes = (
            f"{len(content):,} bytes with SHA-256 \\w{{8}}, and is {len(change(content)):,} bytes with SHA-256 \\w{{8}}"
        )
        assert re.fullmatch(
            f"error: {folder}/run cannot be resumed: these are not the data of the run: {name} was {sizes}", line
        )
    (folder / name).unlink()
    done = command(root / "run.py", *words, cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"/run cannot be resumed: data.{'path' if kind == 'text' else 'csv'}={name}: " in done.stderr
    assert (folder / "run" / "status.json").read_text(encoding="utf-8") == status
    (folder / name).write_text(content, encoding="utf-8")
    done = command(root / "run.py", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    kept = [torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)[key] for key in KEPT]
    first = torch.load(trained(kind) / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept == [first[key] for key in KEPT]


KEPT = ("fitted", "data_files", "task_files")


def test_resume_goes_on_with_the_tokenizer_that_was_fitted(command, root, copied):
    """Also where the options of the tokenizer's training would give another one: what the ids mean stays."""
    folder = copied("text")
    file = folder / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    vocabulary = json.loads(content["fitted"]["tokenizer"])
    names = vocabulary["model"]["vocab"]
    names["a"], names["e"] = names["e"], names["a"]
    content["fitted"]["tokenizer"] = json.dumps(vocabulary)
    for name in ("last.ckpt", "best.ckpt"):
        torch.save(content, file.with_name(name))
    done = command(root / "run.py", "resume=run", "trainer.max_steps=9", cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("last.ckpt", "best.ckpt"):
        assert torch.load(file.with_name(name), weights_only=True)["fitted"] == content["fitted"]
    stored = json.loads((folder / "run" / "tokenizer.json").read_text(encoding="utf-8"))
    assert (stored["model"]["vocab"]["a"], stored["model"]["vocab"]["e"]) == (names["a"], names["e"])


@pytest.mark.parametrize("kind", FORMS)
def test_a_run_is_exported_where_its_data_are_not(copied, capsys, kind):
    folder = copied(kind)
    assert export([str(folder / "run"), "--format", "safetensors"]) == 0
    out, err = capsys.readouterr()
    assert f"{folder / 'run'} is exported and not evaluated: " in err and err.count("\n") == 1
    assert [row.split("|")[-2].strip() for row in out.splitlines()[2:]] == ["-", "-"]
    before = said(folder / "run", kind, capsys)
    from seqlab.export.folder import load_export

    run = load_export(folder / "run" / "export" / "safetensors")
    assert run.task.describe(run.model, run.task.parse_prompt(PROMPTS[kind])) + "\n" == before


def test_an_export_is_not_measured_on_other_data(copied, capsys, monkeypatch):
    folder = copied("series")
    monkeypatch.chdir(folder)
    (folder / "mine.csv").write_text(CHANGES["longer"](CSV), encoding="utf-8")
    assert export(["run", "--format", "safetensors"]) == 0
    out, err = capsys.readouterr()
    assert "not evaluated: these are not the data of the run: mine.csv was " in err
    assert "| - |" in out


SPOILT = [
    (
        lambda content: content.pop("fitted"),
        "best.ckpt holds no fitted: it is from a version of SeqLab that did not store",
    ),
    (lambda content: content["fitted"].update(deviation="1"), "fitted.deviation: input should be a valid number"),
    (lambda content: content["fitted"].update(deviation=float("nan")), "fitted.deviation: input should be"),
    (lambda content: content["fitted"].update(deviation=-1.0), "fitted.deviation: input should be greater than 0"),
    (lambda content: content["fitted"].update(last=[[1.0]] * 21), "fitted.last: 21 steps, and a window has 22"),
    (lambda content: content["fitted"].update(last=[[1.0, 2.0]] * 22), "fitted.last: steps of [2] numbers"),
    (lambda content: content["fitted"].update(last=torch.zeros(22, 1)), "fitted.last: input should be a valid list"),
    (lambda content: content.update(fitted=torch.zeros(3)), "fitted: input should be a valid dictionary"),
    (lambda content: content.update(data_files=[1]), "data_files: files by their names are needed"),
]


@pytest.mark.parametrize(("change", "message"), SPOILT)
def test_what_a_stranger_s_checkpoint_keeps_is_looked_at(copied, change, message):
    file = copied("series") / "run" / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        load_run(file)
    assert "\n" not in str(refused.value)
