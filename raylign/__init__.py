"""raylign: align language models with CLAIR pairs and Anchored Preference Optimization on Ray."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("raylign")
except PackageNotFoundError:  # a source tree shipped as a Ray working_dir, never installed
    __version__ = "0.1.0"
