"""The fuzzer finds what is there to be found, says how to see it again, and is the same for the same seed."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import fuzz
from conformance.corpus.words import WORDS
from conformance.fuzz import TARGETS, Fuzzer
from conformance.mutate import LONGEST, Mutator, minimised, segments
from conformance.targets import hold


class Planted:
    """A target with a defect: it can't bear a zero byte behind a colon."""

    seeds: Sequence[bytes] = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    words: Sequence[bytes] = WORDS

    def run(self, data: bytes) -> Hashable:
        """Breaks the law now and then."""
        hold("no zero behind a colon", given=b"\x00" not in data.partition(b":")[2])
        return data.count(b":")


class Looping:
    """A target that never ends."""

    seeds: Sequence[bytes] = [b"x"]
    words: Sequence[bytes] = [b"y"]

    def run(self, data: bytes) -> Hashable:
        """Goes on for ever."""
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001 - as code under test may have it: nothing may swallow a hang
                continue


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The planted defect as the only target, and findings in a directory of their own."""
    monkeypatch.setitem(TARGETS, "planted", Planted)
    monkeypatch.setattr(fuzz, "FOUND", tmp_path / "found")
    return tmp_path / "found"


def test_a_defect_is_found_made_small_and_kept(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the smallest input in a file, alone; what it broke, and the seed, in print."""
    assert fuzz.main(["--target", "planted", "--seconds", "0.5", "--seed", "7"]) == 1
    assert (planted / "planted-7-0.bin").read_bytes() == b":\x00"
    assert "no zero behind a colon" in (planted / "planted-7-0.txt").read_text()
    said = capsys.readouterr().out
    assert said.startswith("seed 7\n")
    assert "planted-7-0.bin" in said


def test_a_finding_can_be_run_again(planted: Path) -> None:
    """`--replay` raises what the run found, and says so when it is mended."""
    planted.mkdir()
    path = planted / "planted-7-0.bin"
    path.write_bytes(b":\x00")
    with pytest.raises(Exception, match="no zero behind a colon"):
        fuzz.main(["--replay", str(path)])
    path.write_bytes(b":")
    assert fuzz.main(["--replay", str(path)]) == 0


def test_nothing_found_is_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 0, and no directory is left."""
    monkeypatch.setattr(fuzz, "FOUND", tmp_path / "found")
    assert fuzz.main(["--target", "values", "--seconds", "0.1", "--seed", "1"]) == 0
    assert not (tmp_path / "found").exists()


def test_a_hang_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the code under test does with exceptions."""
    monkeypatch.setattr(fuzz, "HANG", 0.05)
    assert "took more than 0.05 s" in fuzz.fault(Looping(), b"x")[1]


def test_a_seed_decides_everything() -> None:
    """The same inputs in the same order, and with them the same kinds."""
    runs = []
    for _ in range(2):
        fuzzer = Fuzzer("chunks", 5)
        fuzzer.run(executions=300)
        runs.append((fuzzer.executions, fuzzer.kinds))
    assert runs[0] == runs[1]
    one, other = (Mutator(Planted.seeds, WORDS, Random(5)) for _ in range(2))
    assert [one.next() for _ in range(300)] == [other.next() for _ in range(300)]


def test_mutations_differ_and_are_bounded() -> None:
    """Most inputs are new; none is longer than it may be."""
    mutator = Mutator([b"a" * 5000, b"GET / HTTP/1.1\r\n\r\n"], WORDS, Random(1))
    made = [mutator.next() for _ in range(1000)]
    assert len(set(made)) > 600
    assert max(map(len, made)) <= LONGEST


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_segments_are_the_same_bytes(data: bytes, seed: int) -> None:
    """None is empty, nothing is lost."""
    pieces = segments(data, Random(seed))
    assert b"".join(pieces) == data
    assert all(pieces)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_is_minimised_still_fails(before: bytes, after: bytes) -> None:
    """And holds nothing that could be left out."""
    assert minimised(before + b"\x00!" + after, lambda data: b"\x00" in data and b"!" in data) in (b"\x00!", b"!\x00")
