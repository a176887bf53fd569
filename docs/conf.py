"""Sphinx: make docs."""

import tfar

project = "tfar"
author = "the tfar developers"
version = release = tfar.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"tfar {version}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = []
nitpicky = False
