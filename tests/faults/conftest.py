"""Quiet, so that a run prints its seed and its summary."""

import logging

logging.getLogger("httpx").setLevel(logging.WARNING)
