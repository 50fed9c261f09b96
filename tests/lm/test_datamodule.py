"""Windows are a function of the step, cover the text, and are cut from ids that are encoded once."""

import hashlib

import numpy as np
import pytest
import torch

from lm.cache import digest
from lm.datamodule import TextDataModule
from lm.tokenizer import DOCUMENT_ID, train_tokenizer
from seqlab.kept import Kept

TEXT = "".join(f"Speaker {n}:\n{n * n} words, {7919 * n} more.\n\n" for n in range(400))


@pytest.fixture
def make(tmp_path):
    """Options -> the data module of a small text in a file."""
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")

    def made(**options):
        defaults = {"path": str(file), "cache_dir": str(tmp_path / "cache"), "vocabulary_size": 300, "batch_size": 8}
        return TextDataModule(**defaults | {"context_length": 32} | options)

    return made


def test_a_batch_is_a_function_of_the_step(make):
    one, other = make(), make()
    batches = [one.train_batch(step) for step in range(2 * one.steps_per_epoch + 3)]
    for step in (len(batches) - 1, 0, one.steps_per_epoch, 5):
        assert torch.equal(other.train_batch(step), batches[step])
    assert batches[0].shape == (8, 33) and batches[0].dtype == torch.int64
    assert not torch.equal(make(seed=2).train_batch(0), batches[0])


def test_an_epoch_reads_each_place_once(make):
    """Windows share one id with their neighbour: the last target of one is the first input of the next."""
    data = make(tokenizer="byte")
    ids = data.train_ids.tolist()
    places = {}
    for start in range(len(ids) - 32):
        places.setdefault(tuple(ids[start : start + 33]), []).append(start)
    firsts, orders = [], []
    for epoch in range(2):
        steps = range(epoch * data.steps_per_epoch, (epoch + 1) * data.steps_per_epoch)
        rows = [tuple(row) for step in steps for row in data.train_batch(step).tolist()]
        starts = sorted(places[row][0] for row in rows)
        assert all(len(places[row]) == 1 for row in rows)
        assert len(rows) == len(set(rows)) == 8 * data.steps_per_epoch
        assert len({start % 32 for start in starts}) == 1  # they follow one another
        assert len(rows) > data.windows_per_epoch - 8
        firsts.append(starts[0] % 32)
        orders.append([places[row][0] // 32 for row in rows])
    assert firsts[0] != firsts[1]
    assert orders[0] != orders[1]


def test_the_parts_are_the_text(make):
    data = make()
    decoded = [data.tokenizer.decode(data.ids(part).tolist()) for part in ("train", "val", "test")]
    assert "".join(decoded[0]) == TEXT.replace(decoded[1], "").replace(decoded[2], "")
    assert len(decoded[2]) == pytest.approx(0.1 * len(TEXT), abs=2)
    assert all(data.ids(part)[0] == DOCUMENT_ID for part in ("train", "val", "test"))
    (item,) = list(data.test_dataloader())
    assert item.tolist() == data.ids("test").tolist()


def test_the_tokenizer_saw_the_training_part_alone(make):
    data = make()
    assert data.tokenizer.json == train_tokenizer("bpe", data.corpus.train, 300).json
    assert data.tokenizer.json != train_tokenizer("bpe", [TEXT], 300).json


def test_ids_are_encoded_once_and_mapped(make, tmp_path):
    first = make().train_ids
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache" / "text").iterdir()}
    again = make().train_ids
    assert isinstance(again, np.memmap) and again.dtype == np.uint16
    assert np.array_equal(first, again)
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert not list((tmp_path / "cache" / "text").glob("*.tmp"))
    other = make(tokenizer="char")
    assert other.train_ids.shape != first.shape  # keyed by the tokenizer too
    (tmp_path / "text.txt").write_text(TEXT.replace("Speaker", "Talker"), encoding="utf-8")
    assert "Talker" in make().tokenizer.decode(make().train_ids.tolist())  # and by the text


def test_a_tokenizer_of_ones_own(make, tmp_path):
    tokenizer = train_tokenizer("bpe", [TEXT], 280)
    (tmp_path / "mine.json").write_text(tokenizer.json, encoding="utf-8")
    assert make(tokenizer_path=str(tmp_path / "mine.json")).spec.input.size == 280


def test_what_a_checkpoint_keeps_replaces_the_text(make, tmp_path):
    first = make(vocabulary_size=280)
    batch, kept = first.train_batch(3), first.kept
    assert kept.fitted == {"tokenizer": first.tokenizer.json}
    content = (tmp_path / "text.txt").read_bytes()
    record = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert kept.data_files == {str(tmp_path / "text.txt"): record}
    again = make(vocabulary_size=300)  # that it is not trained anew shows in the number of its ids
    again.restore(kept)
    assert torch.equal(again.train_batch(3), batch)
    (tmp_path / "text.txt").unlink()
    gone = make()
    gone.restore(kept)
    assert gone.spec.output.width == 280
    assert gone.tokenizer.decode(gone.tokenizer.encode("Speaker")) == "Speaker"
    with pytest.raises(ValueError, match=r"text\.txt: there is no such file or folder$"):
        gone.train_batch(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + "x", r"text\.txt was [\d,]+ bytes with SHA-256 \w{8}, and is [\d,]+ bytes with SHA"),
        (lambda text: text.replace("7919", "7918"), r"text\.txt was [\d,]+ bytes"),
    ],
)
def test_a_text_that_has_changed_is_not_read(make, tmp_path, change, message):
    kept = make().kept
    (tmp_path / "text.txt").write_text(change(TEXT), encoding="utf-8")
    other = make()
    other.restore(kept)
    with pytest.raises(ValueError, match=message) as refused:
        other.ids("test")
    assert "\n" not in str(refused.value)


def test_the_files_of_a_folder_are_told_apart(make, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.txt", "b.md", "c.txt"):
        (folder / name).write_text(f"{name}\n{TEXT}", encoding="utf-8")
    kept = make(path=str(folder)).kept
    assert [*kept.data_files] == [f"{folder}/{name}" for name in ("a.txt", "b.md", "c.txt")]
    (folder / "a.txt").unlink()
    (folder / "b.md").write_text(TEXT, encoding="utf-8")
    (folder / "d.txt").write_text(TEXT, encoding="utf-8")
    (folder / "notes.html").write_text(TEXT, encoding="utf-8")
    other = make(path=str(folder))
    other.restore(kept)
    with pytest.raises(ValueError, match=r"a\.txt is gone; .*b\.md was .*, and is .*; .*d\.txt was not there$"):
        other.refuse_changed_files()


FITTED = [
    (None, "fitted: input should be a valid dictionary"),
    ({}, "fitted.tokenizer: field required"),
    ({"tokenizer": 3}, "fitted.tokenizer: input should be a valid string"),
    ({"tokenizer": "{}"}, "this is not a tokenizer"),
    ({"tokenizer": "{}", "scale": 1.0}, "fitted.scale: extra inputs are not permitted"),
]


@pytest.mark.parametrize(("fitted", "message"), FITTED)
def test_what_a_stranger_says_was_fitted_is_looked_at(make, fitted, message):
    with pytest.raises(ValueError, match=message) as refused:
        make().restore(Kept(fitted, {}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (3, "data_files: files by their names are needed"),
        ({"a.txt": {"size": "1", "sha256": "x"}}, r"data_files\.a\.txt\.size: input should be a valid integer"),
        ({"a.txt": {"size": 1}}, r"data_files\.a\.txt\.sha256: field required"),
    ],
)
def test_what_a_stranger_says_of_files_is_looked_at(make, files, message):
    with pytest.raises(ValueError, match=message):
        make().restore(Kept({"tokenizer": train_tokenizer("byte", []).json}, files))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"corpus": "shakespeare"},
            r"data\.corpus=shakespeare, data\.path=\S+: files needs a path, hf a name, others neither",
        ),
        ({"corpus": "wiki"}, r"data\.corpus=wiki, data\.path="),
        ({"name": "x"}, r"data\.corpus=files, data\.name=x"),
        ({"corpus": "hf", "path": None}, r"data\.corpus=hf, data\.name=None"),
    ],
)
def test_a_path_and_a_corpus_that_exclude_each_other_are_refused_at_once(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_path_or_a_name_implies_its_corpus(make):
    assert make().source[0] == make(corpus="files").source[0] == "files"
    assert make(path=None, name="somewhere").source[0] == "hf"
    assert make(path=None).source[0] == "shakespeare"


def test_where_nothing_can_be_kept_ids_stay_in_memory(make, tmp_path, capsys):
    expected = make().train_batch(0)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    data = make(cache_dir=str(tmp_path / "file"))
    assert torch.equal(data.train_batch(0), expected)
    assert data.ids("train") is data.ids("train")
    assert f"warning: {tmp_path / 'file' / 'text'}: Not a directory: nothing is cached there" in capsys.readouterr().err


def test_a_file_of_ids_that_was_cut_short_is_written_anew(make, tmp_path):
    expected = make().train_ids.copy()
    for file in (tmp_path / "cache" / "text").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-50])
    assert np.array_equal(make().train_ids, expected)


def test_a_text_that_does_not_fill_a_batch_is_refused(make):
    with pytest.raises(ValueError, match=r"tokens, and data\.batch_size=512 with data\.context_length=32 needs 16,416"):
        make(batch_size=512).train_batch(0)


def test_digest_tells_where_texts_end():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", "")}) == 4
    assert len(digest("x")) == 16
    long = "é" * (2**20 + 1)  # it is read piece by piece
    assert digest(long) == digest("".join(["é", long[1:]])) != digest(long[1:])
