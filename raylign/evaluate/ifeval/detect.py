"""Which language a text is in, the same answer every time. Pure.

The published scorer asks langdetect without a seed, so a short text may get another answer on every run; here each
text is judged with the same seed, by the same detector and profiles.
"""

from functools import cache
from pathlib import Path

from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory  # type: ignore[import-untyped]
from langdetect.lang_detect_exception import LangDetectException  # type: ignore[import-untyped]

_SEED = 0


def language_of(text: str) -> str | None:
    """The language's code as langdetect writes it (ISO 639-1, but `zh-cn` and `zh-tw`); None if nothing tells it."""
    detector = _factory().create()
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


def languages() -> frozenset[str]:
    """The codes that `language_of` can answer."""
    return frozenset(_profiles())


@cache
def _profiles() -> dict[str, Path]:
    return {path.name: path for path in sorted(Path(PROFILES_DIRECTORY).iterdir()) if path.is_file()}


@cache
def _factory() -> DetectorFactory:
    """A factory of our own: the package's shared one can be seeded, or not, by anything else in the process."""
    factory = DetectorFactory()
    factory.set_seed(_SEED)
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in _profiles().values()])
    return factory
