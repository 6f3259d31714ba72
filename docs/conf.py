"""The site of these pages: `make docs`."""

project = "fashion_sweep"
html_title = "fashion_sweep"
html_theme = "furo"
html_show_copyright = False
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
