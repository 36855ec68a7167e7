"""Lets these tests use the Kubernetes schemas of tests/helm."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "helm"))
