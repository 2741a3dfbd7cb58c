"""Writes a run's report.html from the files of its folder. This acts."""

import os
from pathlib import Path

from raylign.report.collect import collect
from raylign.report.page import render
from raylign.run_folder import RunFolder


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` whole or not at all, and return its path; works on an unfinished run too."""
    path = folder.path / "report.html"
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    hidden.write_text(render(collect(folder)), encoding="utf-8")
    hidden.replace(path)
    return path
