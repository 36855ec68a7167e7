"""Takes out of an environment what no running sidecar needs, and makes what is left the same at every build.

    python slim.py /opt/sidecar

Runs in the image's build stage, with the standard library alone. What goes: activation scripts, sources and headers
of C extensions, type stubs, tests of libraries, symbols and debug information, and the installer's records of where
things came from (RECORD would name files that are gone: a package without one is, by PEP 627, nobody's to change).
What comes: bytecode that is never checked against its source (PEP 552), since nothing changes in an image. Every time
stamp becomes SOURCE_DATE_EPOCH.
"""

import compileall
import os
import py_compile
import shutil
import struct
import sys
from pathlib import Path
from typing import Final

EPOCH: Final = 1_577_836_800
"""2020-01-01, when SOURCE_DATE_EPOCH says nothing else."""
_NEEDLESS: Final = {".c", ".h", ".pxd", ".pxi", ".pyi", ".pyx"}
_RECORDS: Final = {"RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
_TESTS: Final = {"test", "tests"}
_ELF64_LITTLE: Final = b"\x7fELF\x02\x01"
_SECTIONS: Final = 40
"""Where the header says where the section table is, with `_COUNTS` for its entries; program headers likewise."""
_PROGRAMS: Final = 32
_PROGRAM_COUNTS: Final = 54
_COUNTS: Final = 58


def main(arguments: list[str]) -> int:
    """Slims the environment that is named, and says what it came to."""
    (name,) = arguments
    root = Path(name)
    before = size(root)
    remove(root)
    for file in root.rglob("*.so*"):
        strip(file)
    if not compiled(root):
        return 1
    clamp(root, int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH))
    print(f"{root}: {before / 1e6:.1f} MB, slimmed and compiled {size(root) / 1e6:.1f} MB")
    return 0


def size(root: Path) -> int:
    """Bytes of all files."""
    return sum(file.lstat().st_size for file in root.rglob("*") if not file.is_dir())


def remove(root: Path) -> None:
    """Deletes what is not needed at run time."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and (path.name == "__pycache__" or path.name in _TESTS):
            shutil.rmtree(path)
        elif path.is_file() and _needless(path):
            path.unlink()


def _needless(path: Path) -> bool:
    if path.parent.suffix == ".dist-info":
        return path.name in _RECORDS
    activation = path.parent.name == "bin" and not path.name.startswith(("python", "sidecar"))
    return path.suffix in _NEEDLESS or activation or path.name == ".gitignore"


def strip(file: Path) -> None:
    """Cuts off a 64-bit ELF file behind the last byte that is ever loaded: symbols, debug information, section table.

    The loader works from the program headers alone (System V ABI, chapter 5). No binutils is needed, and so none has to
    be pinned. What is linked statically into the loaded part stays.
    """
    data = bytearray(file.read_bytes())
    if not data.startswith(_ELF64_LITTLE):
        return
    (programs,) = struct.unpack_from("<Q", data, _PROGRAMS)
    each, count = struct.unpack_from("<HH", data, _PROGRAM_COUNTS)
    end = programs + each * count
    for number in range(count):
        offset, length = struct.unpack_from("<Q16xQ", data, programs + number * each + 8)
        end = max(end, offset + length)
    struct.pack_into("<Q", data, _SECTIONS, 0)
    struct.pack_into("<HHH", data, _COUNTS, 0, 0, 0)
    file.write_bytes(data[:end])


def compiled(root: Path) -> bool:
    """Compiles every module, in one process and one order, so that the same sources give the same bytes."""
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    return bool(compileall.compile_dir(root / "lib", quiet=1, invalidation_mode=unchecked, workers=1))


def clamp(root: Path, seconds: int) -> None:
    """Sets every time stamp, links and directories included."""
    for path in [root, *root.rglob("*")]:
        os.utime(path, (seconds, seconds), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
