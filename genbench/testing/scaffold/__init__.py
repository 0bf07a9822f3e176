"""Files to start from: ``genbench new``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from string import Template

from genbench.errors import UsageError
from genbench.plugins import finding as plugins

_MODULE, _OF_TEXTS = "module.py.txt", "texts.py.txt"


def new_generator(name: str, parent: Path, *, texts: bool = False) -> list[Path]:
    """Write a plugin package for a generator into the new folder ``parent / name``.

    It has a ``pyproject.toml``, one module with a generator that works for images, points and
    sounds, or with `texts` for these, and a test; it passes ``genbench check`` as it stands.

    Parameters
    ----------
    name
        The generator's name, ``[a-z0-9][a-z0-9-]*``, at most 64 characters.

    Returns
    -------
    list[Path]
        The files, the module second.

    Raises
    ------
    UsageError
        If the name cannot be used or is taken, or the folder exists or cannot be written.
    """
    _require_usable(name)
    folder = parent / name
    words = _words(name)
    sources = {
        "pyproject.toml": "pyproject.toml.txt",
        "$module.py": _OF_TEXTS if texts else _MODULE,
        "test_$module.py": "test.py.txt",
    }
    written = {
        Template(file).substitute(words): Template(_template(source)).substitute(words)
        for file, source in sources.items()
    }
    try:
        folder.mkdir(parents=True)
        for file, text in written.items():
            (folder / file).write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(
            f"{folder} exists: choose another name, or another place with --dir"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from error
    return [folder / file for file in written]


def _require_usable(name: str) -> None:
    if not plugins.NAME.fullmatch(name) or name.endswith("-"):
        raise UsageError(
            f"{name!r} is no name for a generator: use lower case letters, digits and - , "
            "such as my-gan"
        )
    owners = plugins.installed().get(name)
    if owners:
        raise UsageError(
            f"{name!r} is taken by {owners[0].provider}: two generators of one name are refused"
        )


def _words(name: str) -> dict[str, str]:
    """The values of ``$name``, ``$module`` and ``$cls`` in the templates."""
    camel = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        # The prefix keeps a generator called json from hiding Python's own.
        "module": "genbench_" + name.replace("-", "_"),
        "cls": camel if camel.isidentifier() else f"Generator{camel}",
    }


def _template(name: str) -> str:
    return (resources.files("genbench.testing.scaffold") / "generator" / name).read_text(
        encoding="utf-8"
    )
