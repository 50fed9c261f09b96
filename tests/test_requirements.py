"""Lower bounds in pyproject.toml are what `make test-oldest` installs, and constraints.txt keeps to them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    requirement
    for words in (PROJECT["dependencies"], *EXTRAS.values())
    for word in words
    if (requirement := Requirement(word)).name != "seqlab"
]


def pins(file):
    """The versions that a file of constraints sets."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", "\n".join(lines), re.M)
    }


OLDEST, PINNED = pins("constraints-oldest.txt"), pins("constraints.txt")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
(OLDEST["torch"],) = re.findall(r"constraints-oldest\.txt TORCH=torch==(\S+)", MAKEFILE)
(PINNED["torch"],) = re.findall(r"^TORCH \?= torch==(\S+)$", MAKEFILE, re.M)


def bound(requirement):
    """The lowest version that a requirement allows."""
    lowest = [part.version for part in requirement.specifier if part.operator in (">=", "==")]
    assert len(lowest) == 1, f"{requirement}: one >= or =="
    return lowest[0]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_a_lower_bound_is_what_is_tested(requirement):
    """What `make test-oldest` does not install (tools of `make check`, Mamba's kernel) has the version of today."""
    name = canonicalize_name(requirement.name)
    assert bound(requirement) == OLDEST.get(name, PINNED.get(name))
    assert name not in PINNED or requirement.specifier.contains(PINNED[name])


def test_the_oldest_environment_holds_all_that_the_tests_install():
    installed = {extra for word in EXTRAS["test"] for extra in Requirement(word).extras}
    names = [Requirement(word).name for extra in ("test", *installed) for word in EXTRAS[extra]]
    names += [Requirement(word).name for word in PROJECT["dependencies"]]
    assert {canonicalize_name(name) for name in names} - {"seqlab"} <= OLDEST.keys()


def test_pages_name_the_oldest_torch():
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert f"Any torch from {OLDEST['torch'].removesuffix('.0')} on works" in page.replace("\n", " ")
