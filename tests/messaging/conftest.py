"""Services as real processes on servers of their own: a NATS a module, a database a service."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from sqlalchemy import MetaData, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from shared.database import keep_forever
from shared.messaging.envelope import HEADERS, type_of
from shared.messaging.tables import APPEND_ONLY, OUTBOX_TRIGGERS
from shared.messaging.tables import metadata as core
from tests.conftest import Nats, Postgres, eventually, free_port
from tests.messaging import toy

ROOT = Path(__file__).parent.parent.parent
SCHEME = "yanqing"
TIME = "2026-01-05T09:00:00+08:00"
