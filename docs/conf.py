"""Configuration of the documentation, built by `nox -s docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from llem.version import __version__

project = "llem"
copyright = "The llem authors"
author = "The llem authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
autodoc_typehints = "none"
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"llem {release}"
nitpicky = True
# Docstrings name llem's errors without their module; docs/python.md says where they are. Events
# are in docs/journal.md.
nitpick_ignore_regex = [("py:exc", r"\w+Error"), ("py:class", r"llem\.domain\.events\..+")]
