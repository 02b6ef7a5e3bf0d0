"""Timed runs of a peer: the best of a few batch sizes, each run held against what the database then has."""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence

import psycopg

WARM_UP_S = 0.5


def measure(peer: str, post: Callable[[Sequence[int]], None], oracle: str, batches: Sequence[int]) -> None:
    """Print the best run as one line of JSON; the command line gives seconds a run and, if wanted, batch sizes.

    ``post`` writes a batch of amounts in fen and returns when they are durable; ``oracle`` is the SQL that gives the
    number and the sum of all postings. The libpq variables (PGHOST and so on) say which database.
    """
    seconds = float(sys.argv[1])
    chance = random.Random(peer)
    amounts = [chance.randint(1, 1_000_000) for _ in range(10_000)]
    sent, total_fen, runs = 0, 0, []
    for batch in [int(size) for size in sys.argv[2:]] or batches:
        rate = 0.0
        for duration in (WARM_UP_S, seconds):
            before, begun = sent, time.perf_counter()
            while time.perf_counter() < begun + duration:
                some = [amounts[(sent + place) % len(amounts)] for place in range(batch)]
                post(some)
                sent, total_fen = sent + batch, total_fen + sum(some)
            rate = (sent - before) / (time.perf_counter() - begun)
        _check(oracle, sent, total_fen)
        runs.append((rate, batch))
    rate, batch = max(runs)
    print(json.dumps({"peer": peer, "ops_per_second": round(rate, 1), "n": batch, "checked": True}))


def _check(oracle: str, sent: int, total_fen: int) -> None:
    with psycopg.connect() as connection:
        kept = connection.execute(oracle).fetchone()
    if kept != (sent, total_fen):
        sys.exit(f"{sent} postings of {total_fen} fen were sent, the database has {kept}")
