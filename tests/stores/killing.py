"""Starts processes that keep answers on disk, two at a time on one path, and kills them while they write.

    python killing.py DIRECTORY ROUNDS SEED

A process of its own, without threads, so that it can fork: a start of Python for each would take a hundred times as
long. Prints one line of JSON: how many were killed, how many answers were read back, and what was wrong with them.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from sidecar.clock import MONOTONIC, WALL
from sidecar.policy.last_known_good import Stored
from sidecar.stores import writer
from sidecar.stores.database import Database
from sidecar.stores.disk import DiskStore

KEYS = [bytes([number]) * 32 for number in range(24)]


def answer(key: bytes, number: int) -> Stored:
    """An answer that shows whether it is whole, and whose it is: nothing else would be needed to make it again."""
    seed = b"%b%d" % (key, number)
    body = b"%d:" % number + hashlib.blake2b(seed).digest() * (50 + number % 700)
    return Stored(200, ((b"ETag", b"%d" % number),), body, WALL())


def is_right(key: bytes, stored: Stored) -> bool:
    """Whether it is an answer that was put under this key."""
    number = int(stored.body.partition(b":")[0])
    made = answer(key, number)
    return (made.body, made.headers, made.status) == (stored.body, stored.headers, stored.status)


def keep_on(directory: Path, seed: int) -> None:
    """Keeps answers until it is killed, with as many transactions as there is time for."""
    writer.ROUND = writer.REWRITE = 0.001
    store = DiskStore(path=directory, max_bytes=600_000, max_age=3600.0, wall=WALL, clock=MONOTONIC)
    chance = random.Random(seed)
    store.open(10.0)
    while True:
        store.put(key := chance.choice(KEYS), answer(key, chance.randrange(1_000_000)))
        time.sleep(0.0002)


def killed(directory: Path, seed: int, seconds: float) -> None:
    """Two of them, for a while."""
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            keep_on(directory, 2 * seed + number)
        children.append(child)
    time.sleep(seconds)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main(directory: Path, rounds: int, seed: int) -> None:
    """Rounds of it, and what each left behind."""
    chance = random.Random(seed)
    wrong: list[str] = []
    seen = set()
    read = 0
    for number in range(rounds):
        killed(directory, seed + number, chance.uniform(0.01, 0.06))
        database = Database(directory)
        for key, stored in database.read():
            read += 1
            if stored is None:
                wrong.append(f"round {number}: damaged")
            elif not is_right(key, stored):
                wrong.append(f"round {number}: not what was put")
            else:
                seen.add(stored.body)
        database.close()
    wrong += [path.name for path in directory.iterdir() if "corrupt" in path.name]
    json.dump({"killed": 2 * rounds, "read": read, "different": len(seen), "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
