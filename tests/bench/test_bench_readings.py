"""What is read from the kernel, from wrk and from py-spy."""

import os
import subprocess
import sys

from bench.procfs import Stat, cpu_time, parse_stat, resident_mb, tree
from bench.profile import parse as parse_stacks
from bench.saturate import Saturation, parse


def test_a_process_may_be_named_anything() -> None:
    """Spaces and parentheses in its name shift no field."""
    fields = " ".join(str(number) for number in range(3, 50))
    assert parse_stat(f"7 (a) b (c) {fields}") == Stat(parent=4, user_ticks=14, system_ticks=15)


def test_what_a_process_started_counts_as_its_own() -> None:
    """Masters with workers are measured whole."""
    idle = [sys.executable, "-c", "input()"]
    with subprocess.Popen(idle, stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(tree(os.getpid()))
        assert resident_mb(os.getpid()) > resident_mb(child.pid) > 0
        child.communicate(b"\n")


def test_cpu_time_only_grows() -> None:
    """It is the clock of what a process has used."""
    before = cpu_time(os.getpid())
    assert sum(range(1_000_000)) > 0
    after = cpu_time(os.getpid())
    assert after.user >= before.user > 0
    assert after.system >= before.system


def test_the_figures_of_wrk_are_found_among_its_words() -> None:
    """Its own report, in its own units, surrounds them."""
    told = (
        "Running 4s test @ http://127.0.0.1:1/\n  Latency 1ms\n"
        "figures requests=80 seconds=2.000000 p50=1500.000 p99=9000.000 bytes=640 failed=1 refused=2\n"
    )
    load = parse(told)
    assert load == Saturation(requests=80, seconds=2.0, p50_ms=1.5, p99_ms=9.0, bytes=640, failed=1, refused=2)
    assert load.per_second == 40.0


def test_a_wrk_that_failed_gives_no_figures() -> None:
    """Rather than zeros."""
    assert parse("unable to connect to 127.0.0.1:1 Connection refused\n") is None


def test_a_recursive_frame_counts_once_per_sample() -> None:
    """No frame is in more samples than there are."""
    thread = "thread (7): MainThread"
    profile = parse_stacks(f"{thread};main;walk;walk 3\n{thread};main;walk;leaf 1\n")
    assert profile.own == {"walk": 3, "leaf": 1}
    assert profile.total == {"main": 4, "walk": 4, "leaf": 1}


def test_only_the_serving_thread_is_profiled() -> None:
    """A worker that waits for work looks busy from outside."""
    profile = parse_stacks("thread (7): MainThread;main;walk 3\nthread (8): pool_0;wait 90\n")
    assert profile.own == {"walk": 3}
