"""The pages as a site, and the README as it is read where the code is."""

import re
import subprocess
import sys

import pytest

from tests.docs.pages import README, ROOT, SITE

PACKAGE = ROOT / "fashion_sweep"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built as `make docs` does it: a broken link or reference is an error."""
    built = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", str(SITE), str(built)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return built


def test_the_site_is_whole_and_needs_nothing_from_elsewhere(site):
    for page in SITE.glob("*.md"):
        text = (site / f"{page.stem}.html").read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=\"([^\"]+)\"", text)
        loaded += re.findall(r"<link[^>]*\brel=\"(?:stylesheet|icon|preconnect)\"[^>]*\bhref=\"([^\"]+)\"", text)
        assert loaded
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))]
    assert not [
        path for path in site.rglob("*.css") if re.search(r"(url\(|@import\s*)[\"']?(https?:)?//", path.read_text())
    ]


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    assert not [link for link in links if not (ROOT / link).is_file()]
    named = {f"docs/{page.name}" for page in SITE.glob("*.md")} - {"docs/index.md"}
    assert named <= set(links)


def test_the_architecture_has_a_line_for_each_folder():
    tree = (SITE / "architecture.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert set(re.findall(r"^    (\w+)/ ", tree, re.M)) == folders
