"""The wording of a request: a text file of package data, in Jinja blocks that are filled with what they show. Pure.

What is filled in (conversations, answers, replies) is never read as a template and never escaped.
"""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined


class Wording:
    """One file, `templates/NAME.txt` of a package."""

    def __init__(self, package: str, name: str) -> None:
        self.package, self.name = package, name
        self.source = _read(package, name)
        self.compiled = Environment(undefined=StrictUndefined, autoescape=False).from_string(self.source)

    def block(self, name: str, **shown: str) -> str:
        """One block of the file with these texts in it, without white space around it."""
        return "".join(self.compiled.blocks[name](self.compiled.new_context(shown))).strip()

    def __reduce__(self) -> tuple[Any, ...]:
        """A compiled template cannot travel to an actor; its file is there, too."""
        return Wording, (self.package, self.name)


def _read(package: str, name: str) -> str:
    return files(package).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")
