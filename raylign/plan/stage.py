"""What `raylign plan` does: a few prompts go through the real stages, then it says what all of them take. This acts."""

import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from raylign.config import LoopConfig
from raylign.errors import ConfigError
from raylign.loop import REVISE, SAMPLE, overlapped, run_stages
from raylign.parts import PartWriter, part_paths, read_records
from raylign.plan.estimate import Plan, capacity_of, make_plan
from raylign.plan.measure import measure, read_speed, request_bytes
from raylign.plan.totals import Frame
from raylign.plan.words import table
from raylign.prompts.prompt_set import read_prompts
from raylign.records import Draft, Prompt, Revision
from raylign.revise.templates import load_template
from raylign.run_folder import RunFolder, write_json
from raylign.screen import Screen

_MEASURED = ("clair", "stronger")
FEWEST = 8
"""Prompts: an interval from fewer says little."""


def run_plan(config: LoopConfig, folder: RunFolder, screen: Screen, sample: int) -> list[str]:
    """Measure `sample` random prompts in this folder, or go on with them; returns the plan's lines for a person.

    `plan.json` has the same. Every reply is kept in the run's journal as ever, so a run that names it in
    `revise.journal` does not pay for these prompts again.

    Raises:
        InputError: the prompts cannot be read.
        ConfigError: the source of pairs has nothing to measure here.
        EndpointError, ModelError, PlanError: the stages cannot run.
    """
    if config.pairs.source not in _MEASURED:
        raise ConfigError(
            f"pairs.source is {config.pairs.source!r}", f"raylign plan measures {' and '.join(_MEASURED)} only"
        )
    if folder.finished("prompts") is None:
        _choose(config, folder, sample)
    # One after the other: the speed of each is measured, and not of one that waits for the other.
    apart = replace(config, revise=replace(config.revise, overlap=False))
    run_stages(apart, folder, screen, (SAMPLE, REVISE))
    plan = _plan_of(config, folder)
    write_json(folder.path / "plan.json", {**asdict(plan), "config": "config.yaml"})
    return [*table(plan, config.revise.max_usd, overlapped(config, (SAMPLE, REVISE))), *_kept(config, folder)]


def marks(sample: int) -> dict[str, Any]:
    """What tells a plan's folder from a run's: neither can be taken up as the other, nor as a larger sample's."""
    return {"plan": {"sample": sample}}


def is_plan(folder: Path) -> bool:
    """Whether a folder with a configuration is a plan's."""
    return "plan" in (yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {})


def _choose(config: LoopConfig, folder: RunFolder, sample: int) -> None:
    """Write the sampled prompts in the place of all, and what is known of all."""
    prompts = read_prompts(config.prompts).prompts
    template = load_template(config.revise, config.pairs.source)
    numbers = random.Random(config.seed).sample(range(len(prompts)), min(sample, len(prompts)))
    target = folder.stage("prompts")
    for stale in part_paths(target):  # left by an attempt that did not finish
        stale.unlink()
    with PartWriter(target, Prompt) as writer:
        writer.add([prompts[number] for number in sorted(numbers)])
    known = Frame(len(prompts), sum(request_bytes(prompt.messages, template) for prompt in prompts))
    folder.finish("prompts", {"prompts": len(numbers), "all": asdict(known)}, seconds=0.0)


def _plan_of(config: LoopConfig, folder: RunFolder) -> Plan:
    chosen, sampled, revised = (folder.finished(name) or {} for name in ("prompts", "drafts", "revisions"))
    drafts: list[Draft] = read_records(folder.path / "drafts", Draft)
    revisions: list[Revision] = read_records(folder.path / "revisions", Revision)
    rows = measure(drafts, revisions, load_template(config.revise, config.pairs.source))
    speed = read_speed(rows, sampled, revised, config)
    return make_plan(rows, Frame(**chosen["all"]), speed, capacity_of(config), config.seed)


def _kept(config: LoopConfig, folder: RunFolder) -> list[str]:
    lines = [f"plan.json is in {folder.path}"]
    if config.revise.journal is None:
        journal = folder.path.resolve() / "journal"
        lines.append(f"with revise.journal={journal} the run does not send again what this plan was answered")
    return lines
