"""The commands of docs/studies.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.harness.product import ROOT, Product


def test_the_guide_of_studies_runs(stack: Product, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "studies.md").read_text()
    (commands,) = re.findall(r"^```sh\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    saddle = f'saddle() {{ "{sys.executable}" -m service.client "$@"; }}'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{saddle}\n{commands}"],
        cwd=tmp_path,
        env=stack.environment | {"SADDLE_URL": stack.url, "SADDLE_KEY": stack.key, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing stored: 9 trials of 180 steps each" in done.stdout
    assert "The search alone would claim val/loss" in done.stdout
    assert "#4" in done.stdout, "the study of three trials was extended by two"
