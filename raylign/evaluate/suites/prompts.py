"""The prompts that a suite asks: the run's held-out ones, or a file of the user's. This acts (reads files)."""

from pathlib import Path

from raylign.config import LoopConfig, PromptsConfig
from raylign.errors import InputError
from raylign.parts import read_records
from raylign.prompts.bad_rows import check_usable
from raylign.prompts.prompt_set import collect
from raylign.prompts.readers import Columns, locate, read_rows
from raylign.records import Prompt

_CURE = 'write one prompt a row, such as {"prompt": "Why is the sky blue?"}'


def heldout_prompts(run: Path, most: int | None) -> list[Prompt]:
    """The run's held-out prompts, at most so many.

    Raises:
        InputError: there are none.
    """
    prompts = [prompt for prompt in read_records(run / "prompts", Prompt) if prompt.split == "heldout"]
    if not prompts:
        raise InputError(f"{run}/prompts holds no held-out prompts", "raise prompts.heldout_share")
    # An id is a hash, so the first by id are a random choice that stays the same from run to run.
    return sorted(prompts, key=lambda prompt: prompt.id)[:most]


def read_prompt_file(path: str, config: LoopConfig) -> list[Prompt]:
    """All prompts of the file that `evaluate.pairwise.path` names.

    Raises:
        InputError: it is missing, unreadable or empty, or one of its rows cannot be used.
    """
    section = "evaluate.pairwise"
    settings = PromptsConfig(
        path=path, prompt_field=config.prompts.prompt_field, messages_field=config.prompts.messages_field
    )
    with locate(path, section) as found:
        rows = read_rows(found, "auto", Columns((settings.prompt_field, settings.messages_field)), section)
        prompts = collect(rows, found, settings)
    share = config.prompts.max_bad_share
    check_usable(prompts.bad, prompts.rows, f"{section}.path {path}", "prompts", share, _CURE)
    return prompts.prompts
