"""Starting and generating are told apart: a plan must not take an engine's start for slow generation."""

from raylign.sample.speed import EngineSpeed


def test_one_batch_tells_when_the_engine_began() -> None:
    """It came at 50 s and its longest answer took 10 s: 40 s of start, 320 tokens in 10 s."""
    speed = EngineSpeed(started=0.0)
    speed.add(now=50.0, tokens=320, longest_seconds=10.0)
    assert speed.figures() == {"start_seconds": 40.0, "tokens_per_second": 32.0}


def test_batches_of_several_engines_overlap() -> None:
    speed = EngineSpeed(started=0.0)
    speed.add(now=50.0, tokens=100, longest_seconds=10.0)
    speed.add(now=52.0, tokens=100, longest_seconds=20.0)
    speed.add(now=60.0, tokens=200, longest_seconds=8.0)
    assert speed.figures() == {"start_seconds": 32.0, "tokens_per_second": round(400 / 28, 3)}


def test_nothing_generated_is_no_speed() -> None:
    assert EngineSpeed(started=3.0).figures() == {}
    failed = EngineSpeed(started=3.0)
    failed.add(now=3.0, tokens=0, longest_seconds=-1.0)
    assert failed.figures() == {}
