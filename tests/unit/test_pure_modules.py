"""What decides imports nothing that acts: pure modules load in a fresh interpreter without any heavy package."""

import subprocess
import sys

import pytest

ACTING = {"ray", "vllm", "deepspeed", "openai", "httpx"}
TORCH = {"torch", "transformers"}

WITHOUT_TORCH = [
    "raylign.config",
    "raylign.config.objective",
    "raylign.config.endpoints",
    "raylign.records",
    "raylign.summary",
    "raylign.engine",
    *(f"raylign.{name}" for name in ("bootstrap", "waiting", "watchdog", "glance", "preflight.needs", "sample.speed")),
    *(f"raylign.plan.{name}" for name in ("totals", "estimate", "measure", "words")),
    *(f"raylign.{name}" for name in ("language", "refusal", "repetition", "time_left")),
    *(f"raylign.prompts.{name}" for name in ("prompt_set", "normalise")),
    "raylign.sample.drafts",
    *(f"raylign.revise.{name}" for name in ("parse", "limiter", "retry", "intake", "templates", "rows", "replies")),
    *(f"raylign.revise.{name}" for name in ("reasons", "failures", "secret", "repair", "rate", "budget", "headers")),
    *(f"raylign.revise.{name}" for name in ("chat_request", "batch_plan", "batch_steps", "pool", "progress")),
    *(f"raylign.pairs.{name}" for name in ("filters", "allusion", "near_duplicates", "contrast", "build")),
    *(f"raylign.pairs.{name}" for name in ("candidates", "sources", "imported", "offpolicy", "singles")),
    *(f"raylign.judge.{name}" for name in ("comparisons", "verdict", "work", "outcome")),
    *(f"raylign.{name}" for name in ("wording", "revise.work", "prompts.bad_rows")),
    "raylign.ids",
    *(f"raylign.train.{name}" for name in ("order", "schedule", "deepspeed_config", "threads", "tokens")),
    "raylign.train.generation",
    *(f"raylign.recommend.{name}" for name in ("evidence", "cases", "words")),
    *(f"raylign.sweep.{name}" for name in ("grid", "table")),
    *(f"raylign.train.{name}" for name in ("early_stop", "guard", "meter", "model_card", "state", "store_check")),
    *(f"raylign.serve.{name}" for name in ("plan", "reason", "keys", "bounds", "audit", "openai_errors", "catalogue")),
    *(f"raylign.serve.{name}" for name in ("look", "table", "stream", "health", "guard", "sources", "record")),
    *(f"raylign.evaluate.{name}" for name in ("statistics", "guards", "rows", "compare", "ifeval.suite")),
    *(f"raylign.evaluate.{name}" for name in ("intervals", "metric", "length_controlled", "judging")),
    *(f"raylign.evaluate.{name}" for name in ("decision", "suites.mixeval.suite")),
    "raylign.promote.evidence",
    *(f"raylign.evaluate.{name}" for name in ("answering", "results", "suites.suite", "suites.readings")),
    *(f"raylign.evaluate.suites.{name}" for name in ("registry", "ifeval", "pairwise", "custom", "heldout")),
    *(f"raylign.evaluate.suites.{name}" for name in ("custom_rows", "custom_scoring")),
    *(
        f"raylign.report.{name}"
        for name in ("charts", "words", "doubts", "facts", "format", "record", "page", "suites")
    ),
]
WITH_TORCH = [
    *(f"raylign.train.{name}" for name in ("objectives", "packing", "logprobs", "reference", "figures", "baseline")),
    *(
        f"raylign.train.{name}"
        for name in ("attention", "policy", "random_state", "flops", "head", "remaking", "layout")
    ),
]


def first_loaders(modules: list[str], barred: set[str]) -> dict[str, str]:
    """Which module first brought each barred package along, when all are imported into one fresh interpreter."""
    code = (
        "import importlib, sys\n"
        "barred = set(sys.argv[1].split(','))\n"
        "for module in sys.argv[2:]:\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(module)\n"
        "    for name in barred & (set(sys.modules) - before):\n"
        "        print(name, module)\n"
    )
    command = [sys.executable, "-c", code, ",".join(sorted(barred)), *modules]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split() for line in run.stdout.splitlines())


@pytest.mark.parametrize(("modules", "barred"), [(WITHOUT_TORCH, ACTING | TORCH), (WITH_TORCH, ACTING)])
def test_pure_modules_load_alone(modules: list[str], barred: set[str]) -> None:
    assert first_loaders(modules, barred) == {}


def test_the_search_for_near_duplicates_is_loaded_only_where_it_is_asked_for() -> None:
    assert first_loaders(["raylign.pairs.stage", "raylign.loop"], {"rensa"}) == {}
    assert first_loaders(["raylign.pairs.near_duplicates"], {"rensa"}) == {"rensa": "raylign.pairs.near_duplicates"}


def test_the_check_sees_a_heavy_import() -> None:
    assert first_loaders(["raylign.records", "raylign.revise.client"], ACTING)["openai"] == "raylign.revise.client"
