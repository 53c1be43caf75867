"""Every figure and table of the report, one after the other, from the checkpoints that ship."""

from .. import presets
from ..data import load_images
from ..models import load_pipeline
from . import cifar10, mnist
from .evaluations import measured
from .export import export
from .tables import comparison_table, export_table, guidance_table, metrics_table


def draw_everything(size: str):
    """Write all of them; yields a line on each as soon as it is there."""
    evaluations = {}
    for dataset, room in (("mnist", mnist), ("cifar10", cifar10)):
        preset = presets.get(dataset, "improved", size)
        pipes = {variant: load_pipeline(dataset, variant) for variant in presets.VARIANTS}
        evaluations[dataset] = {variant: measured(pipe) for variant, pipe in pipes.items()}
        for shown in room.all_figures(pipes, load_images(preset), preset, evaluations[dataset]):
            export(shown, size)
            yield f"{shown.name}.{shown.format}  {shown.facts['wall_seconds']} s"
    for table in all_tables(evaluations):
        export_table(table, size)
        yield f"{table.name}.tex"


def all_tables(evaluations: dict):
    """Tables 1 and 2, MNIST's twin of Table 1, and all metrics of each checkpoint."""
    yield guidance_table("table01_cifar10", evaluations["cifar10"])
    yield comparison_table("table02_comparison", evaluations)
    yield guidance_table("mnist_guidance", evaluations["mnist"])
    for dataset, found in evaluations.items():
        for variant, evaluation in found.items():
            yield metrics_table(f"{dataset}_{variant}_metrics", variant, evaluation)
