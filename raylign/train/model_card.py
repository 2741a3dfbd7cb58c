"""The model card of an aligned model: what it was made from, by which method and data, and what was measured; pure."""

from collections.abc import Mapping
from typing import Any

from raylign.config.schema import LoopConfig

_HELDOUT_WORDS = {
    "reward_accuracy": "share of pairs whose chosen answer has the higher reward",
    "reward_margin": "reward of the chosen less that of the rejected answer",
    "movement_chosen": "change of the chosen answers' log-probability, nats an answer",
    "movement_rejected": "change of the rejected answers' log-probability, nats an answer",
}


def model_card(
    config: LoopConfig, figures: dict[str, Any], manifest: dict[str, Any], chats: bool, names: Mapping[str, str]
) -> str:
    """README.md in the Hugging Face form: metadata in YAML, then the same for a person.

    It is read elsewhere, where a folder's path says nothing and is nobody's business.

    Args:
        figures: `steps`, `pairs` (trained on) and `heldout`, as training found them.
        manifest: that of the pairs; empty for pairs that were made elsewhere.
        chats: the tokenizer has a chat template.
        names: what the models in configuration and manifest are called elsewhere; folders are not among them.
    """
    from huggingface_hub import EvalResult, ModelCardData

    base = names.get(config.model)
    adapter = config.train.lora.rank is not None and config.train.export == "adapter"
    heldout = figures["heldout"]
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="preference-pairs",
            dataset_name="held-out pairs of the run",
            metric_type=name,
            metric_value=heldout[name],
        )
        for name in _HELDOUT_WORDS
        if name in heldout
    ]
    data = ModelCardData(
        base_model=base,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["raylign", "apo", "preference-optimization", *(["conversational"] if chats else [])],
        model_name="aligned" if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_text(config, figures, manifest, names)}"


def _text(config: LoopConfig, figures: dict[str, Any], manifest: dict[str, Any], names: Mapping[str, str]) -> str:
    train, heldout = config.train, figures["heldout"]
    trained = "all weights" if train.lora.rank is None else f"a LoRA adapter of rank {train.lora.rank} ({train.export})"
    lines = [
        "# Aligned with preference pairs",
        "",
        f"Made from {names.get(config.model, 'a local model folder')} by [raylign](https://arxiv.org/abs/2408.06266).",
        "",
        "## Training",
        "",
        f"- Objective: {train.objective}, β {train.beta:g}",
        f"- Trained: {trained}, {train.dtype}, {figures['steps']} steps of {train.batch_size} pairs",
        f"- Learning rate: {train.learning_rate:g}, {train.schedule} after a warm-up over {train.warmup_share:.0%}",
        f"- Seed: {config.seed}",
        "",
        "## Data",
        "",
        f"- Pairs trained on: {figures['pairs']}; held out: {heldout['pairs']}",
    ]
    if source := manifest.get("source"):
        lines.append(f"- Source of pairs: {source}")
    if revisers := [names.get(name, "a local model") for name in manifest.get("reviser_models", []) if name]:
        lines.append(f"- Stronger model: {', '.join(dict.fromkeys(revisers))}")
    measured = [f"| {words} | {heldout[name]:.4g} |" for name, words in _HELDOUT_WORDS.items() if name in heldout]
    if measured:
        lines += ["", "## On the held-out pairs", "", "| Measured | Mean |", "| --- | --- |", *measured]
    return "\n".join(lines) + "\n"
