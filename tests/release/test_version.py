"""One version, said in four places, and a changelog that people can read."""

import re
import tomllib

import yaml
from places import ROOT

import camreader
from camreader.report import page

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
RELEASES = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)


def test_package_pyproject_citation_and_changelog_name_the_same_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest, day = RELEASES[0]
    assert project["version"] == camreader.__version__ == newest
    assert (citation["version"], str(citation["date-released"])) == (newest, day)


def test_the_changelog_begins_with_what_is_not_released_and_lists_releases_newest_first():
    """The order of https://keepachangelog.com/en/1.1.0/."""
    sections = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    assert sections[0] == "[Unreleased]"
    assert sections[1:] == [f"[{version}] - {day}" for version, day in RELEASES]
    numbers = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    assert numbers == sorted(set(numbers), reverse=True)


def test_every_release_says_something():
    parts = re.split(r"^## .*$", CHANGELOG, flags=re.M)[2:]
    assert len(parts) == len(RELEASES) and all(re.search(r"^- \w", part, re.M) for part in parts)


def test_the_report_says_the_version_of_the_code_that_ran():
    """Not that of the installed package's metadata, which an edited checkout leaves behind."""
    assert page.versions()[0] == ("camreader", camreader.__version__)
