"""Every figure and table of the report, one after the other, from the checkpoints that ship."""

from .. import presets
from ..data import load_images
from ..errors import SourceUnavailable
from ..models import load_pipeline
from . import cifar10, inside, losses, mnist, networks, rules, samplers, wikiart
from .conventions import convention_table, conventions
from .evaluations import load_or_evaluate, load_or_measure_composition
from .export import export
from .setup import setup_table, trained_table
from .tables import comparison_table, configuration_table, export_table, guidance_table, metrics_table


def draw_everything(size: str):
    """Write all of them; yields a line on each as soon as it is there, or on why one of real images is not."""
    pipes = {dataset: {variant: load_pipeline(dataset, variant) for variant in presets.VARIANTS}
             for dataset in presets.DATASETS}
    evaluations = {dataset: {variant: load_or_evaluate(pipe) for variant, pipe in found.items()}
                   for dataset, found in pipes.items()}
    digits, photographs, paintings = (presets.get(dataset, "improved", size) for dataset in pipes)
    for shown in mnist.all_figures(pipes["mnist"], load_images(digits), digits):
        yield _written(shown, size)
    try:
        yield _written(cifar10.dataset_samples(load_images(photographs), photographs), size)
    except SourceUnavailable as error:
        yield f"cifar10_dataset.png is left as it is: {error}"
    for shown in cifar10.all_figures(pipes["cifar10"], photographs.sample_steps, evaluations["cifar10"]):
        yield _written(shown, size)
    for shown in wikiart.all_figures(pipes["wikiart"], paintings.sample_steps):
        yield _written(shown, size)
    try:
        for shown in wikiart.figures_of_paintings(pipes["wikiart"]["improved"], paintings):
            yield _written(shown, size)
    except SourceUnavailable as error:
        yield f"figures of real paintings are left as they are: {error}"
    for shown in study_figures(pipes["mnist"]["improved"], pipes["cifar10"]["improved"], digits.sample_steps):
        yield _written(shown, size)
    for table in all_tables(pipes, evaluations):
        export_table(table, size)
        yield f"{table.name}.tex"


def _written(shown, size) -> str:
    export(shown, size)
    return f"{shown.name}.{shown.format}  {shown.facts['wall_seconds']} s"


def study_figures(digits, objects, steps):
    """The figures of notebook 04, drawn live by `digits` and `objects` or from the stored study."""
    few = max(2, steps // 2)                       # with one, no step would lie in the interval of one of the rules
    yield conventions(digits, few)
    yield from rules.all_figures(digits, objects, few)
    yield from losses.all_figures(objects, steps)
    yield from samplers.all_figures(digits, steps)
    yield from networks.all_figures()
    yield from inside.all_figures(digits, objects, steps)


def all_tables(pipes: dict, evaluations: dict):
    """Tables 1 to 4, Table 1's twins of the other datasets, all metrics of each checkpoint, the study's, the setup."""
    yield guidance_table("table01_cifar10", evaluations["cifar10"])
    yield comparison_table("table02_comparison", {name: evaluations[name] for name in ("mnist", "cifar10")})
    yield wikiart.stored_loader_table()
    yield configuration_table("table04_comparison")
    yield wikiart.composition_table(load_or_measure_composition(pipes["wikiart"]["improved"]))
    for dataset in ("mnist", "wikiart"):
        yield guidance_table(f"{dataset}_guidance", evaluations[dataset])
    for dataset, found in evaluations.items():
        for variant, evaluation in found.items():
            yield metrics_table(f"{dataset}_{variant}_metrics", variant, evaluation)
    yield convention_table()
    yield from rules.all_tables()
    yield samplers.spacing_table()
    yield mnist.noise_table()
    yield trained_table()
    yield losses.best_of_table()
    yield setup_table()
