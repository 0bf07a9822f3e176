"""Another author's package, and the page that tells how to write one, away from the checkout."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genbench.results.store import Store, Stored
from tests.conftest import HERE, ROOT, TINY, Away, Done, build_wheel, glance

PAGE = (ROOT / "docs" / "plugins.md").read_text()
SMOKE = ("run", "--suite", "digits", "--profile", "smoke")


@pytest.mark.slow
def test_a_third_partys_package_is_listed_checked_run_and_reported(
    away: Away, tmp_path: Path
) -> None:
    source = tmp_path / "pixel-counts"
    shutil.copytree(HERE / "thirdparty", source)
    away.install(build_wheel(source, tmp_path / "dist"))

    def genbench(*words: object) -> Done:
        done = away.run("genbench", *words, cwd=tmp_path)
        assert done.code == 0, done.err
        return done

    listed = json.loads(genbench("list", "generators", "--json").out)["generators"]
    (row,) = [row for row in listed if row["name"] == "pixel-counts"]
    assert row["provider"] == "genbench-pixel-counts 0.1.0"
    (report,) = json.loads(genbench("check", "pixel-counts", "--json").out)
    assert report["ok"]
    status = {check["check"]: check["status"] for check in report["checks"]}
    assert status["probability"] == status["resume"] == status["device"] == "passed"
    done = genbench(*SMOKE, "-g", "pixel-counts:smoothing=0.5", "--only", "metrics", "--json",
                    "--no-report", "--no-controls")  # fmt: skip
    (line,) = done.lines
    assert line["status"] == "ok"
    genbench("report", "results", "-o", "site")
    assert "pixel-counts" in (tmp_path / "site" / "index.html").read_text()
    its_metric_is_used(genbench, tmp_path)
    # Its own test finds the class where it was installed.
    done = away.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", source / "tests",
                    cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.out


def its_metric_is_used(genbench: Callable[..., Done], folder: Path) -> None:
    """Listed, asked for by a suite, in the record with the package that made it."""
    listed = json.loads(genbench("list", "metrics", "--check", "--json").out)["metrics"]
    (row,) = [row for row in listed if row["name"] == "off_centre"]
    assert row["provider"] == "genbench-pixel-counts 0.1.0"
    assert row["about"] == "Mean distance of generated rows from the mean of the real ones."
    entry = 'id = "off_centre"\npower = 2.0'
    (folder / "mine.toml").write_text(TINY.read_text().replace('id = "precision"', entry))
    genbench("suite", "check", "./mine.toml")
    genbench("run", "--suite", "./mine.toml", "-g", "vae", "--results", "mine", "--no-report")
    store = Store(folder / "mine")
    (task,) = [place for place in store.tasks() if isinstance(place, Path)]
    found = [s.record for s in store.attempts(task) if isinstance(s, Stored)]
    assert {record.generator for record in found} == {"vae", "heldout", "noise"}
    for record in found:
        value = record.metrics["off_centre"]
        assert value.interval is not None, value.reason
        assert "off_centre/1 of genbench-pixel-counts 0.1.0|power=2.0|" in value.signature
    genbench("report", "mine", "-o", "mine-site")
    assert "off_centre" in (folder / "mine-site" / "index.html").read_text()


def shown() -> list[str]:
    """The command lines of the page, in order."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return [re.split(r"\s{2,}#?|\s#", line)[0] for line in lines if line.strip()]


def test_the_page_shows_every_command_of_a_plugin_author() -> None:
    text = "\n".join(shown())
    for command in ("genbench new generator", "genbench check", "--plugin", "--sweep",
                    "pip install", "pytest", "genbench list generators"):  # fmt: skip
        assert command in text, command
    assert all(line.split()[0] in ("genbench", "pip", "pytest") for line in shown())


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(away: Away, tmp_path: Path) -> None:
    suite = glance(tmp_path).name
    for line in shown():
        words = shlex.split(line.replace("--suite digits --profile smoke", f"--suite {suite}"))
        if words[0] == "pip":  # as pip would, without asking an index for what is there
            away.install(tmp_path / words[-1])
            continue
        words = ["python", "-m", *words] if words[0] == "pytest" else words
        done = away.run(*words, cwd=tmp_path)
        assert done.code == 0, f"{line}\n{done.out}\n{done.err}"
    assert (tmp_path / "results" / "report" / "index.html").is_file()
    *_, snippet = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert snippet in (tmp_path / "mine" / "test_genbench_mine.py").read_text()


def test_the_page_tells_every_check() -> None:
    from genbench.testing.rules import RULES

    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+?) \|$", PAGE, re.MULTILINE))
    for rule in RULES.values():
        assert rows.get(rule.id) == rule.sentence, rule.id
