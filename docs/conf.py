"""Sphinx: ``sphinx-build docs docs/_build``."""

from skdeepcluster import __version__

project = "skdeepcluster"
author = "the skdeepcluster developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_inherit_docstrings = True
exclude_patterns = ["_build", "examples"]
html_title = f"skdeepcluster {release}"
