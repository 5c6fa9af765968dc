"""Settings of the site: ``python -m sphinx -W -c docs . docs/build``.

The source folder is the repository itself, so that pages lie where they belong (docs, benchmarks, models,
md_examples), and a link between two of them is the same on the site and in a checkout.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

import ase_schnet  # noqa: E402

project = "ase_schnet"
author = "the ase_schnet founders"
copyright = "2026, the ase_schnet founders"
release = version = ase_schnet.__version__

extensions = [
    *("myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"),
    "site_pages",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "benchmarks/*.md",
    "md_examples/*.md",
    *("models/README.md", "models/*/README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
]
exclude_patterns = [
    *("docs/build", "docs/extensions", "docs/static", "docs/figures"),
    *(".*", "tests", "ase_schnet", "build", "dist", "**/output", "models/*/training"),
]
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
smartquotes_action = "qe"  # an option's two hyphens are no dash

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"ase_schnet {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["static/root"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
