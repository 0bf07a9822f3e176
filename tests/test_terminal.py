"""What a terminal gets: nothing that acts on it, in any encoding, and a quiet end if it closes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import genbench
from genbench.cli import main
from genbench.cli.output import harmless
from genbench.errors import UsageError, one_line, visible
from genbench.metrics.values import MetricValue
from genbench.results.store import Store, write_record
from tests import report_fixtures as fixtures
from tests.conftest import PLUGINS, TINY, Command, command

HOSTILE = (
    "[/x]",
    "[bold red]loud[/bold red] [link=https://example.invalid]here[/link]",
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31mred",
    "ok\rverdict: pass",
    "\u202egnp.exe\u2066",
    "x\n\nverdict: pass\n",
    ":smile: \x9b31m \u200b\U000e0041",
)
# Everything that moves, colours, hides or turns; written apart from the code that removes it.
ACTS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
TASK = "mnist@1.0.0-abc-standard"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5F{:02d}"


def hostile_results(root: Path) -> Path:
    """A row per hostile text in every field that a record may fill; returns one record."""
    Store(root).write_suite(TASK, fixtures.suite())
    for index, text in enumerate(HOSTILE):
        for seed in (0, 1):
            folder = root / TASK / f"g{index}~0" / f"seed-{seed}" / ULID.format(2 * index + seed)
            cell = fixtures.cell_of(text, text, seed, provider=text, params={text: text},
                                    passed={text: text})  # fmt: skip
            cell["generator"]["version"] = text
            fields: dict[str, Any] = {
                "metrics": {"fid": fixtures.metric("fid", 5.0 + index, seed),
                            text: MetricValue("ok", 1.0 + index, unit=text, signature=text),
                            "kid": MetricValue("failed", reason=text, signature=text)},
            }  # fmt: skip
            if seed and index % 2:
                error = {"phase": text, "type": text, "message": text, "traceback": text}
                fields |= {"status": "failed", "error": error}
            write_record(folder, fixtures.record(folder.name, cell, **fields))
    return folder / "record.json"


def typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object
) -> Any:
    """The exit code and the output of a command, with all that `main` does around it."""
    monkeypatch.setattr(sys, "argv", ["genbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "r"),
        ("report", "r", "-o", "site"),
        ("compare", "r", "other"),
        ("gate", "--baseline", "r", "--candidate", "other"),
        ("results", "verify", "r"),
        ("results", "merge", "r", "-o", "m"),
        ("results", "gc", "r"),
        ("results", "export", "r", "-o", "x.csv"),
        ("show", "RECORD"),
        ("show", "r", "--sweep"),
        ("show", HOSTILE[2]),
        ("run", "--suite", HOSTILE[0] + HOSTILE[3]),
        ("run", "--suite", "digits", "-g", f"vae:{HOSTILE[4]}=1"),
        ("score", "r", "--suite", "digits", "--name", HOSTILE[5]),
        (HOSTILE[5],),
        ("list", HOSTILE[2]),
    ],
    ids=lambda words: "-".join(str(w) for w in words[:2] if str(w).isidentifier()),
)
def test_no_stranger_acts_on_the_terminal(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    record = hostile_results(tmp_path / "r")
    hostile_results(tmp_path / "other")
    words = tuple(str(record) if word == "RECORD" else word for word in words)
    code, out, err = typed(capsys, monkeypatch, *words)
    assert code in (0, 2, 4, 5, 6), err
    assert not ACTS.search(out + err), ascii(ACTS.search(out + err))
    # A stranger's newline would let him write a verdict of his own.
    told = {line for line in out.splitlines() if line.startswith("verdict:")}
    assert len(told) == (words[0] == "gate")


def test_the_leaderboard_shows_brackets_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from genbench.cli.terminal import print_table

    hostile_results(tmp_path)
    print_table(tmp_path / TASK)
    out = capsys.readouterr().out
    assert "[/x]" in out
    assert "[bold red]loud[/bold red]" in out
    assert ":smile:" in out
    assert not ACTS.search(out)


@pytest.mark.slow
def test_a_plugin_that_shouts_is_told_in_one_harmless_line(
    run_genbench: Command, tmp_path: Path
) -> None:
    source = (PLUGINS / "normal.py").read_text()
    message = ascii("".join(HOSTILE))
    source = source.replace(
        "    def fit(",
        f"    def fit(self, train, run):\n        raise ValueError({message})\n\n    def unused(",
    )
    (tmp_path / "evil.py").write_text(source)
    done = run_genbench("run", "--suite", TINY, "--plugin", "evil.py", "--no-controls")
    assert done.code == 3, done.err
    assert "[/x]" in done.err
    assert not ACTS.search(done.out + done.err)
    assert not any(line.startswith("verdict") for line in done.err.splitlines())


@given(st.text())
def test_whatever_the_text_it_stays_one_line_that_does_nothing(text: str) -> None:
    line = harmless(text)
    assert not ACTS.search(line)
    assert len(line.splitlines()) <= 1
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    "name", ["模型", "נוסח", "e\u0301a\u0302", "میں\u200cہوں", "👩\u200d🔬", "naïve ±1"]
)
def test_names_of_every_script_stay_as_they_are(name: str) -> None:
    assert one_line(name) == name


def test_an_error_is_harmless_wherever_it_is_printed() -> None:
    assert str(UsageError("no suite \x1b]0;x\x07")) == "no suite \\x1b]0;x\\x07"


WRITERS = {"click.echo", "click.secho", "click.style", "click.clear", "print", "Console", "Table",
           "sys.stdout.write", "sys.stderr.write", "error.show"}  # fmt: skip


def test_one_module_writes_to_the_terminal() -> None:
    """What every text goes through cannot be forgotten in a new command."""
    found = []
    for file in sorted((Path(genbench.__file__).parent / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in WRITERS or name.endswith((".add_row", ".add_column", "console.print")):
                    found.append(f"{file.name}: {ast.unparse(node)}")
    allowed = ("output.py: ", "terminal.py: Console(stderr=True)", "results.py: click.clear()")
    assert [line for line in found if not line.startswith(allowed)] == []
    assert any(line.startswith("output.py: click.echo") for line in found)


# -- encodings and streams -----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_table_comes_out_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    for name in ("a", "b"):
        hostile_results(tmp_path / name)
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    done = subprocess.run(
        command(["compare", "a", "b"]), cwd=tmp_path, env=env, capture_output=True, check=False
    )
    text = done.stdout.decode(encoding)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert "equal" in text
    assert "[/x]" in text


@pytest.mark.parametrize(
    ("redirect", "reason"), [(">&-", "stdout is closed"), ("> /dev/full", "No space left")]
)
@pytest.mark.parametrize("words", [["list", "suites"], ["--help"], ["list", "--json"]])
def test_a_stdout_that_takes_nothing_is_one_line(
    tmp_path: Path, redirect: str, reason: str, words: list[str]
) -> None:
    if "full" in redirect and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    done = _shell(f'"$@" {redirect}', words, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert reason in done.stderr


@pytest.mark.parametrize("words", [["list"], ["--help"], ["show", "schema"], ["list", "--json"]])
def test_a_reader_who_leaves_ends_it_quietly(tmp_path: Path, words: list[str]) -> None:
    # The reader has gone before the first word is written.
    script = '{ sleep 0.3; "$@"; echo "exit code $?" >&2; } | true'
    done = _shell(script, words, tmp_path)
    assert done.stderr.strip() == "exit code 0"


def test_a_closed_stderr_takes_no_file_in_its_place(tmp_path: Path) -> None:
    hostile_results(tmp_path / "r")
    done = _shell('"$@" 2>&-', ["results", "export", "r", "-o", "x.csv"], tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "x.csv").read_text("utf-8").startswith("suite,")


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "genbench", "list", "suites"], cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "8gaussians" in done.stdout


def _shell(script: str, words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script, "bash", *command(words)], cwd=cwd,
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
