"""What mkdocs does not do by itself: pages from a notebook and from files beside docs/, and links that leave docs/."""

import base64
import json
import logging
import re
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md")  # pages of the site that lie where a code host expects them
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")

DOCTEST_LIST = re.compile(r"cross-reference target '[^'a-zA-Z]*'")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files beside docs/, and put a page and its pictures in the place of each notebook."""
    for name in BESIDE:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text, pictures = notebook_as_markdown(json.loads(notebook.content_string), Path(notebook.src_uri).stem)
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", "_page.md"), content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, name, content=content))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation names notebooks; it gets their pages. A list that a doctest prints is no reference."""
    for handler in logging.getLogger("mkdocs").handlers:
        handler.addFilter(lambda record: not DOCTEST_LIST.search(record.getMessage()))
    config.nav = json.loads(json.dumps(config.nav).replace('.ipynb"', '_page.md"'))
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them; what lies outside docs/ and is no page is named without a link."""
    beside = page.file.src_uri in BESIDE

    def on_site(match: re.Match[str]) -> str:
        picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        if ":" in target:
            return match[0]
        target = target.replace(".ipynb", "_page.md")
        place = normpath(join("" if beside else join("docs", dirname(page.file.src_uri)), target))
        if place in BESIDE or place.startswith("docs/"):
            inside = place.removeprefix("docs/")
            depth = page.file.src_uri.count("/")
            return f"{picture}[{text}]({'../' * depth}{inside}{anchor})"
        return text

    return LINK.sub(on_site, markdown)


def notebook_as_markdown(notebook: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """The cells of a notebook with their outputs as Markdown, and {name: content} of its pictures."""
    parts: list[str] = [f'<a href="{stem}.ipynb" download>The file of this notebook</a>']
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{stem}_{len(pictures)}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![output]({name})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```text\n{text}\n```")
    head = parts.pop(1) if notebook["cells"][0]["cell_type"] == "markdown" else ""
    return "\n\n".join([head, *parts]) + "\n", pictures
