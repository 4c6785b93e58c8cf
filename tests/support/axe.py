"""axe-core, which judges how accessible a page is: by npm, from the lock in tests/axe."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from .browser import Page

LOCK = Path(__file__).parents[1] / "axe"
_RUN = """
axe.run(document, {resultTypes: ["violations"], preload: false}).then(({violations, passes}) => ({
  passes: passes.length,
  findings: violations.flatMap(({id, impact, nodes}) =>
    nodes.map(({html, failureSummary}) => ({id, impact, html, failureSummary}))),
}))
"""


@cache
def _script(folder: Path) -> str:
    """Return axe-core, installed into a folder that may have it already."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here, which fetches axe-core; Debian has it: apt-get install npm")
    if not (folder / "node_modules").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(LOCK / name, folder / name)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
        done = subprocess.run(
            ["npm", "ci", *options], cwd=folder, capture_output=True, text=True, check=False
        )
        assert "EINTEGRITY" not in done.stderr, done.stderr
        if done.returncode:
            pytest.skip(f"npm could not fetch axe-core: {done.stderr[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def grave(page: Page, folder: Path) -> list[dict]:
    """Return the serious and critical findings of axe-core on what a page shows now.

    Parameters
    ----------
    page : Page
    folder : Path
        That axe-core is installed into, the same for all pages of a test.
    """
    page.run(f"{_script(folder)}; 0")
    found = page.run(_RUN)
    assert found["passes"], "axe-core has looked at nothing"
    return [one for one in found["findings"] if one["impact"] in ("serious", "critical")]
