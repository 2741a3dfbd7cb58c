"""Sampling and revising at once, against each of them alone: the slower one should be all that a run has to wait for.

SmolLM2 drafts on CPU; the provider answers as slowly as makes revising alone about as long as sampling alone, with the
same pools in all three runs. A run's clock starts when its first prompt is in an engine, or where nothing is sampled,
when its first request reaches the provider: starting engines and actors is left out. It stops when the stage returns.

    python tests/benchmarks/overlap.py [--quick] [--out FILE.json]
"""

import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bench import ask, at_most, finish, local_ray, options, provider

from raylign.config import LoopConfig
from raylign.overlap import stage as overlap_stage
from raylign.parts import PartWriter, part_paths
from raylign.prompts.prompt_set import read_prompts
from raylign.records import Prompt
from raylign.revise import stage as revise_stage
from raylign.run_folder import RunFolder
from raylign.sample import stage as sample_stage
from raylign.screen import Screen, StageProgress

PLACES = 16
"""Requests in flight; with the provider's latency they make the time of revising alone."""


class Watching(Screen):
    """A screen that notes how many drafts were on disk when the first revision was in the driver's hands."""

    def __init__(self, drafts: Path) -> None:
        super().__init__(io.StringIO())
        self.drafts = drafts
        self.drafted_at_first: int | None = None

    @contextmanager
    def stage(self, *arguments: Any) -> Iterator[StageProgress]:
        """The stage's progress, watched."""
        with super().stage(*arguments) as progress:
            show = progress.update

            def update(done: int, total: int, note: str = "") -> None:
                if done and self.drafted_at_first is None:
                    self.drafted_at_first = sum(pq.read_metadata(path).num_rows for path in part_paths(self.drafts))
                show(done, total, note)

            progress.update = update  # type: ignore[method-assign]
            yield progress


def run_folder(path: Path, count: int) -> RunFolder:
    """A run with so many of the bundled prompts, each followed by a number where they are too few."""
    bundled = read_prompts(LoopConfig().prompts).prompts
    rounds = range(-(-count // len(bundled)))
    prompts = [
        Prompt(f"{prompt.id[:28]}{number:04x}", [*prompt.messages[:-1], _numbered(prompt, number)], "train", "bundled")
        for number in rounds
        for prompt in bundled
    ]
    with PartWriter(path / "prompts", Prompt) as writer:
        writer.add(prompts[:count])
    return RunFolder(path)


def _numbered(prompt: Prompt, number: int) -> Any:
    last = prompt.messages[-1]
    return {"role": last["role"], "content": f"{last['content']} ({number})" if number else last["content"]}


def configuration(tokens: int, at_once: int, url: str = "") -> LoopConfig:
    """Small batches, so that the engine does not take a large share of the prompts at one go."""
    config = LoopConfig()
    config.sample.max_tokens, config.sample.batch_size = tokens, at_once
    config.sample.engine = {"max_num_seqs": at_once}
    config.revise.base_url, config.revise.model = url, "editor"
    config.revise.actors_max, config.revise.requests_in_flight = 1, PLACES
    config.revise.requests_per_minute = 10**6
    return config


def sampling_alone(folder: RunFolder, config: LoopConfig) -> float:
    """Seconds from the first prompt in an engine on."""
    started = time.monotonic()
    figures = sample_stage.run(config, folder, Screen(io.StringIO()))
    return time.monotonic() - started - float(figures["start_seconds"])


def revising_alone(folder: RunFolder, config: LoopConfig, url: str) -> float:
    """Seconds from the first request on."""
    revise_stage.run(config, folder, Screen(io.StringIO()))
    count = ask(url, "/count")
    return float(count["now"] - count["accepted"][0][0])


def both_at_once(folder: RunFolder, config: LoopConfig) -> tuple[float, int, dict[str, Any]]:
    """Seconds from the first prompt in an engine on, drafts at the first revision, and the stage's figures."""
    screen, started = Watching(folder.path / "drafts"), time.monotonic()
    figures = overlap_stage.run(config, folder, screen)
    seconds = time.monotonic() - started - float(figures["start_seconds"])
    assert screen.drafted_at_first is not None
    assert figures["revised_meanwhile"] >= 0.9 * figures["drafts"], "hardly any draft can be revised"
    return seconds, screen.drafted_at_first, figures


def main() -> None:
    """Sampling alone, then both at once, then revising alone, all with the same settings."""
    arguments = options(__doc__)
    count, tokens, at_once = (160, 16, 8) if arguments.quick else (1024, 64, 32)
    root = Path(tempfile.mkdtemp(prefix="raylign-benchmark-"))
    alone, both = run_folder(root / "alone", count), run_folder(root / "both", count)
    with local_ray():
        sampling = sampling_alone(alone, configuration(tokens, at_once))
        latency = sampling * PLACES / count
        with provider(latency_seconds=latency) as url:
            joint, drafted, figures = both_at_once(both, configuration(tokens, at_once, url))
        with provider(latency_seconds=latency) as url:
            revising = revising_alone(alone, configuration(tokens, at_once, url), url)
    shutil.rmtree(root, ignore_errors=True)
    details = {
        "prompts": count, "sampling_alone_seconds": sampling, "revising_alone_seconds": revising,
        "both_seconds": joint, "latency_seconds": latency, "drafted_at_first_revision": drafted, "both": figures,
    }  # fmt: skip
    figures_found = [
        at_most("both at once, of the slower one alone", joint / max(sampling, revising), 1.1),
        at_most("share drafted when the first revision is there", drafted / count, 0.1),
    ]
    finish(arguments, figures_found, details)


if __name__ == "__main__":
    main()
