"""docs/formal_languages.md draws a string of each language."""

import re

from seqlab.run.build import construct
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "formal_languages.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^\| (\w+) \| \w+ \| `([^`]+)` \|", PAGE, flags=re.MULTILINE))


def test_each_language_has_a_string_that_is_in_it(compose):
    assert sorted(SHOWN) == sorted(path.stem for path in (ROOT / "conf" / "language").glob("*.yaml"))
    for name, string in SHOWN.items():
        grammar = construct(compose(f"data={name}")["data"]["grammar"])
        assert grammar.judge(string)["grammatical"], name
