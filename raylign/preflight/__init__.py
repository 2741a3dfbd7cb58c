"""What cannot work is found out here, before anything starts or is written."""

from raylign.preflight.checks import preflight

__all__ = ["preflight"]
