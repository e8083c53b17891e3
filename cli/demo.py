"""``polly-bulk demo``: the whole story, on real data, in a temporary folder."""

import time
from pathlib import Path

import click
import platformdirs
from rich.console import Console

from cli.demo_h5ad import h5ad_file
from cli.demo_stage import Stage, stage
from cli.demo_story import tell

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@click.command(name="demo")
@click.option(
    "--h5ad",
    type=click.Path(path_type=Path),
    help="The real h5ad, where it cannot be fetched.",
)
@click.option(
    "--shared",
    type=click.Path(file_okay=False, path_type=Path),
    default=SHARED,
    help="Folder with more real data sets; used where it exists.",
)
@click.option("--keep", is_flag=True, help="Leave the servers and the folder as they are.")
def command(h5ad: Path | None, shared: Path, *, keep: bool) -> int:
    """Watch a bulk migration of real metadata: planned, applied, killed, resumed, verified.

    Starts an atlas and a Prefect server in a temporary folder, fills the atlas with real data sets
    and takes everything away again.
    """
    started = time.monotonic()
    cache = Path(platformdirs.user_cache_dir("polly-bulk", appauthor=False))
    with Console(stderr=True).status("finding the real h5ad in the cache, or fetching it"):
        cells = h5ad_file(cache, given=h5ad).absolute()
    with stage(keep=keep, on_kept=_say_kept) as play:
        tell(play, cells, shared.absolute())
        click.echo(f"\nall of it took {time.monotonic() - started:.0f} s")
    return 0


def _say_kept(play: Stage) -> None:
    click.echo("\nleft running; to look around from another terminal:")
    click.echo(play.exports())
    click.echo("to end it:")
    click.echo("polly-bulk prefect stop")
    click.echo(f"kill {' '.join(map(str, play.pids()))}; rm -r {play.folder}")
