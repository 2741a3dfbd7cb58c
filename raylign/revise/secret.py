"""A string that no log, message or representation shows. Pure."""


class Secret:
    """Holds an API key on its way to where it is used.

    It is no dataclass and no str on purpose: Ray Data can export a plan's arguments, walking dataclasses and
    printing everything else, and what it prints of this is a row of stars.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself; for the one call that needs it."""
        return self._value

    def hide_in(self, text: str) -> str:
        """`text` with the string, wherever it stands, replaced by stars."""
        return text.replace(self._value, "***") if self._value else text

    def __repr__(self) -> str:
        return "***"
