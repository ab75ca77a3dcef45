"""The examples are run as a reader runs them; what they find is not judged here."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPTS = sorted((DOCS / "examples").glob("plot_*.py"))
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


@scripts
def test_an_example_has_a_title_and_its_places_in_the_docs(script):
    source = script.read_text()
    compile(source, script, "exec")
    text = ast.get_docstring(ast.parse(source)) or ""
    title, underline, *_ = [*text.splitlines(), "", ""]
    assert title and underline == "=" * len(title)
    for page in (DOCS / "gallery.md", DOCS / "examples" / "README.md"):
        assert script.name in page.read_text(), page


@pytest.mark.slow
@scripts
def test_an_example_runs_and_draws(script, tmp_path):
    root = str(DOCS.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": path},
        check=True,
    )
    pictures = list(tmp_path.glob(f"{script.stem}*.png"))
    assert pictures and all(picture.stat().st_size > 5_000 for picture in pictures)
