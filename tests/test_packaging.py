"""The wheel holds all it needs and cannot be shadowed by folders where it is started."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_wheel_holds_data_weights_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "genbench/suites/mnist.toml",
        "genbench/suites/suites.lock.json",
        "genbench/suites/data/mnist/train-images-idx3-ubyte.gz",
        "genbench/suites/weights/mnist-cnn-1.safetensors",
        "genbench/suites/weights/extractors.json",
        "genbench/report/templates/index.html.j2",
        "genbench/py.typed",
    ):
        assert name in names, name
    root = Path(__file__).resolve().parent.parent
    for module in (root / "genbench").rglob("*.py"):
        assert module.relative_to(root).as_posix() in names
    for module in (root / "baselines").glob("*.py"):
        assert f"genbench/baselines/{module.name}" in names
    assert not any(n.startswith(("tests/", "suites/", "baselines/")) for n in names)
    assert wheel.stat().st_size < 36 << 20, "MNIST, emoji and the networks are 32 MB of it"


@pytest.mark.slow
def test_the_wheel_works_where_a_suites_folder_lies_about(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True, capture_output=True,
    )  # fmt: skip
    work = tmp_path / "work"
    for name in ("suites", "baselines"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    (work / "suites" / "mnist.toml").write_text("not = 'ours'\n")
    code = (
        "import genbench, genbench.suites, genbench.baselines; print(genbench.__file__);"
        "from genbench.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "suite", "check", "mnist", "8gaussians"],
        cwd=work, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "mnist 1.0.0: 4 data files checked" in done.stdout
