"""`make demo`, as it is run: its exit code, what it shows, what it writes, and that it leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_goes_as_it_should():
    command = [sys.executable, "-m", "tools.demo"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for words in ("vanishing_gradient", "CRITICAL", "HEALTHY", "Sigmoid -> ReLU"):
        assert words in ended.stdout
    # What is seen before the end depends on when one looks: a fast training may be over at the second look.
    assert "succeeded: 400 of 400" in ended.stderr
    folder = re.search(r"/\S*gradclinic-demo-\w+", ended.stdout)
    assert folder is not None
    assert not Path(folder[0]).exists()
    report = (ROOT / "var" / "demo" / "report.txt").read_text()
    assert report.index("CRITICAL") < report.index("HEALTHY")
