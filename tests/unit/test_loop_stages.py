"""Each source of pairs runs its own stages and no others; what it lacks is told before anything starts."""

import socket
from pathlib import Path

import pytest

from raylign.config import load_config
from raylign.errors import InputError
from raylign.loop import LOOP, MAKE_PAIRS, PAIRS, REVISE, SAMPLE, TRAIN, needed, overlapped
from raylign.preflight import preflight

SETTINGS = {"judge": ["sample.samples=2"], "offpolicy": ["offpolicy.path=/no/such/pairs.jsonl"]}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("clair", ["prompts", "sample", "revise", "pairs"]),
        ("stronger", ["prompts", "sample", "revise", "pairs"]),
        ("judge", ["prompts", "sample", "judge", "pairs"]),
        ("offpolicy", ["prompts", "pairs"]),
    ],
)
def test_stages_follow_the_source(source: str, expected: list[str]) -> None:
    config = load_config(None, [f"pairs.source={source}", *SETTINGS.get(source, [])])
    assert [stage.name for stage in needed(config, MAKE_PAIRS)] == expected
    assert [stage.name for stage in needed(config, LOOP)] == [*expected, "train", "evaluate"]
    assert needed(config, [TRAIN]) == [TRAIN]


ENDPOINT = ["revise.base_url=http://127.0.0.1:9/v1", "revise.model=editor"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (ENDPOINT, True),
        ([*ENDPOINT, "pairs.source=stronger"], True),
        ([*ENDPOINT, "revise.overlap=false"], False),
        ([*ENDPOINT, "revise.mode=batch"], False),
        ([*ENDPOINT, "pairs.source=judge", "sample.samples=2"], False),
        ([], False),  # the reviser is served here, on what the engines need
    ],
)
def test_sampling_and_revising_overlap_where_an_endpoint_elsewhere_revises(
    overrides: list[str], expected: bool
) -> None:
    config = load_config(None, overrides)
    assert overlapped(config, MAKE_PAIRS) is expected
    assert not overlapped(config, [SAMPLE]), "alone, each is what it was"
    assert not overlapped(config, [REVISE])


def test_a_missing_import_is_told_before_anything_starts(tmp_path: Path) -> None:
    config = load_config(None, ["pairs.source=offpolicy", *SETTINGS["offpolicy"]])
    with pytest.raises(InputError, match=r"offpolicy\.path /no/such/pairs\.jsonl does not exist"):
        preflight(config, [PAIRS], tmp_path)


def test_an_import_needs_no_reviser(tmp_path: Path) -> None:
    """Its endpoint is not even asked whether it is there."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}\n")
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        url = f"http://127.0.0.1:{endpoint.getsockname()[1]}/v1"
        settings = [f"revise.base_url={url}", "revise.model=editor", f"offpolicy.path={path}"]
        preflight(load_config(None, ["pairs.source=offpolicy", *settings]), MAKE_PAIRS, tmp_path)
        endpoint.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            endpoint.accept()
