"""deploy/systemd: systemd itself reads the units without a word, and finds little that a service could still do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.process import ROOT

UNITS = ROOT / "deploy/systemd"
ANALYZE = Path(sys.executable).with_name("systemd-analyze")
MOST_EXPOSED = 1.5
"""Of 10. What is left: it uses the network, and it lives in the host's file system, read-only."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, for the sidecar that is installed here: the analysis wants to see the program."""
    assert ANALYZE.exists(), "no systemd-analyze: as root, apt-get install systemd"
    for unit in UNITS.iterdir():
        program = str(Path(sys.executable).with_name("sidecar"))
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/sidecar/bin/sidecar", program))
    return tmp_path


def analysed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """What systemd-analyze says."""
    return subprocess.run([str(ANALYZE), *arguments], capture_output=True, text=True, check=False)


def test_systemd_has_nothing_to_say_about_the_units(units: Path) -> None:
    """It ignores what it does not know, with a warning and exit code 0: there is no warning either."""
    done = analysed("verify", *map(str, sorted(units.iterdir())))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_would_be_seen(units: Path) -> None:
    """The analysis finds a directive that is misspelt."""
    unit = units / "sidecar.service"
    unit.write_text(unit.read_text().replace("NoNewPrivileges", "NoNewPriviledges"))
    assert "NoNewPriviledges" in analysed("verify", str(unit)).stderr


def test_the_service_can_do_little(units: Path) -> None:
    """`systemd-analyze security` finds an exposure of at most 1.5 out of 10."""
    unit = str(units / "sidecar.service")
    done = analysed("security", "--offline=yes", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)
    assert done.returncode == 0, done.stdout
    assert analysed("security", "--offline=yes", "--threshold=1", unit).returncode != 0, "the threshold is heeded"


def directives(unit: str) -> dict[str, list[str]]:
    """Every value of every directive."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_units_fit_the_sidecar() -> None:
    """Time to drain, its own directories, the address of the examples, reload by SIGHUP."""
    service, socket = directives("sidecar.service"), directives("sidecar.socket")
    assert service["ExecStart"] == ["/opt/sidecar/bin/sidecar run -c /etc/sidecar/sidecar.yaml"]
    assert int(service["TimeoutStopSec"][0].removesuffix("s")) > 30, "the default of drain.timeout"
    assert (service["StateDirectory"], service["DynamicUser"]) == (["sidecar"], ["yes"])
    assert service["ExecReload"] == ['/bin/sh -c "kill -HUP $MAINPID"'], "kill(1) is not on every host, a shell is"
    assert socket["ListenStream"] == ["127.0.0.1:8080"]
    assert (ROOT / "config/sidecar.yaml").read_text().count(f"listen: {socket['ListenStream'][0]}") == 1
