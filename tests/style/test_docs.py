"""The README and the pages: every link leads somewhere, every page is in the index, and what is
said to be missing is missing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csp.tables.commands import COMMANDS, SUBCOMMANDS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path for folder in ("docs", "bench", "tests") for path in (ROOT / folder).glob("**/*.md")
)
PAGES = [page for page in PAGES if "node_modules" not in page.parts]
PAGES += [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "GUARANTEES.md")]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.S)
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name} links to {link}"


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert set((ROOT / "docs").glob("*/*.md")) <= linked
    assert "docs/README.md" in README


def test_what_is_missing_is_missing() -> None:
    """A command that comes is taken out of the README's list, and one that doesn't stands there."""
    missing = README.partition("## What is missing")[2]
    named = set(re.findall(r"`((?:CFG|CLIENT)[ .][A-Z]+)`", missing))
    every = [*COMMANDS.values(), *(one for of in SUBCOMMANDS.values() for one in of.values())]
    later = {one.name.replace("|", " ") for one in every if "later" in one.flags}
    assert named == later, "the README's list of what is missing does not fit commands.toml"
