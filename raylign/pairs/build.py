"""From a draft and what stands against it to a pair, or to a rejection with its reason. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from raylign.config import PairsConfig
from raylign.pairs.contrast import contrast
from raylign.pairs.filters import first_objection
from raylign.records import Draft, Pair, Prompt, Rejected, Revision, content_id


def build_all(
    drafts: Sequence[Draft],
    revisions: Mapping[str, Revision],
    pairs: PairsConfig,
    evaluated: Sequence[Prompt] = (),
) -> Iterator[Pair | Rejected]:
    """The rows that the drafts become, one each, in order; `revisions` are by the id of their draft.

    `evaluated` are the run's held-out prompts, which near-duplicates are kept away from beside those of the drafts.
    """
    rows = (build(draft, revisions.get(draft.id), pairs) for draft in drafts)
    if "near_duplicate" not in pairs.filters:
        return rows
    return _without_near_duplicates(list(rows), drafts, revisions, pairs, evaluated)


def build(draft: Draft, revision: Revision | None, pairs: PairsConfig) -> Pair | Rejected:
    """The one row that this draft becomes. A draft without a revision is one that was never sent, or not yet."""
    if draft.status != "ok":
        return _reject(draft, revision, draft.status, draft.detail)
    if not draft.answer.strip():
        return _reject(draft, revision, "empty_draft", "the target model answered nothing")
    if revision is None:
        return _reject(draft, revision, "not_revised", "the revise stage did not get to this draft")
    if revision.status != "ok":
        return _reject(draft, revision, revision.status, revision.detail)
    if objection := first_objection(revision, pairs):
        return _reject(draft, revision, *objection)
    return _pair(draft, revision)


def _without_near_duplicates(
    rows: list[Pair | Rejected],
    drafts: Sequence[Draft],
    revisions: Mapping[str, Revision],
    pairs: PairsConfig,
    evaluated: Sequence[Prompt],
) -> Iterator[Pair | Rejected]:
    from raylign.pairs.near_duplicates import near_duplicates  # its library loads for those who ask for it only

    prompts = {prompt.id: prompt for prompt in evaluated}
    for draft in drafts:
        prompts[draft.prompt_id] = Prompt(draft.prompt_id, draft.messages, draft.split, draft.source)
    paired = [prompts[row.prompt_id] for row in rows if isinstance(row, Pair)]
    heldout = [prompt for prompt in prompts.values() if prompt.split == "heldout"]
    duplicates = near_duplicates(paired, heldout, pairs.near_duplicate_threshold)
    for draft, row in zip(drafts, rows, strict=True):
        if isinstance(row, Pair) and (kept := duplicates.get(row.prompt_id)) is not None:
            said = prompts[kept].messages[-1]["content"]
            detail = f"the prompt is much like {prompts[kept].split} prompt {kept}: {said[:80]!r}"
            yield _reject(draft, revisions.get(draft.id), "near_duplicate", detail)
        else:
            yield row


def _pair(draft: Draft, revision: Revision) -> Pair:
    metrics = contrast(revision.revision, draft.answer)
    return Pair(
        id=content_id("pair", revision.id),
        prompt=draft.messages,
        chosen=[{"role": "assistant", "content": revision.revision}],
        rejected=[{"role": "assistant", "content": draft.answer}],
        rationale=revision.rationale,
        split=draft.split,
        source=draft.source,
        jaccard=metrics.jaccard,
        levenshtein=metrics.levenshtein,
        length_ratio=metrics.length_ratio,
        shared_prefix=metrics.shared_prefix,
        prompt_id=draft.prompt_id,
        draft_id=draft.id,
        revision_id=revision.id,
        target_model=draft.model,
        reviser_model=revision.reviser_model,
        template=revision.template,
        rejected_cut_off=draft.cut_off,
    )


def _reject(draft: Draft, revision: Revision | None, reason: str, detail: str) -> Rejected:
    return Rejected(
        id=content_id("rejected", draft.id),
        reason=reason,
        detail=detail,
        prompt=draft.messages,
        draft=draft.answer,
        reply=revision.reply if revision else "",
        split=draft.split,
        prompt_id=draft.prompt_id,
        draft_id=draft.id,
        revision_id=revision.id if revision else "",
    )
