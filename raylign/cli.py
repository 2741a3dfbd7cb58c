"""The `raylign` command: a sub-command a stage; it reads arguments and turns errors into one line."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from raylign import __version__, commands, interrupt
from raylign.errors import find_raylign_error
from raylign.loop import EVALUATE, LOOP, MAKE_PAIRS, PROMPTS, TRAIN, Stage

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
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, parser=sub)
        return sub

    def add_run(name: str, stages: Sequence[Stage], text: str) -> argparse.ArgumentParser:
        sub = add(name, lambda options: commands.run(options, stages), text)
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
    train.set_defaults(command=commands.train)
    evaluate = add_run("evaluate", (PROMPTS, EVALUATE), "compare base and aligned model on held-out prompts")
    evaluate.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        help="run this suite alone, also on a finished run; again for each further one; a run's own configuration "
        "counts, and evaluate.*, serve.* and cluster.* may be overridden",
    )
    evaluate.set_defaults(command=commands.evaluate)
    sweep = add(
        "sweep", commands.sweep, "train at every point of a grid, on one reference pass, and compare in one table"
    )
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
    plan = add(
        "plan", commands.plan, "measure a few prompts, then state what all take: requests, tokens, dollars, hours"
    )
    plan.add_argument("--config", type=Path, help="YAML file, as for a run")
    plan.add_argument("--sample", type=int, default=16, metavar="N", help="prompts to measure, at least 8; default 16")
    plan.add_argument("--out", type=Path, metavar="DIR", help="folder of the plan; default: a new temporary one")
    plan.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. revise.requests_per_minute=500")
    serve = add("serve", commands.serve, "serve base and aligned model of a run behind one OpenAI-compatible endpoint")
    serve.add_argument(
        "--from", dest="runs", type=Path, action="append", default=[], metavar="DIR", help="a finished run; repeatable"
    )
    serve.add_argument(
        "--model", dest="models", action="append", default=[], metavar="NAME=SOURCE", help="a folder, adapter or hub id"
    )
    serve.add_argument("--out", type=Path, metavar="DIR", help="for logs and serve.json; default: the first --from")
    serve.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. serve.port=9000")
    promote = add(
        "promote", commands.promote, "decide by evaluated suites whether the aligned model takes the base's place"
    )
    promote.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of an evaluated run")
    promote.add_argument("--require", action="store_true", help="exit with code 3 unless the model is promoted")
    promote.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. promote.metric=ifeval.prompt_strict")
    status = add("serve status", commands.serve_status, "show models, replicas and load of an endpoint that runs")
    swap = add(
        "serve upgrade", commands.serve_upgrade, "put another checkpoint behind a served name, with no failed request"
    )
    for sub in (status, swap):
        words = "the first --from of `raylign serve`, or its --out"
        sub.add_argument("--from", dest="folder", type=Path, required=True, metavar="DIR", help=words)
    swap.add_argument("--name", default="aligned", help="served name; default: aligned")
    swap.add_argument("--to", required=True, metavar="SOURCE", help="the new model: a folder, an adapter or a hub id")
    report = add("report", commands.report, "write report.html of a run folder anew")
    report.add_argument("run", type=Path, metavar="DIR", help="run folder")
    add("model", commands.model, "unpack the bundled model into the cache directory and print its folder")
    return parser


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
