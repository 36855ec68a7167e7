"""The same targets under libFuzzer, which sees the branches that an input takes.

`python -m conformance.fuzz --engine atheris` starts it: a module of its own, because only what is imported under
atheris's eyes is seen. What it finds, libFuzzer writes to `.fuzz/TARGET-crash-...`; `--replay` runs it again.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sidecar"]):
    from conformance.fuzz import FOUND, TARGETS, fault
from conformance.targets import Target


def prepared(name: str, target: Target) -> tuple[Path, Path]:
    """Directory with the seeds, and a file with the words, as libFuzzer takes them."""
    corpus, words = FOUND / f"corpus-{name}", FOUND / f"{name}.dict"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(dict.fromkeys(target.seeds)):
        (corpus / f"seed-{number:03}").write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    return corpus, words


def main(name: str, seconds: str, seed: str) -> None:
    """Runs one target; libFuzzer ends the process."""
    target = TARGETS[name]()
    corpus, words = prepared(name, target)

    def once(data: bytes) -> None:
        _, what = fault(target, data)
        if what:
            raise RuntimeError(what)

    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={FOUND}/{name}-", f"-dict={words}"]
    atheris.Setup([sys.argv[0], *options, "-max_len=6000", str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
