"""How likely a run's models find both answers of preference pairs: Ray tasks load and score them. This acts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from raylign.config import LoopConfig
from raylign.evaluate.contestants import BASE, checkpoint_of
from raylign.evaluate.score import AnswerTokens, load_model, score_answers
from raylign.evaluate.suites.suite import PairLikelihood
from raylign.model import resolve_model
from raylign.records import Pair
from raylign.screen import StageProgress
from raylign.tokenizer import load_tokenizer
from raylign.train.tokens import TokenPair, encode_pairs

Likelihoods = dict[str, dict[str, PairLikelihood]]
"""Model -> pair id -> likelihoods."""


def measure(
    config: LoopConfig, run: Path, models: Sequence[str], pairs: Sequence[Pair], progress: StageProgress
) -> tuple[Likelihoods, Counter[str]]:
    """Likelihoods of the pairs' answers under `base` and `aligned`, and how many pairs cannot be measured, by reason.

    The tokens are those of training, the end of a turn included, in the base model's tokenizer for both. So their
    difference is how far training has moved them. Ray must be running.

    Raises:
        InputError: the run has no checkpoint, where its aligned model is measured.
        ModelError: a model does not load (raised in a task, so it comes wrapped in Ray's error).
    """
    import ray

    base = resolve_model(config.model)
    task = ray.remote(num_cpus=1, num_gpus=min(1, config.serve.gpus_per_replica))(_measure)
    found: Likelihoods = {}
    dropped: Counter[str] = Counter()
    for number, name in enumerate(models):
        progress.update(number * len(pairs), len(models) * len(pairs), f"likelihood under {name}")
        source = base if name == BASE else str(checkpoint_of(run).resolve())
        found[name], dropped = ray.get(task.remote(config, source, base, list(pairs)))
    return found, dropped


def _measure(
    config: LoopConfig, model_name: str, tokenizer_name: str, pairs: list[Pair]
) -> tuple[dict[str, PairLikelihood], Counter[str]]:
    model = load_model(model_name, config.serve.gpus_per_replica, config.trust_remote_code)
    tokenizer = load_tokenizer(tokenizer_name, config.trust_remote_code)
    encoded = encode_pairs(pairs, tokenizer, config.train.max_length, config.train.truncation)
    rows = [row for pair in encoded.pairs for row in _rows(pair)]
    scores = score_answers(model, rows)
    likelihoods = {
        pair.id: PairLikelihood(
            scores[2 * at].logprob_sum, scores[2 * at + 1].logprob_sum, scores[2 * at].tokens, scores[2 * at + 1].tokens
        )
        for at, pair in enumerate(encoded.pairs)
    }
    return likelihoods, Counter({str(reason): count for reason, count in encoded.dropped.items()})


def _rows(pair: TokenPair) -> tuple[AnswerTokens, AnswerTokens]:
    prompt = list(pair.prompt_ids)
    return AnswerTokens(prompt, list(pair.chosen_ids)), AnswerTokens(prompt, list(pair.rejected_ids))
