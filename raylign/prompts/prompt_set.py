"""Decides which rows of a prompt file become prompts: deduplicates, splits, limits, and counts what is left out."""

from dataclasses import dataclass, field
from pathlib import Path

from raylign.config.generation import PromptsConfig
from raylign.prompts.bad_rows import BadRow, check_usable, reasons_of
from raylign.prompts.normalise import Problem, conversation, prompt_id, source_of, split_of
from raylign.prompts.readers import Columns, Rows, locate, read_rows
from raylign.records import Prompt

_CURE = 'write one prompt a row, such as {"prompt": "Why is the sky blue?"}'


@dataclass
class PromptSet:
    """What a prompt file gave: rows = prompts + duplicates + over_limit + bad, always."""

    prompts: list[Prompt] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    duplicates: int = 0
    """Rows whose conversation came earlier in the file."""
    over_limit: int = 0
    """Good rows beyond `prompts.limit`."""

    @property
    def rows(self) -> int:
        """Rows in the file, blank lines not counted."""
        return len(self.prompts) + self.duplicates + self.over_limit + len(self.bad)

    def bad_reasons(self) -> dict[str, int]:
        """How many rows are bad for each reason, the most frequent first."""
        return reasons_of(self.bad)


def read_prompts(config: PromptsConfig) -> PromptSet:
    """Read the whole file of `config.path` and decide on each row.

    Raises:
        InputError: the file is missing, unreadable, empty, has no usable prompt, or too many bad rows.
    """
    with locate(config.path) as path:
        rows = read_rows(path, config.format, Columns((config.prompt_field, config.messages_field)))
        found = collect(rows, path, config)
    check_usable(found.bad, found.rows, f"prompts.path {path}", "prompts", config.max_bad_share, _CURE)
    return found


def collect(rows: Rows, path: Path, config: PromptsConfig) -> PromptSet:
    """Decide on each of `rows`, in order; bad rows name `path`, its stem is the source where a row names none."""
    found, seen = PromptSet(), set[str]()
    for line, row in rows:
        prompt = row if isinstance(row, Problem) else _prompt(row, path.stem, config)
        if isinstance(prompt, Problem):
            found.bad.append(BadRow(str(path), line, prompt.reason, prompt.detail))
        elif prompt.id in seen:
            found.duplicates += 1
        else:
            seen.add(prompt.id)
            if config.limit is not None and len(found.prompts) >= config.limit:
                found.over_limit += 1
            else:
                found.prompts.append(prompt)
    return found


def _prompt(row: object, default_source: str, config: PromptsConfig) -> Prompt | Problem:
    messages = conversation(row, config.prompt_field, config.messages_field)
    if isinstance(messages, Problem):
        return messages
    source = source_of(row, default_source)
    if isinstance(source, Problem):
        return source
    identifier = prompt_id(messages)
    return Prompt(identifier, messages, split_of(identifier, config.heldout_share), source)
