"""Imports a preference data set as candidates: each row is a draft with the answer that stands against it.

A row that gives no candidate is a draft with its reason, so every row of the file becomes a pair or a rejection.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from raylign.config import LoopConfig, OffpolicyConfig
from raylign.pairs.candidates import Candidates
from raylign.pairs.imported import (
    CHOSEN_MODEL_FIELD,
    MODEL_FIELD,
    REJECTED_MODEL_FIELD,
    UNKNOWN,
    Imported,
    Single,
    read_row,
)
from raylign.pairs.singles import build_single
from raylign.prompts.bad_rows import BadRow, check_usable
from raylign.prompts.normalise import SOURCE_FIELD, Problem, prompt_id, source_of, split_of
from raylign.prompts.readers import Columns, Rows, locate, read_rows
from raylign.records import Draft, Revision, canonical_json, content_id
from raylign.revise.rows import draft_fields

_SECTION = "offpolicy"
_CURE = 'a row is such as {"prompt": "…", "chosen": "…", "rejected": "…"}; fields are named in offpolicy.*'


def read_offpolicy(config: LoopConfig, prompt_ids: Collection[str]) -> tuple[Candidates, list[BadRow]]:
    """All rows of `offpolicy.path` as candidates, and those of them that could not be read.

    Args:
        prompt_ids: The run's prompts; a row on another one is rejected where `offpolicy.on_prompts_only` says so.

    Raises:
        InputError: the file is missing, unreadable, empty, or has too many bad rows.
    """
    offpolicy = config.offpolicy
    with locate(offpolicy.path or "", _SECTION) as path:
        rows = read_rows(path, offpolicy.format, _columns(offpolicy), _SECTION)
        candidates, bad = collect(rows, path, config, prompt_ids)
    where = f"{_SECTION}.path {path}"
    check_usable(bad, len(candidates), where, _SECTION, offpolicy.max_bad_share, _CURE)
    return candidates, bad


def collect(rows: Rows, path: Path, config: LoopConfig, prompt_ids: Collection[str]) -> tuple[Candidates, list[BadRow]]:
    """Decide on each of `rows`, in order; `path` names bad rows, and its stem is the source where a row names none."""
    candidates, bad, times = Candidates(), list[BadRow](), Counter[str]()
    for line, row in rows:
        found = row if isinstance(row, Problem) else read_row(row, config.offpolicy, config.seed)
        source = source_of(row, path.stem)
        if isinstance(found, Problem) or isinstance(source, Problem):
            problem = found if isinstance(found, Problem) else source
            assert isinstance(problem, Problem)
            bad.append(BadRow(str(path), line, problem.reason, problem.detail))
            candidates.drafts.append(_bad_draft(bad[-1], path.stem))
            continue
        if isinstance(found, Single):
            candidates.singles.append(build_single(found, source, config, prompt_ids, times))
            continue
        draft = _draft(found, source, config, times)
        candidates.add(draft, _revision(draft, found, _objection(draft, found, config.offpolicy, prompt_ids)))
    return candidates, bad


def _columns(offpolicy: OffpolicyConfig) -> Columns:
    return Columns(
        needed=(offpolicy.chosen_field, offpolicy.completions_field, offpolicy.answer_field),
        further=(
            *(offpolicy.rejected_field, offpolicy.prompt_field, offpolicy.messages_field),
            *(offpolicy.desirable_field, SOURCE_FIELD, CHOSEN_MODEL_FIELD, REJECTED_MODEL_FIELD, MODEL_FIELD),
        ),
        cure="name the columns in offpolicy.chosen_field and rejected_field, completions_field, or answer_field",
    )


def _draft(found: Imported, source: str, config: LoopConfig, times: Counter[str]) -> Draft:
    """The rejected side. Its id says what the row says; a row that came before has the number of its coming in it."""
    identifier = prompt_id(found.messages)
    said = content_id("imported", identifier, found.chosen.text, found.rejected.text)
    times[said] += 1
    return Draft(
        id=said if times[said] == 1 else content_id("imported again", said, times[said]),
        prompt_id=identifier,
        messages=found.messages,
        split=split_of(identifier, config.prompts.heldout_share),
        source=source,
        answer=found.rejected.text,
        model=found.rejected.model,
        sampling=canonical_json({}),
        sample_index=times[said] - 1,
        prompt_tokens=0,
        answer_tokens=0,
        cut_off=False,
        status="ok",
        detail="",
    )


def _objection(
    draft: Draft, found: Imported, offpolicy: OffpolicyConfig, prompt_ids: Collection[str]
) -> tuple[str, str]:
    """Status and detail of a row that was read: `ok`, or why it is no candidate."""
    if offpolicy.on_prompts_only and draft.prompt_id not in prompt_ids:
        return "other_prompt", "the prompt is not among the run's"
    if draft.sample_index:
        return "duplicate", "the same prompt and answers came earlier in the file"
    return ("tie", found.tie) if found.tie else ("ok", "")


def _revision(draft: Draft, found: Imported, objection: tuple[str, str]) -> Revision:
    """The chosen side, in the form that the reviser's answers have."""
    return Revision(
        id=content_id("imported chosen", draft.id),
        **draft_fields(draft),
        reviser_model=found.chosen.model,
        template=_SECTION,
        reply=found.chosen.text,
        revision=found.chosen.text,
        rationale="",
        finish_reason="",
        status=objection[0],
        detail=objection[1],
        attempts=0,
        latency_seconds=0.0,
        prompt_tokens=0,
        reply_tokens=0,
        request_id="",
    )


def _bad_draft(row: BadRow, source: str) -> Draft:
    """A row without a prompt. It falls into no split; `train` stands there, since it is held out from nothing."""
    return Draft(
        id=content_id("imported row", row.file, row.line),
        prompt_id="",
        messages=[],
        split="train",
        source=source,
        answer="",
        model=UNKNOWN,
        sampling=canonical_json({}),
        sample_index=0,
        prompt_tokens=0,
        answer_tokens=0,
        cut_off=False,
        status=row.reason,
        detail=str(row),
    )
