"""The checks before a run, in order: first what is free to know, then what must be asked over the network. This acts.

Nothing here loads torch, vLLM or Ray, so a run that cannot work is refused in seconds.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import ConfigError, EndpointError, InputError
from raylign.evaluate.suites.suite import is_over_likelihoods
from raylign.loop import EVALUATE, JUDGE, PAIRS, REVISE, SAMPLE, TRAIN, Stage, needed, overlapped
from raylign.pairs.store import pairs_folder, read_manifest
from raylign.parts import part_paths
from raylign.preflight.gpus import local_gpus
from raylign.preflight.needs import check_room, need_of, serving_need
from raylign.preflight.places import check_cluster, check_journal, check_model, check_writable, same_model
from raylign.prompts.readers import locate
from raylign.revise.templates import check_template, load_template
from raylign.train.store_check import check_drafted_by

NETWORK_SECONDS = 6.0
"""For everything that is asked over the network together: with what Python takes to start, a refusal comes in ten."""
_ENDPOINT_SECONDS = 5.5
"""For one request to an endpoint: a little less, for its own words on what went wrong are the better ones."""

Check = tuple[str, Callable[[], None]]
"""What is asked, for a person, and the asking."""


def preflight(config: LoopConfig, stages: Sequence[Stage], out: Path) -> None:
    """Find out what cannot work before anything starts or is written.

    Args:
        stages: Those that will run: finished ones need nothing any more.
        out: The run folder, there or not.

    Raises:
        InputError: a folder cannot be written, the input of a stage is missing, or was made for another model.
        ModelError: a model is missing or has no chat template.
        ConfigError: the reviser's template lacks a field, the port to serve at is taken, or stages do not fit together.
        PlanError: the private local cluster is too small, or no cluster answers at the address.
        EndpointError: the reviser or the evaluation endpoint is down, refuses the key, or lacks the model.
    """
    stages = needed(config, stages)
    asks = bool({REVISE, JUDGE} & set(stages))
    check_writable(out, "--out", "name a folder that you may write to")
    _check_inputs(config, stages, out)
    _check_models(config, stages)
    if REVISE in stages and config.pairs.source == "clair":
        check_template(load_template(config.revise))
    address = config.cluster.address or os.environ.get("RAY_ADDRESS")
    if not address:
        serves = (asks and config.revise.base_url is None) or (EVALUATE in stages and config.evaluate.base_url is None)
        names = [stage.name for stage in stages] + ["overlap"] * overlapped(config, stages)
        _check_this_machine(config, names, serves)
    together(_network_checks(config, stages, address, out), NETWORK_SECONDS)


def preflight_suites(config: LoopConfig, out: Path) -> None:
    """Find out before anything starts what would keep `raylign evaluate --suite` from running the configured suites.

    Raises:
        InputError, ModelError, ConfigError, PlanError, EndpointError: as in `preflight`.
    """
    from raylign.evaluate.contestants import checkpoint_of

    check_writable(out, "--out", "name a folder that you may write to")
    evaluate = config.evaluate
    suites = _check_suites(config, out)
    for suite in suites:  # what the run has made is there already: read it now
        _ = suite.pairs() if is_over_likelihoods(suite) else suite.tasks()
    own = {"base", "aligned"} & set(evaluate.models or ("base", "aligned"))
    if "aligned" in own and (evaluate.base_url is None or not evaluate.models):
        checkpoint_of(out)
    asks = any(not is_over_likelihoods(suite) for suite in suites)
    if evaluate.base_url is None or not asks:
        check_model(config.model, "model", config.trust_remote_code)
    address = config.cluster.address or os.environ.get("RAY_ADDRESS")
    if not address:
        serves = asks and evaluate.base_url is None
        _check_this_machine(config, ["evaluate"] if serves else [], serves)
    checks: list[Check] = [(f"the Ray cluster at {address}", lambda: check_cluster(address))] if address else []
    together([*checks, *(_suite_checks(config, out) if asks else [])], NETWORK_SECONDS)


def preflight_serving(config: LoopConfig, named: Mapping[str, str]) -> None:
    """Find out before Ray starts what would keep `raylign serve` from hosting these models (served name to source).

    Raises:
        ModelError, ConfigError, PlanError: as in `preflight`; also a ConfigError where the keys cannot be read.
    """
    from raylign.serve.sources import is_adapter

    models = {name: source for name, source in named.items() if not is_adapter(source)}
    for name, source in models.items():
        check_model(source, f"model {name}", config.trust_remote_code)
    if address := config.cluster.address or os.environ.get("RAY_ADDRESS"):
        together([(f"the Ray cluster at {address}", lambda: check_cluster(address))], NETWORK_SECONDS)
    else:
        from raylign.serve.key_source import KeySource

        KeySource.of(config.serve).read()
        check_room(serving_need(len(models), config), config.cluster.local_cpus, local_gpus())
        _check_this_machine(config, [], serves=True)


def together(checks: Sequence[Check], seconds: float) -> None:
    """Ask all at once; raise the first error in their order, or an EndpointError for one that has not answered in time.

    Each has a daemon thread: one that hangs must not keep the program from ending.
    """
    errors: dict[int, BaseException] = {}

    def ask(number: int, check: Callable[[], None]) -> None:
        try:
            check()
        except BaseException as error:  # carried over to the caller's thread
            errors[number] = error

    threads = [threading.Thread(target=ask, args=(at, check), daemon=True) for at, (_, check) in enumerate(checks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for number, thread in enumerate(threads):
        thread.join(max(0.0, deadline - time.monotonic()))
        if number in errors:
            raise errors[number]
        if thread.is_alive():
            raise EndpointError(
                f"{checks[number][0]} has not answered within {seconds:g} s",
                "see that it is up and reachable from here",
            )


def _check_inputs(config: LoopConfig, stages: Sequence[Stage], out: Path) -> None:
    """What a stage reads and no stage before it will write."""
    if PAIRS in stages and config.pairs.source == "offpolicy":
        locate(config.offpolicy.path or "", "offpolicy")
    if TRAIN in stages and (config.train.pairs or PAIRS not in stages):
        folder = pairs_folder(config.train, out)
        if not part_paths(folder / "train"):
            raise InputError(
                f"no pairs in {folder / 'train'}",
                "run `raylign pairs` on this run folder first, or set train.pairs to a folder of pairs",
            )
        if not config.train.allow_other_drafts:
            check_drafted_by(read_manifest(folder), config.model, same_model)
    if EVALUATE in stages and config.train.export == "adapter" and config.evaluate.base_url is None:
        raise ConfigError(
            "train.export is 'adapter', and the evaluation serves whole models",
            "set train.export=merged, run `raylign train` alone, or name an endpoint in evaluate.base_url",
        )
    if EVALUATE in stages:
        _check_suites(config, out)
    if EVALUATE in stages and TRAIN not in stages and not (out / "checkpoint" / "config.json").is_file():
        raise InputError(f"{out} has no trained checkpoint", "run the train stage in this folder first")


def _check_models(config: LoopConfig, stages: Sequence[Stage]) -> None:
    if {SAMPLE, TRAIN, EVALUATE} & set(stages):
        check_model(config.model, "model", config.trust_remote_code)
    if {REVISE, JUDGE} & set(stages) and config.revise.base_url is None:
        check_model(config.revise.model, "revise.model", config.trust_remote_code)


def _check_this_machine(config: LoopConfig, stages: Sequence[str], serves: bool) -> None:
    """Whether a private local cluster has room for these stages, and whether the port is free where it `serves`."""
    gpus = local_gpus()
    for stage in stages:
        if need := need_of(stage, config):
            check_room(need, config.cluster.local_cpus, gpus)
    if serves:
        from raylign.serve.host import choose_port

        choose_port(config.serve.host, config.serve.port)


def _network_checks(config: LoopConfig, stages: Sequence[Stage], address: str | None, out: Path) -> list[Check]:
    checks: list[Check] = []
    if address:
        checks.append((f"the Ray cluster at {address}", lambda: check_cluster(address)))
    revise, evaluate = config.revise, config.evaluate
    if {REVISE, JUDGE} & set(stages):
        checks.append(_journal("revise", revise.journal, out))
        if revise.base_url is not None:
            checks.append(_endpoint("revise.base_url", revise.base_url, [revise.model], revise.api_key_env))
    if EVALUATE in stages:
        checks.append(_journal("evaluate", evaluate.journal, out))
        if evaluate.base_url is not None:
            checks.append(_endpoint("evaluate.base_url", evaluate.base_url, ["base", "aligned"], evaluate.api_key_env))
        if evaluate.suites:
            checks += _suite_checks(config, out)
    return checks


def _check_suites(config: LoopConfig, out: Path) -> list[Any]:
    """The configured suites, which read by then what the user supplies to them."""
    from raylign.evaluate.runner import load

    return load(config.evaluate.suites, config, out)


def _suite_checks(config: LoopConfig, out: Path) -> list[Check]:
    """What suites ask over the network: the compared models and the judge, at endpoints of the user's."""
    evaluate, judge = config.evaluate, config.evaluate.judge
    checks = [_journal("evaluate", evaluate.journal, out), _journal("evaluate.judge", judge.journal, out)]
    if evaluate.base_url is not None:
        names = evaluate.models or ["base", "aligned"]
        judges = [judge.model] if judge.model is not None and judge.base_url is None else []
        checks.append(_endpoint("evaluate.base_url", evaluate.base_url, [*names, *judges], evaluate.api_key_env))
    if judge.base_url is not None and judge.model is not None:
        checks.append(_endpoint("evaluate.judge.base_url", judge.base_url, [judge.model], judge.api_key_env))
    return checks


def _journal(section: str, journal: str | None, out: Path) -> Check:
    location, field = journal or str(out / "journal"), f"{section}.journal"
    return f"{field} {location}", lambda: check_journal(location, field)


def _endpoint(field: str, base_url: str, models: list[str], api_key_env: str | None) -> Check:
    from raylign.revise.client import check_endpoint

    def check() -> None:
        for model in models:
            check_endpoint(base_url, model, api_key_env, timeout_seconds=_ENDPOINT_SECONDS)

    return f"{field} {base_url}", check
