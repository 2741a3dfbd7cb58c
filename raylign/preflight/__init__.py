"""What cannot work is found out here, before anything starts or is written."""

from raylign.preflight.checks import preflight, preflight_serving, preflight_suites

__all__ = ["preflight", "preflight_serving", "preflight_suites"]
