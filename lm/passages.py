"""Passages: pieces of documents that are long enough to say something and short enough to be shown."""

from collections.abc import Sequence

FEWEST_WORDS = 40  # of a passage, except the last one of a document


def passages(documents: Sequence[str]) -> list[str]:
    """Splits documents into passages: consecutive paragraphs, joined until they have 40 words, within one document.

    >>> passages(["Who's there?\\n\\nNay, answer me.\\n", "Long live the king!"])
    ["Who's there?\\n\\nNay, answer me.", 'Long live the king!']
    """
    found = []
    for document in documents:
        waiting: list[str] = []
        for paragraph in document.split("\n\n"):
            if paragraph.strip():
                waiting.append(paragraph.strip("\n"))
            if sum(len(part.split()) for part in waiting) >= FEWEST_WORDS:
                found.append("\n\n".join(waiting))
                waiting = []
        if waiting:
            found.append("\n\n".join(waiting))
    return found
