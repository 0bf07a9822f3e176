"""Check generators by name, file or class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from genbench.errors import ContractError, PluginError, UsageError
from genbench.plugins import GeneratorRef, Prober, file_and_class, from_files
from genbench.plugins import finding as plugins
from genbench.testing.examination import EXAMINED, examine, import_path
from genbench.testing.order import CHECK_SECONDS
from genbench.testing.results import CheckResult, Conformance


def check_generator(
    generator: type | str | Path,
    *,
    only: Sequence[str] = (),
    shape: tuple[int, ...] | None = None,
    seconds: float = CHECK_SECONDS,
) -> Conformance:
    """Check that a generator obeys the contract; for a test of your own.

    ::

        from genbench.testing.checking import check_generator

        def test_mine_obeys_the_contract():
            check_generator("mine")

    The generator runs in processes of its own: what it does there cannot harm the test.

    Parameters
    ----------
    generator
        A class at the top level of a module, the name of an installed generator, or
        ``FILE[:Class]``.
    only
        Ids of checks to make (keys of `RULES`), with those that they need; all if empty.
    shape
        The shape of the tiny data, such as ``(3, 32, 32)``, for a generator that takes no other.
    seconds
        A check that takes longer has failed.

    Raises
    ------
    ContractError
        If a check failed; the message names each and says what to do.
    UsageError, PluginError
        If there is no such generator.
    """
    with Prober(EXAMINED) as prober:
        refs = [_of_class(generator)] if isinstance(generator, type) else []
        path = import_path() if refs else ()
        refs = refs or resolve(str(generator), prober)
        if len(refs) > 1:
            names = ", ".join(ref.attr for ref in refs)
            raise UsageError(f"{generator} defines {names}: choose with FILE:Class")
        found = examine(refs[0], prober, only=only, shape=shape, seconds=seconds, path=path)
        report = Conformance(refs[0].name, refs[0].provider, tuple(found))
    failed = [r for r in report.results if r.status == "failed"]
    if failed:
        lines = [f"  {r.label}: {r.detail}\n    {r.sentence}" for r in failed]
        raise ContractError(
            "\n".join([f"generator {report.name!r} fails {len(failed)} of "
                       f"{len(report.results)} checks:", *lines])
        )  # fmt: skip
    return report


def check_all(
    what: str,
    prober: Prober,
    *,
    shape: tuple[int, ...] | None = None,
    seconds: float = CHECK_SECONDS,
    started: Callable[[GeneratorRef], None] = lambda ref: None,
    each: Callable[[CheckResult], None] = lambda result: None,
) -> list[Conformance]:
    """Check the generator of that name, or every one of ``FILE`` or the one of ``FILE:Class``.

    Parameters
    ----------
    started, each
        Called before each generator and after each check.

    Returns
    -------
    list[Conformance]
        One per generator. A file that does not import is one that failed the check ``import``.

    Raises
    ------
    UsageError, PluginError
        If there is no such name, file or class.
    """
    try:
        refs = resolve(what, prober)
    except PluginError as error:
        if not is_file(what) or not file_and_class(what)[0].is_file():
            raise
        result = CheckResult("import", None, "failed", str(error))
        each(result)
        return [Conformance(what, f"file {what}", (result,))]
    reports = []
    for ref in refs:
        started(ref)
        results = []
        for result in examine(ref, prober, shape=shape, seconds=seconds):
            each(result)
            results.append(result)
        reports.append(Conformance(ref.name, ref.provider, tuple(results)))
    return reports


def is_file(what: str) -> bool:
    """Whether this is ``FILE[:Class]`` and no name."""
    return ".py" in what or "/" in what


def resolve(what: str, prober: Prober) -> list[GeneratorRef]:
    """The generators that a name or ``FILE[:Class]`` stands for."""
    if is_file(what):
        return [ref for _, ref in from_files([what], prober)]
    return [plugins.find(what)]


def _of_class(cls: type) -> GeneratorRef:
    spec = getattr(cls, "spec", None)
    name = getattr(spec, "name", None)
    if not isinstance(name, str):
        raise UsageError(f"{cls.__name__} has no `spec`: give the class a GeneratorSpec")
    if "<locals>" in cls.__qualname__ or "." in cls.__qualname__ or cls.__module__ == "__main__":
        raise UsageError(
            f"{cls.__qualname__} cannot be found from another process: define it at the top level "
            "of a module"
        )
    file = Path(inspect.getfile(cls))
    return GeneratorRef(name, cls.__name__, f"module {cls.__module__} ({file.name})",
                        module=cls.__module__)  # fmt: skip
