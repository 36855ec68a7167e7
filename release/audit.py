"""Known vulnerabilities in what the locks pin, and whether anybody was there to ask.

    python -m release.audit

Where no advisory database can be reached, pip-audit says "No known vulnerabilities found" and succeeds: it skips what
it cannot look up. So first it is asked about a version that is known to be vulnerable. Exit code 0: everything was
checked, nothing is known; 1: something is; 2: nothing, or not everything, was checked.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from release.locked import BUILD_LOCK, LOCK

CANARY: Final = "jinja2==2.10"
"""CVE-2019-10906 and others, in every database since 2019."""
SERVICES: Final = ("pypi", "osv")

Ask = Callable[[str, Path], list[dict[str, Any]] | None]
"""Service and requirements to what pip-audit says of each dependency; None: it could not."""


def main(ask: Ask | None = None, locks: Sequence[Path] = (LOCK, BUILD_LOCK)) -> int:
    """Audits the locks with the first service that knows the canary."""
    asking = ask or pip_audit
    service = next((service for service in SERVICES if knows(asking, service)), None)
    if service is None:
        print(
            "make audit: no advisory database could be reached: nothing was checked"
            f" ({CANARY}, which is known to be vulnerable, was not reported)",
            file=sys.stderr,
        )
        return 2
    return max(_audited(asking, service, lock) for lock in locks)


def knows(ask: Ask, service: str) -> bool:
    """Whether that service reports a vulnerability that it must know."""
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "canary.txt"
        file.write_text(CANARY + "\n")
        return any(found.get("vulns") for found in ask(service, file) or ())


def _audited(ask: Ask, service: str, lock: Path) -> int:
    """The exit code of one lock."""
    found = ask(service, lock)
    if not found:
        print(f"make audit: {lock.name} could not be checked", file=sys.stderr)
        return 2
    vulnerable = [each for each in found if each.get("vulns")]
    for each in vulnerable:
        print(f"{lock.name}: {each['name']} {each['version']}: {', '.join(vuln['id'] for vuln in each['vulns'])}")
    skipped = [each["name"] for each in found if "skip_reason" in each]
    if skipped:
        print(f"make audit: {lock.name}: not checked: {', '.join(skipped)}", file=sys.stderr)
        return 2
    print(f"{lock.name}: {len(found)} distributions checked by {service}, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


def pip_audit(service: str, requirements: Path) -> list[dict[str, Any]] | None:
    """Asks the real one, about exactly what is written there."""
    tool = str(Path(sys.executable).with_name("pip-audit"))
    exactly = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--timeout", "10"]
    command = [tool, "--vulnerability-service", service, *exactly, "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:  # it has printed a traceback instead
        return None
    dependencies: list[dict[str, Any]] = answer["dependencies"]
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
