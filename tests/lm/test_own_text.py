"""Which files of a folder are text, what is said of the others, and what is no text at all."""

import gzip
import io
import tarfile

import pytest

from lm.corpus import load_corpus
from lm.own_text import own_documents, own_files

LINES = "Whose words these are I think I know.\n" * 20


def packed(name):
    """A .tar.gz of one text file, the same bytes whenever it is made: it names a test, in every process alike."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(LINES)
        tar.addfile(info, io.BytesIO(LINES.encode()))
    return gzip.compress(content.getvalue(), mtime=0)


@pytest.fixture
def folder(tmp_path):
    """Files by path below tmp_path/notes -> that folder."""

    def made(files):
        for name, content in files.items():
            path = tmp_path / "notes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / "notes")

    return made


def test_what_is_hidden_is_left_out(folder, capsys):
    path = folder(
        {
            "a.txt": "A" + LINES,
            ".ipynb_checkpoints/a-checkpoint.txt": "A" + LINES,
            "deep/.git/x.md": LINES,
            ".b.txt": LINES,
            "deep/c.md": "C" + LINES,
            "page.html": LINES,
            "README": LINES,
        }
    )
    assert list(own_documents(path).values()) == ["A" + LINES, "C" + LINES]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"data.path={path}: files read: 2, skipped: 5 (3 hidden; 2 not .txt, .md, .gz)"


def test_a_hidden_folder_that_was_asked_for_is_read(folder):
    path = folder({".drafts/a.txt": LINES})
    assert list(own_documents(f"{path}/.drafts")) == [f"{path}/.drafts/a.txt"]
    with pytest.raises(ValueError, match=r"there is no \.txt, \.md, \.gz file in this folder or below"):
        own_files(path)


def test_a_suffix_counts_in_capitals_too(folder, capsys):
    path = folder({"A.TXT": LINES, "b.Md": LINES, "c.TXT.GZ": gzip.compress(LINES.encode(), mtime=0)})
    assert list(own_documents(path).values()) == [LINES] * 3
    assert capsys.readouterr().err.endswith("files read: 3, skipped: 0\n")


def test_nothing_is_said_of_a_single_file(folder, capsys):
    own_documents(folder({"a.txt": LINES}) + "/a.txt")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.tar.gz", packed("a.txt"), r"notes\.tar\.gz is not text: byte 5 is a NUL \(unpacked\)$"),
        ("a.txt", "ab\0c", r"a\.txt is not text: byte 2 is a NUL$"),
        ("a.txt", "Who is there?".encode("utf-16-le"), r"a\.txt is not text: byte 1 is a NUL$"),
    ],
)
def test_a_nul_is_refused(folder, name, content, message):
    path = folder({name: content, "other.txt": LINES})
    for place in (path, f"{path}/{name}"):
        with pytest.raises(ValueError, match=message):
            own_documents(place)


def test_documents_with_the_same_text_are_named(folder, capsys):
    path = folder({"a.txt": LINES, "b.md": LINES.replace("\n", "\r\n"), "c.txt": "C" + LINES})
    load_corpus("files", path=path)
    _, line = capsys.readouterr().err.splitlines()
    assert line == (
        f"warning: {path}/a.txt and {path}/b.md hold the same text: "
        "the same text may be in the training and in the test part"
    )
    folder({"d.txt": "C" + LINES})
    load_corpus("files", path=path)
    assert "hold the same text, and 1 more repeat another: " in capsys.readouterr().err


def test_rows_of_a_data_set_with_the_same_text_are_counted(tmp_path, capsys):
    import datasets

    datasets.Dataset.from_dict({"text": [LINES + str(row % 9) for row in range(11)]}).save_to_disk(str(tmp_path))
    load_corpus("hf", name=str(tmp_path))
    err = capsys.readouterr().err
    assert "warning: row 1 and row 10 hold the same text, and 1 more repeat another: " in err
