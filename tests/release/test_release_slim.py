"""What the image's build takes out of an environment: only what nobody needs at run time."""

import shutil
import subprocess
import sys
from pathlib import Path

import httptools.parser.parser as extension
import pytest

from release import slim


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The shape of one."""
    files = {
        "bin/activate": "",
        "bin/activate_this.py": "",
        "bin/python": "",
        "bin/sidecar": "",
        "lib/python3/site-packages/a/__init__.py": "X = 1\n",
        "lib/python3/site-packages/a/fast.pyx": "",
        "lib/python3/site-packages/a/fast.pyi": "",
        "lib/python3/site-packages/a/data.json": "{}",
        "lib/python3/site-packages/a/tests/test_a.py": "",
        "lib/python3/site-packages/a/__pycache__/old.pyc": "",
        "lib/python3/site-packages/a-1.dist-info/RECORD": "",
        "lib/python3/site-packages/a-1.dist-info/METADATA": "",
    }
    for name, text in files.items():
        path = tmp_path / "environment" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "environment"


def test_what_is_left(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules, data, metadata and commands stay; every time stamp is the same; bytecode is never checked."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert slim.main([str(environment)]) == 0
    left = sorted(str(path.relative_to(environment)) for path in environment.rglob("*") if path.is_file())
    (bytecode,) = [name for name in left if name.endswith(".pyc")]
    assert [name for name in left if name != bytecode] == [
        "bin/python",
        "bin/sidecar",
        "lib/python3/site-packages/a-1.dist-info/METADATA",
        "lib/python3/site-packages/a/__init__.py",
        "lib/python3/site-packages/a/data.json",
    ]
    assert {path.lstat().st_mtime for path in [environment, *environment.rglob("*")]} == {1_000_000_000}
    flags = int.from_bytes((environment / bytecode).read_bytes()[4:8], "little")
    assert flags == 0b01, "PEP 552: by hash, and not checked"


def test_a_stripped_extension_is_smaller_and_works(tmp_path: Path) -> None:
    """The loader misses nothing: an extension of a library we use parses as before."""
    file = tmp_path / Path(extension.__file__).name
    shutil.copyfile(extension.__file__, file)
    before = file.stat().st_size
    slim.strip(file)
    assert file.stat().st_size < before
    program = (
        "import importlib.util as u, httptools.parser, sys; sys.modules.pop('httptools.parser.parser', None);"
        f"spec = u.spec_from_file_location('httptools.parser.parser', {str(file)!r});"
        "module = u.module_from_spec(spec); spec.loader.exec_module(module);"
        "parser = module.HttpRequestParser(object()); parser.feed_data(b'GET / HTTP/1.1\\r\\n\\r\\n');"
        "print(parser.get_method(), module.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"b'GET' {file}\n"


def test_what_is_no_elf_file_is_left_alone(tmp_path: Path) -> None:
    """A script with such a name, or a file of another machine's kind."""
    file = tmp_path / "x.so"
    file.write_bytes(b"\x7fELF\x01\x01 of 32 bits")
    slim.strip(file)
    assert file.read_bytes() == b"\x7fELF\x01\x01 of 32 bits"


def test_a_module_that_does_not_compile_stops_the_build(environment: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An image with a broken module is not made."""
    broken = environment / "lib/python3/site-packages/a/broken.py"
    broken.write_text("def\n")
    assert slim.main([str(environment)]) == 1
    assert "broken.py" in capfd.readouterr().out
