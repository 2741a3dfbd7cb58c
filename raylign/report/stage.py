"""Writes a run's report.html from the files of its folder. This acts."""

from pathlib import Path

from raylign.report.collect import collect
from raylign.report.page import render
from raylign.run_folder import RunFolder, write_text


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` whole or not at all, and return its path; works on an unfinished run too."""
    path = folder.path / "report.html"
    write_text(path, render(collect(folder)))
    return path
