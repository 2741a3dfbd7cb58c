"""What each sub-command does with its arguments: configuration, checks, run folder, stages, and the last words."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig, load_config
from raylign.errors import ConfigError, InputError, TrainingError, find_raylign_error
from raylign.loop import EVALUATE, PROMPTS, REVISE, SAMPLE, TRAIN, Stage, run_stages, write_summary
from raylign.preflight import preflight, preflight_serving, preflight_suites
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.session import ray_session
from raylign.summary import in_words

_NOT_PROMOTED = 3


def run(options: argparse.Namespace, stages: Sequence[Stage]) -> None:
    config, out = load_config(options.config, options.overrides), options.out

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        summary = run_stages(config, folder, screen, stages)
        from raylign.report.stage import write_report

        page = write_report(folder)
        return [*in_words(summary), f"summary   {out / 'summary.json'}", f"report    {page}"]

    _work_in(out, config, options.arguments, stages, work, existed=out.exists())


def plan(options: argparse.Namespace) -> None:
    from raylign.plan.stage import FEWEST, marks, run_plan

    if options.sample < FEWEST:
        raise InputError(f"--sample is {options.sample}", f"it must be at least {FEWEST}, for an interval to mean much")
    config = load_config(options.config, options.overrides)
    existed, temporary = options.out is not None and options.out.exists(), options.out is None
    out = options.out = options.out or Path(tempfile.mkdtemp(prefix="raylign-plan-"))

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        return run_plan(config, folder, screen, options.sample)

    try:
        _work_in(out, config, options.arguments, (SAMPLE, REVISE), work, existed, marks(options.sample))
    finally:
        if temporary:
            with suppress(OSError):  # it goes only where it is empty: refused before anything was written
                out.rmdir()


def train(options: argparse.Namespace) -> None:
    if not options.recommend:
        run(options, (TRAIN,))
        return
    from raylign.pairs.store import pairs_folder
    from raylign.recommend.stage import of_recommending, run_recommend

    config = load_config(options.config, options.overrides)
    config = of_recommending(config, pairs_folder(config.train, options.out))
    out = options.out = options.out / "recommend"
    _work_in(out, config, options.arguments, (TRAIN,), partial(run_recommend, config), existed=out.exists())


def evaluate(options: argparse.Namespace) -> None:
    if not options.suite:
        run(options, (PROMPTS, EVALUATE))
        return
    out: Path = options.out
    config = _config_beside(options)
    config.evaluate.suites = list(dict.fromkeys(options.suite))

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        from raylign.evaluate.stage import run_suites
        from raylign.report.stage import write_report

        with ray_session(config.cluster, folder.path / "logs"):
            run_suites(config, folder, screen, config.evaluate.suites)
        summary = write_summary(folder)
        return [
            *in_words(summary),
            f"suites    {out / 'evaluate' / 'suites.json'}",
            f"report    {write_report(folder)}",
        ]

    _work_in(out, config, options.arguments, (), work, existed=out.exists(), beside=True)


def _config_beside(options: argparse.Namespace) -> LoopConfig:
    """The configuration of the run in the folder with these overrides; that of a new folder where there is no run."""
    if not (options.out / "config.yaml").is_file():
        return load_config(options.config, options.overrides)
    if options.config is not None:
        raise ConfigError(
            f"--config {options.config} beside --suite, and {options.out} has a configuration of its own",
            "leave --config out; evaluate.*, serve.* and cluster.* may be given as key=value",
        )
    return _config_of(options.out, f"--out {options.out}", options.overrides, ("evaluate", "serve", "cluster"))


def sweep(options: argparse.Namespace) -> None:
    from raylign.pairs.store import pairs_folder
    from raylign.sweep.grid import grid
    from raylign.sweep.stage import point_configs, run_sweep

    points, config = grid(options.over), load_config(options.config, options.overrides)
    pairs = pairs_folder(config.train, options.out)
    config.train.pairs = str(pairs.resolve())
    out = options.out = options.out / "sweep"
    configs = point_configs(options.config, options.overrides, points, pairs, out)

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        return [*run_sweep(points, configs, folder, screen), f"table     {out / 'table.html'}"]

    _work_in(out, config, options.arguments, (TRAIN,), work, existed=out.exists())


def _work_in(
    out: Path,
    config: LoopConfig,
    arguments: list[str],
    stages: Sequence[Stage],
    work: Callable[[RunFolder, Screen], list[str]],
    existed: bool,
    marks: dict[str, Any] | None = None,
    beside: bool = False,
) -> None:
    """Do the work in a run folder after the checks of its stages, and show the lines it returns.

    Args:
        existed: Whether the folder was there before.
        beside: The work adds suites to a run and leaves the run's own configuration and stages as they are.
    """
    if beside:
        preflight_suites(config, out)
    else:
        preflight(config, [stage for stage in stages if not (out / stage.folder / "done.json").exists()], out)
    folder = RunFolder.open(out, config, ["raylign", *arguments], marks, beside)
    with ExitStack() as resources:
        resources.callback(folder.close)
        screen = resources.enter_context(Screen.quieten(out / "logs" / "driver.log"))
        try:
            lines = work(folder, screen)
        except Exception as error:
            known = find_raylign_error(error)
            begun = known is None or isinstance(known, TrainingError)  # then logs and checkpoints say how to go on
            if not begun and not existed and not _has_output(out):
                shutil.rmtree(out, ignore_errors=True)  # nothing was made yet: leave nothing half-written
            raise
        for line in lines:
            screen.say(line)


def _has_output(out: Path) -> bool:
    return any(out.rglob("done.json")) or any(out.rglob("part-*.parquet"))


def serve(options: argparse.Namespace) -> None:
    from raylign.serve.sources import named_models

    runs: list[Path] = options.runs
    configs = [_config_of(run, f"--from {run}", options.overrides, ("serve", "cluster")) for run in runs]
    config = configs[0] if configs else load_config(None, options.overrides)
    named = named_models(list(zip(runs, configs, strict=True)), options.models)
    preflight_serving(config, named)
    from raylign.serve.stage import serve_named

    serve_named(config, named, options.out or (runs[0] if runs else Path("runs/serve")), Screen())


def serve_status(options: argparse.Namespace) -> None:
    from raylign.serve.record import read_record

    read_record(options.folder)  # in a moment, where importing Ray takes seconds
    from raylign.serve.status import serve_status

    print("\n".join(serve_status(options.folder)))


def serve_upgrade(options: argparse.Namespace) -> None:
    from raylign.serve.record import read_record

    read_record(options.folder)
    from raylign.serve.upgrade import upgrade

    logs, screen = options.folder / "logs", Screen()
    logs.mkdir(exist_ok=True)
    with Screen.quieten(logs / "upgrade.log") as speaking:
        done = upgrade(options.folder, options.name, options.to, lambda words: speaking.say(f"upgrade    {words}"))
    if done.replaced:
        screen.say(f"upgrade    {done.name} is {done.after} now, after {done.seconds:.0f} s; it was {done.before}")
    else:
        screen.say(f"upgrade    {done.name} is {done.after} already, with these very files")


def promote(options: argparse.Namespace) -> int:
    run: Path = options.run
    config = _config_of(run, f"--run {run}", options.overrides, ("promote",))
    from raylign.promote.stage import run_promote

    verdict, lines = run_promote(config, run)
    print("\n".join(lines))
    return _NOT_PROMOTED if options.require and verdict != "promoted" else 0


def _config_of(run: Path, named: str, overrides: list[str], sections: Sequence[str]) -> LoopConfig:
    """The configuration of a run in which only these sections may be changed."""
    _require_run(run, named)
    for override in overrides:
        if override.partition(".")[0] not in sections:
            raise ConfigError(
                f"override {override!r} cannot change a finished run",
                f"only {' and '.join(f'{section}.*' for section in sections)} can be set here",
            )
    return load_config(run / "config.yaml", overrides)


def report(options: argparse.Namespace) -> None:
    run: Path = options.run
    _require_run(run, str(run))
    from raylign.report.stage import write_report

    print(write_report(RunFolder(run)))


def _require_run(run: Path, named: str) -> None:
    if not (run / "config.yaml").is_file():
        raise InputError(f"{named} is not a run folder: it has no config.yaml", "name the --out of a raylign run")
    from raylign.plan.stage import is_plan

    if is_plan(run):
        raise InputError(
            f"{named} is the folder of a plan, which makes no pairs and no model",
            "its figures are in plan.json; name the --out of a raylign run",
        )


def model(options: argparse.Namespace) -> None:
    from raylign.model import bundled_folder, cache_folder

    cache_folder().mkdir(parents=True, exist_ok=True)
    with Screen.quieten(cache_folder() / "model.log"):
        folder = bundled_folder()
    print(folder)
