"""``genbench export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.output import echo

if TYPE_CHECKING:
    from genbench.export import Exported


@click.command()
@click.argument("generator", metavar="NAME[:k=v,...]")
@options.suite_name(help="The suite it was trained on.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx", "torchscript", "safetensors"]),
    help="Write this format; default: the one that the suffix of --out says.",
)
@options.out(help="Write this file: .onnx, .pt (torchscript) or .safetensors.")
@options.plugins(help="As in `run`.")
@options.profile()
@options.seed(help="Export the training with this seed.")
@click.option("--overwrite", is_flag=True, help="Replace a file that lies at --out.")
@options.results(help="Take the trained generator from here.")
@options.no_sandbox(help="Let the generator write wherever you may write.")
def export(
    generator: str,
    suite_name: str,
    format_: str | None,
    out: Path,
    plugins: tuple[str, ...],
    profile: str | None,
    seed: int,
    overwrite: bool,
    results: Path,
    no_sandbox: bool,
) -> int:
    """Write the sampler of a generator that `run` trained into one file.

    onnx and torchscript hold a network, for use without genbench: noise, float32 (n, k) from a
    standard normal, and labels, int64 (n,) where the suite has classes, to x: uint8 images
    (n, C, H, W) or float32 points (n, d), for any n. Before it is written, the file is tried
    beside the generator on the same noise. safetensors holds the weights by name, of any
    generator, for genbench to load. All say in their metadata what they are and what they were
    trained on, and `genbench score` takes all of them.

    \b
    Examples
      genbench export vae --suite mnist -o vae.onnx
      genbench export gan:latent=32 --suite mnist --seed 1 --format torchscript -o gan.pt
      genbench score vae.onnx --suite mnist
    """
    from genbench.export import export as write

    made = write(
        generator,
        suite_name,
        out,
        asked=format_,
        plugins=plugins,
        profile=profile,
        seed=seed,
        results=results,
        overwrite=overwrite,
        sandbox=not no_sandbox,
    )
    _print(made, suite_name)
    return 0


def _print(made: Exported, suite: str) -> None:
    header, space = made.header, made.header.space
    row = ", ".join(map(str, space.shape))
    if header.format == "safetensors":
        echo(f"{header.generator} {header.version}, seed {header.seed}: its weights by name")
    else:
        labels = ", labels int64 (n,)" if header.labels else ""
        taken = f"noise float32 (n, {header.noise_size}){labels}"
        echo(f"{header.module}: {taken} -> x {space.dtype} (n, {row})")
        unit = "grey levels" if space.levels else "units"
        gap = f", by {made.largest:.3g} {unit} at most" if made.different else ""
        echo(f"tried: {made.different:,} of {made.values:,} values differ from torch's{gap}")
    echo(f"{made.file}: {made.bytes:,} bytes")
    echo(f"next: genbench score {made.file} --suite {suite}")
