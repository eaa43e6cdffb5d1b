"""The documentation's settings. `make docs` builds it; every warning is an error.

The source folder is the repository itself, so that the pages of `manual/` and `results/` are the site's own, at their
places and with their links: nothing is copied.
"""

# Sphinx, because MkDocs, the other generator one would think of, is no longer maintained.

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "extensions")]

project = "backproof"
author = "the authors of backproof"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "mathml",
    "equations",
    "docstrings",
    "generated",
]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "manual/**.md", "results/README.md", "results/benchmarks.md", "README.zh.md"]
exclude_patterns = ["**/.*", "docs/_build", "results/2*", "compare", "reference", "tests"]
if not [*ROOT.glob("*.zh.md"), *ROOT.glob("manual/**/*.zh.md")]:
    exclude_patterns.append("docs/zh")  # the Chinese part has a page of contents once there is something in it

# Markdown as GitHub reads it: ```math fences, $..$, anchors of headings.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_dmath_allow_space = False
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "special-members": False}
add_module_names = False

# Links into other projects' documentation would need a network at build time; what they name is written out instead.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|torch|collections|typing|pathlib|types|os)(\..*)?"),
]

html_theme = "furo"
html_title = "backproof"
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_additional_pages = {"index": "start.html"}  # the site's address leads to the index page
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
highlight_language = "none"  # a block that names no language is a list of commands
