"""A row of unpaired feedback, one answer with a verdict, becomes a pair with one side or a counted rejection. Pure.

KTO (arXiv 2402.01306) and unpaired APO train on such rows. The filters of pairs compare two answers, so none of them
judges a single one: it has to say something, and to come once.
"""

import math
from collections import Counter
from collections.abc import Collection

from raylign.config import LoopConfig
from raylign.pairs.imported import UNKNOWN, Single
from raylign.prompts.normalise import prompt_id, split_of
from raylign.records import Message, Pair, Rejected, content_id


def build_single(
    single: Single, source: str, config: LoopConfig, prompt_ids: Collection[str], times: Counter[str]
) -> Pair | Rejected:
    """The one row that this answer becomes.

    Args:
        single: the prompt with its one answer.
        source: where the row says that it comes from.
        config: the run's; `offpolicy` says which prompts count, `prompts` which are held out.
        prompt_ids: the run's prompts.
        times: how often each row has come, by its id; this one is added.
    """
    identifier = prompt_id(single.messages)
    said = content_id("single", identifier, single.answer.text, single.desirable)
    times[said] += 1
    if config.offpolicy.on_prompts_only and identifier not in prompt_ids:
        objection = ("other_prompt", "the prompt is not among the run's")
    elif times[said] > 1:
        objection = ("duplicate", "the same prompt and answer came earlier in the file with the same verdict")
    elif not single.answer.text:
        objection = ("empty", "the answer is empty")
    else:
        return _pair(single, said, identifier, source, config)
    return Rejected(
        id=content_id("rejected", said, times[said]),
        reason=objection[0],
        detail=objection[1],
        prompt=single.messages,
        draft="" if single.desirable else single.answer.text,
        reply=single.answer.text if single.desirable else "",
        split=split_of(identifier, config.prompts.heldout_share),
        prompt_id=identifier,
        draft_id="",
        revision_id="",
    )


def _pair(single: Single, said: str, identifier: str, source: str, config: LoopConfig) -> Pair:
    answer = [Message(role="assistant", content=single.answer.text)]
    model = single.answer.model
    return Pair(
        id=said,
        prompt=single.messages,
        chosen=answer if single.desirable else [],
        rejected=[] if single.desirable else answer,
        rationale="",
        split=split_of(identifier, config.prompts.heldout_share),
        source=source,
        jaccard=math.nan,
        levenshtein=math.nan,
        length_ratio=math.nan,
        shared_prefix=0,
        prompt_id=identifier,
        draft_id="",
        revision_id="",
        target_model=UNKNOWN if single.desirable else model,
        reviser_model=model if single.desirable else UNKNOWN,
        template="offpolicy",
    )
