"""The `raylign` command: a sub-command a stage; it reads arguments, calls the stage and turns errors into one line."""

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from raylign import __version__, interrupt
from raylign.config import LoopConfig, load_config
from raylign.errors import ConfigError, InputError, find_raylign_error
from raylign.loop import EVALUATE, LOOP, MAKE_PAIRS, PROMPTS, REVISE, SAMPLE, TRAIN, Stage, run_stages, write_summary
from raylign.preflight import preflight, preflight_serving, preflight_suites
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.session import ray_session
from raylign.summary import in_words

_NOT_PROMOTED = 3
_STOPPED = 130  # what a shell reports for a program ended by Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit code.

    0 done, 1 a fault of raylign's own, 2 mend the input, 3 not promoted (`promote --require`), 130 stopped.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options, unknown = _parser().parse_known_args(_joined(arguments))
    if unknown:  # told by the sub-command, whose usage is the one that helps
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.arguments = arguments
    interrupt.install()
    try:
        command: Callable[[argparse.Namespace], int | None] = options.command
        return command(options) or 0
    except KeyboardInterrupt:
        print("raylign: stopped; the same command goes on from here", file=sys.stderr)
        return _STOPPED
    except Exception as error:
        known = find_raylign_error(error)
        if known is None:
            _report_fault(error, getattr(options, "out", None))
            return 1
        print(f"raylign: error: {' '.join(str(known).split())}", file=sys.stderr)
        return known.exit_code


def _joined(arguments: list[str]) -> list[str]:
    """`serve status` and `serve upgrade` are commands of their own, of two words."""
    if arguments[:1] == ["serve"] and arguments[1:2] in (["status"], ["upgrade"]):
        return [" ".join(arguments[:2]), *arguments[2:]]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="raylign", description="Align language models with CLAIR pairs and APO.")
    parser.add_argument("--version", action="version", version=f"raylign {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, parser=sub)
        return sub

    def add_run(name: str, stages: Sequence[Stage], text: str) -> argparse.ArgumentParser:
        sub = add(name, lambda options: _run(options, stages), text)
        sub.add_argument("--config", type=Path, help="YAML file, e.g. one of jobs/conf/; default: the embedded run")
        sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; an unfinished run goes on")
        sub.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. train.beta=0.2")
        return sub

    add_run("loop", LOOP, "run every stage: prompts, sample, revise or judge, pairs, train, evaluate")
    add_run("pairs", MAKE_PAIRS, "make preference pairs, by CLAIR or as pairs.source says")
    train = add_run("train", (TRAIN,), "align the model on the pairs of the run folder, or of train.pairs")
    train.add_argument(
        "--recommend", action="store_true", help="train nothing; say whether apo_zero or apo_down fits these pairs"
    )
    train.set_defaults(command=_train)
    evaluate = add_run("evaluate", (PROMPTS, EVALUATE), "compare base and aligned model on held-out prompts")
    evaluate.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        help="run this suite alone, also on a finished run; again for each further one; a run's own configuration "
        "counts, and evaluate.*, serve.* and cluster.* may be overridden",
    )
    evaluate.set_defaults(command=_evaluate)
    sweep = add("sweep", _sweep, "train at every point of a grid, on one reference pass, and compare in one table")
    sweep.add_argument("--config", type=Path, help="YAML file, as for a run")
    sweep.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="run folder with pairs, or with train.pairs any; the points lie in DIR/sweep",
    )
    sweep.add_argument(
        "--over", action="append", required=True, metavar="key=a,b", help="values to try, once for each key that varies"
    )
    sweep.add_argument("overrides", nargs="*", metavar="key=value", help="of all points, e.g. train.epochs=2")
    plan = add("plan", _plan, "measure a few prompts, then state what all take: requests, tokens, dollars, hours")
    plan.add_argument("--config", type=Path, help="YAML file, as for a run")
    plan.add_argument("--sample", type=int, default=16, metavar="N", help="prompts to measure, at least 8; default 16")
    plan.add_argument("--out", type=Path, metavar="DIR", help="folder of the plan; default: a new temporary one")
    plan.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. revise.requests_per_minute=500")
    serve = add("serve", _serve, "serve base and aligned model of a run behind one OpenAI-compatible endpoint")
    serve.add_argument(
        "--from", dest="runs", type=Path, action="append", default=[], metavar="DIR", help="a finished run; repeatable"
    )
    serve.add_argument(
        "--model", dest="models", action="append", default=[], metavar="NAME=SOURCE", help="a folder, adapter or hub id"
    )
    serve.add_argument("--out", type=Path, metavar="DIR", help="for logs and serve.json; default: the first --from")
    serve.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. serve.port=9000")
    promote = add("promote", _promote, "decide by evaluated suites whether the aligned model takes the base's place")
    promote.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of an evaluated run")
    promote.add_argument("--require", action="store_true", help="exit with code 3 unless the model is promoted")
    promote.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. promote.metric=ifeval.prompt_strict")
    status = add("serve status", _serve_status, "show models, replicas and load of an endpoint that runs")
    swap = add("serve upgrade", _serve_upgrade, "put another checkpoint behind a served name, with no failed request")
    for sub in (status, swap):
        words = "the first --from of `raylign serve`, or its --out"
        sub.add_argument("--from", dest="folder", type=Path, required=True, metavar="DIR", help=words)
    swap.add_argument("--name", default="aligned", help="served name; default: aligned")
    swap.add_argument("--to", required=True, metavar="SOURCE", help="the new model: a folder, an adapter or a hub id")
    report = add("report", _report, "write report.html of a run folder anew")
    report.add_argument("run", type=Path, metavar="DIR", help="run folder")
    add("model", _model, "unpack the bundled model into the cache directory and print its folder")
    return parser


def _run(options: argparse.Namespace, stages: Sequence[Stage]) -> None:
    config, out = load_config(options.config, options.overrides), options.out

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        summary = run_stages(config, folder, screen, stages)
        from raylign.report.stage import write_report

        page = write_report(folder)
        return [*in_words(summary), f"summary   {out / 'summary.json'}", f"report    {page}"]

    _work_in(out, config, options.arguments, stages, work, existed=out.exists())


def _plan(options: argparse.Namespace) -> None:
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


def _train(options: argparse.Namespace) -> None:
    if not options.recommend:
        _run(options, (TRAIN,))
        return
    from raylign.pairs.store import pairs_folder
    from raylign.recommend.stage import of_recommending, run_recommend

    config = load_config(options.config, options.overrides)
    config = of_recommending(config, pairs_folder(config.train, options.out))
    out = options.out = options.out / "recommend"
    _work_in(out, config, options.arguments, (TRAIN,), partial(run_recommend, config), existed=out.exists())


def _evaluate(options: argparse.Namespace) -> None:
    if not options.suite:
        _run(options, (PROMPTS, EVALUATE))
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


def _sweep(options: argparse.Namespace) -> None:
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
            if find_raylign_error(error) is not None and not existed and not _has_output(out):
                shutil.rmtree(out, ignore_errors=True)  # nothing was made yet: leave nothing half-written
            raise
        for line in lines:
            screen.say(line)


def _has_output(out: Path) -> bool:
    return any(out.rglob("done.json")) or any(out.rglob("part-*.parquet"))


def _serve(options: argparse.Namespace) -> None:
    from raylign.serve.sources import named_models

    runs: list[Path] = options.runs
    configs = [_config_of(run, f"--from {run}", options.overrides, ("serve", "cluster")) for run in runs]
    config = configs[0] if configs else load_config(None, options.overrides)
    named = named_models(list(zip(runs, configs, strict=True)), options.models)
    preflight_serving(config, named)
    from raylign.serve.stage import serve_named

    serve_named(config, named, options.out or (runs[0] if runs else Path("runs/serve")), Screen())


def _serve_status(options: argparse.Namespace) -> None:
    from raylign.serve.record import read_record

    read_record(options.folder)  # in a moment, where importing Ray takes seconds
    from raylign.serve.status import serve_status

    print("\n".join(serve_status(options.folder)))


def _serve_upgrade(options: argparse.Namespace) -> None:
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


def _promote(options: argparse.Namespace) -> int:
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


def _report(options: argparse.Namespace) -> None:
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


def _model(options: argparse.Namespace) -> None:
    from raylign.model import bundled_folder, cache_folder

    cache_folder().mkdir(parents=True, exist_ok=True)
    with Screen.quieten(cache_folder() / "model.log"):
        folder = bundled_folder()
    print(folder)


def _report_fault(error: BaseException, out: Path | None) -> None:
    """Say in one line what broke; the traceback goes to the run's log where there is one."""
    text = "".join(traceback.format_exception(error))
    first = (str(error).strip().splitlines() or [""])[0]
    log = out / "logs" / "fault.txt" if out is not None and (out / "logs").is_dir() else None
    if log is None:
        print(text, file=sys.stderr, end="")
    else:
        log.write_text(text, encoding="utf-8")
    where = f" (traceback in {log}; what components printed, in {log.parent})" if log else ""
    print(f"raylign: fault: {type(error).__name__}: {first[:300]}{where}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
