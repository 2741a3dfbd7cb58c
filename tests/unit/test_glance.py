"""What changes all the time is asked for at most so often, however often it is shown."""

from itertools import count

from raylign.glance import Glance


def test_it_looks_again_only_after_its_time() -> None:
    now, looks = [0.0], count()
    glance = Glance(lambda: next(looks), seconds=1.0, clock=lambda: now[0])
    shown = []
    for now[0] in (0.0, 0.4, 0.9, 1.0, 1.9, 2.5):
        shown.append(glance())
    assert shown == [0, 0, 0, 1, 1, 2]
