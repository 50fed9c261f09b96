"""Passages: pieces of documents that are long enough to say something and short enough to be shown."""

import re
from collections.abc import Iterator, Sequence

FEWEST_WORDS = 40  # of a passage, except the last one of a document
MOST_WORDS = 200  # of a paragraph; a longer one is cut
WORDS = re.compile(rf"\S+(?:\s+\S+){{0,{MOST_WORDS - 1}}}")


def passages(documents: Sequence[str]) -> list[str]:
    """Splits documents into passages: consecutive paragraphs, joined until they have 40 words, within one document.

    A paragraph of more than 200 words, such as a file of one line, is cut after each 200.

    >>> passages(["Who's there?\\n\\nNay, answer me.\\n", "Long live the king!"])
    ["Who's there?\\n\\nNay, answer me.", 'Long live the king!']
    """
    found = []
    for document in documents:
        waiting: list[str] = []
        for paragraph in paragraphs(document):
            waiting.append(paragraph)
            if sum(len(part.split()) for part in waiting) >= FEWEST_WORDS:
                found.append("\n\n".join(waiting))
                waiting = []
        if waiting:
            found.append("\n\n".join(waiting))
    return found


def paragraphs(document: str) -> Iterator[str]:
    """The paragraphs of a document that have words, without the line ends around them; long ones in pieces.

    >>> [len(part.split()) for part in paragraphs("word " * 450 + "\\n\\n" + "one two")]
    [200, 200, 50, 2]
    """
    for paragraph in document.split("\n\n"):
        if len(paragraph.split(maxsplit=MOST_WORDS)) > MOST_WORDS:
            yield from (match[0] for match in WORDS.finditer(paragraph))
        elif paragraph.strip():
            yield paragraph.strip("\n")
