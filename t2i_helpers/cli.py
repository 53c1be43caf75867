"""`t2i COMMAND`. Heavy libraries are imported inside the commands, so that `t2i --help` answers at once."""

import dataclasses
import inspect
import io
import json as json_module
import os
import sys
from pathlib import Path
from typing import Annotated

import tyro

from . import presets
from .errors import BadCheckpoint, BadData, BadValue, OutputError, T2IError, check_name, one_line
from .paths import INSTALLED, ROOT, RUNS, atomic_write, check_repository, check_writable, checkpoint_dir
from .provenance import best_device, record, write_json

Argument = Annotated[str, tyro.conf.Positional]
OptionalArgument = Annotated[str | None, tyro.conf.Positional]
Scheduler = Annotated[str | None, tyro.conf.arg(help="ddpm, ddim, dpm++, unipc, heun, lms or euler, and its settings, "
                                                     'such as "ddim eta=0.5" or "dpm++ spacing=trailing".')]
Guider = Annotated[str, tyro.conf.arg(help='the guidance rule and its parameters, such as "apg", "interval '
                                           'sigma_max=5" or "auto weak=FOLDER".')]


def doctor(json: bool = False) -> None:
    """Describe this machine: device, versions, data and model sources, and which sizes run.

    Args:
        json: print JSON.
    """
    import yaml

    from .models.sources import describe_machine

    machine = describe_machine()
    print(json_module.dumps(machine, indent=2) if json else yaml.safe_dump(machine, sort_keys=False))


def train(dataset: Argument, /, variant: str = "improved", size: str = "demo", out: Path | None = None,
          max_steps: int | None = None, loader: str = "store", source: str | None = None, encoder: str | None = None,
          seed: int | None = None, data: Path | None = None, caption: str | None = None,
          resolution: int | None = None, accumulate: int = 1, on_nan: str = "stop", start: Path | None = None,
          track: str | None = None, slurm: str | None = None) -> None:
    """Train a model. The same command again resumes; Ctrl-C leaves a usable checkpoint.

    Args:
        dataset: mnist, cifar10, wikiart or fashion; or own, for the images of --data.
        variant: thesis or improved (fashion and own: improved).
        size: full, demo or smoke.
        out: the run's folder [checkpoints/runs/DATASET-VARIANT-SIZE, of own images own-DATA-SIZE].
        max_steps: total number of steps after which training stops.
        loader: store, decoded images in memory; or stream, WikiArt's files in bounded memory (wikiart thesis).
        source: hub, embedded (mnist) or procedural (the others) [the size's data source].
        encoder: clip, minilm, bert or a local folder [the size's].
        seed: of weights, order and noise [422, the thesis's].
        data: own images: a folder with one sub-folder a class, or a CSV or Parquet file with columns image and caption.
        caption: own images: the caption of a class, {} for the folder's name ["A photo of a {}"].
        resolution: own images: pixels a side, a multiple of 8 up to 4096 [32; full 64].
        accumulate: parts of a batch that are computed in turn, for GPUs with little memory.
        on_nan: what to do where the loss is NaN: stop, or skip the step (slower).
        start: a checkpoint of the same kind of network, to begin with its weights instead of random ones.
        track: also log to tensorboard, trackio, mlflow or another of accelerate's trackers, if it is installed.
        slurm: submit this command to a SLURM cluster, such as "partition=gpu,gpus=4,time=600" (minutes).
    """
    own, name = dataset == "own", f"{dataset}-{variant}-{size}"
    if own != (data is not None) or not own and (caption or resolution) or own and source:
        raise BadValue("own images: t2i train own --data PATH, no --source; only they take --caption and --resolution")
    preset = presets.get(dataset, variant, size)
    if own:
        from .data import own_preset

        preset, name = own_preset(data, size, caption, resolution), f"own-{data.resolve().stem}-{size}"
    changes = {"data_source": source, "text_encoder": encoder, "seed": seed}
    preset = dataclasses.replace(preset, **{name: value for name, value in changes.items() if value is not None})
    out = out or RUNS / name
    if slurm is not None and "SUBMITIT_EXECUTOR" not in os.environ:         # submitit sets it: the job trains
        from .training.slurm import submit

        job = submit(sys.argv[1:], slurm, out.with_name(f"{out.name}-jobs"))
        return print(f"job {job.job_id}, its script and logs are in {job.paths.folder}")
    from .training import train as run_training

    run = run_training(preset, out, loader=loader, max_steps=max_steps, accumulate=accumulate, on_nan=on_nan,
                       start=start, track=track)
    print(f"{run.metrics()[-1]['step']} steps, checkpoint in {run.folder}")


def sample(dataset: OptionalArgument = None, /, prompt: tuple[str, ...] = (), out: Path | None = None,
           checkpoint: Path | None = None, w: tuple[float, ...] = (2.0,), guider: Guider = "cfg",
           negative: str | None = None, steps: int | None = None, scheduler: Scheduler = None,
           seed: int | None = None, bf16: bool = False) -> None:
    """Draw a grid of prompts (rows) and guidance scales (columns); the images of a row start from the same noise.

    Args:
        dataset: mnist, cifar10, wikiart or fashion [that of --checkpoint].
        prompt: one or more texts, such as "A handwritten digit 5".
        out: the PNG to write.
        checkpoint: a checkpoint folder [the shipped `improved` one].
        w: guidance scales of eps_null + w (eps_cond - eps_null).
        negative: a text to guide away from, instead of the empty caption.
        steps: sampling steps, 1 to 1000.
        seed: of the first prompt's noise; each further prompt adds one [the preset's].
        bf16: let the network compute in bfloat16; faster on GPUs and on processors with AMX or AVX512-BF16.
    """
    if out is None or out.suffix.lower() != ".png":
        raise OutputError(f"--out {out or 'is missing'}: name a file that ends in .png")
    if not prompt or not w:
        raise BadValue('give at least one text to --prompt, such as "A handwritten digit 5", and one scale to --w')
    pipe = _pipeline(dataset, checkpoint)
    check_writable(out)
    import torch
    from torchvision.utils import make_grid, save_image

    from .data import image_source_label

    if bf16:
        pipe.unet.bfloat16()
    first = pipe.preset.seed if seed is None else seed
    # a locale without UTF-8 leaves a text's bytes apart
    *prompts, against = (text.encode(errors="surrogateescape").decode(errors="surrogateescape")
                         for text in (*prompt, negative or ""))
    settings = dict(negative=negative and against, steps=steps, scheduler=scheduler,
                    seeds=range(first, first + len(prompts)))
    columns = [pipe(prompts, guider=rule, **settings).images
               for rule in [pipe.make_guider(guider, scale) for scale in w]]     # refuses a scale before drawing
    images = torch.stack(columns, 1).flatten(0, 1).cpu()                         # [prompts * scales, c, h, w]
    images = torch.nn.functional.interpolate(images, scale_factor=max(1, 128 // images.shape[-1]))   # to be legible
    with atomic_write(out) as temporary:
        save_image(make_grid(images, nrow=len(w), padding=4, pad_value=1.0), temporary)
    source = image_source_label(pipe.preset.data_source)
    print(f"{len(images)} images in {out}; trained on {source}; text: {pipe.encoder_label}")
    if negative is not None and guider.split()[0] not in ("cfg-original", "cfg++"):
        notes = {1.0: "at w = 1 --negative has no effect", 0.0: "at w = 0 --negative alone is drawn, and no --prompt"}
        if notes := [note for scale, note in notes.items() if scale in w and (scale or guider == "cfg")]:
            print(f"note: {'; '.join(notes)}", file=sys.stderr)


def evaluate(dataset: OptionalArgument = None, /, checkpoint: Path | None = None,
             w: tuple[float, ...] = (0.0, 1.0, 2.0, 5.0), samples: int | None = None, steps: int | None = None,
             scheduler: Scheduler = None, guider: Guider = "cfg", also: tuple[str, ...] = (),
             inception_weights: Path | None = None, reference: Path | None = None, size: str = "demo",
             stale: bool = False, json: Path | None = None, data: Path | None = None) -> None:
    """Measure quality and prompt adherence at each guidance scale, beside the same number of real images.

    The images are cached under data/samples: the same command again draws nothing, and an interrupted one resumes.
    `t2i evaluate study` measures the missing results of the guidance study.

    Args:
        dataset: mnist, cifar10, wikiart or fashion [that of --checkpoint]; or study, whose only options are --size and
            --stale.
        checkpoint: a checkpoint folder [the `improved` one of --size].
        w: guidance scales.
        samples: images a scale [200, of own images at most as many as are held out].
        steps: sampling steps, 1 to 1000.
        also: further judges: efficientnet (paintings always have it), and, if their weights can be fetched, inception
            (FID), imagenet (the thesis's ResNet-18) and clip.
        inception_weights: pytorch-fid's weights file, instead of the mirror's or the network's.
        reference: a safetensors file of real images' Inception features, instead of the test set.
        size: demo, for the checkpoints that ship, or full, for your own runs.
        stale: measure results of the study again that other code made; takes hours.
        json: also write the table to this file.
        data: own images, if they were moved since the training.
    """
    arguments = locals()
    if dataset == "study":
        parameters = inspect.signature(evaluate).parameters
        if any(arguments[name] != parameters[name].default for name in arguments.keys() - {"dataset", "size", "stale"}):
            raise BadValue("the study defines what is drawn: give no options but --size and --stale")
        from .evaluation.study import run_study

        return run_study(size=size, stale=stale)
    if stale:
        raise BadValue("--stale is for t2i evaluate study: leave it out")
    pipe = _pipeline(dataset, checkpoint, size)
    if data is not None:
        pipe.preset = dataclasses.replace(pipe.preset, data_source=str(data.resolve()))
    if json is not None:
        check_writable(json)
    from .evaluation import evaluate as run_evaluation

    evaluation = run_evaluation(pipe, w, samples, steps=steps, scheduler=scheduler, guider=guider, also=also,
                                inception_weights=inception_weights, reference=reference)
    if json is not None:
        write_json(json, evaluation)
    for row in evaluation["rows"]:
        print(f"w = {row['w']:g}, n = {row['n']}", *_metric_lines(row), sep="\n")


def bench(what: Argument = "sample", dataset: Argument = "mnist", /, rounds: int = 3, images: int = 64,
          steps: int | None = None, size: str = "demo", files: int = 4, rows: int = 1100, seconds: float = 60.0,
          json: Path | None = None) -> None:
    """Measure the speed of this machine, this package's beside that of the loops that people write.

    Args:
        what: sample or train; or loader, ways to read WikiArt's files.
        dataset: mnist or cifar10.
        rounds: how often each way to sample or train is timed.
        images: to sample in a round.
        steps: of training in a round [12], or of the slow ways to sample [50].
        size: of the training's preset: demo, or full on a GPU.
        files: Parquet files that loader writes under data/ and reads, 450 MB each at 1,100 rows.
        rows: paintings a file; from 1,000 on, the result becomes the report's Table 3.
        seconds: the longest that loader measures one way.
        json: also write the rows to this file.
    """
    check_name("benchmark", what, ("sample", "train", "loader"))
    check_name("dataset", dataset, ("mnist", "cifar10"))
    if not (ROOT / "benchmarks").is_dir():
        raise BadData(f"{ROOT / 'benchmarks'} is missing: run the benchmark in a clone of the repository")
    if json is not None:
        check_writable(json)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    if what == "loader":
        from loading import bench_loader

        measured = bench_loader(files, rows, seconds)
    else:
        from speed import bench_speed

        measured = bench_speed(what, dataset, rounds, images, steps or (50 if what == "sample" else 12), size)
    result = record(best_device(), **measured)
    if json is not None:
        write_json(json, result)
    failed = result.get("failed")
    # files as large as WikiArt's: fit for the report
    if what == "loader" and rows >= 1000 and not failed and not INSTALLED:
        from .reporting.exhibits import export
        from .reporting.wikiart import loader_table

        print(f"written: {export(loader_table(result), 'demo').name}.tex and .json in report/generated")
    for row in result["rows"]:
        print(row["way"], *(f"{name} {_short(value)}" for name, value in row.items()
                            if name != "way" and value is not None), sep="  ")
    if failed:
        raise BadData(f"{', '.join(failed)} could not be measured: Table 3 is left as it is")


def data(what: Argument, /, source: str | None = None, out: Path | None = None, to: Path | None = None, size: int = 128,
         workers: int = 2) -> None:
    """Prepare data: decode WikiArt once, or copy datasets and text encoders from the hub for machines without it.

    Args:
        what: build-wikiart or mirror (with --to).
        source: a folder or fsspec URL of WikiArt's Parquet files [those that training at full size reads].
        out: the folder of decoded paintings, with --source; the same command again resumes.
        to: the folder to set T2I_MIRROR to.
        size: pixels a side.
        workers: processes.
    """
    check_name("kind of data", what, ("build-wikiart", "mirror"))
    if what == "build-wikiart":
        if (source is None) != (out is None):
            raise BadValue("give build-wikiart --source, Parquet files, and --out, a folder for the pixels; or neither")
        from .data import PixelStore, painting_store

        full = dataclasses.replace(presets.get("wikiart", size="full"), resolution=size)
        store = PixelStore.build(source, out, size, workers) if source else painting_store(full, workers=workers)
        print(f"{len(store):,} paintings in {store.folder}, {len(store.manifest['rejected'])} rejected")
    else:
        if to is None:
            raise BadValue("mirror needs --to, the folder to set T2I_MIRROR to")
        from .models.sources import mirror_to

        print(*mirror_to(to), sep="\n")


def figures(size: str | None = None) -> None:
    """Execute the notebooks in place: they draw every figure and table, into figures/ and report/generated/.

    Args:
        size: demo; full, which trains what is missing; or smoke, which writes into build/ [T2I_SIZE, else demo].
    """
    size = size or os.environ.get("T2I_SIZE", "demo")
    presets.get("mnist", size=size)
    check_repository()
    from .reporting.notebooks import execute_notebooks

    for path in execute_notebooks(size):
        print(f"executed: {path}")


def report(pdf: bool = False, check: bool = False) -> None:
    """Write the results and numbers of the LaTeX report into report/generated, and typeset it.

    A finding that does not hold, and a figure, table or result that is stale, are listed and marked in the margin.

    Args:
        pdf: also typeset report/main.pdf, if LaTeX is installed.
        check: write nothing; list what does not hold or is stale, and exit 1 if there is any.
    """
    check_repository()
    from .reporting.report import INSTALL, build_pdf, find_changed, has_latex, read_report, write_report

    try:
        content = read_report(ROOT)
    except T2IError as error:
        if not check:
            raise
        sys.exit(f"t2i: {error}")                # exit status 1
    problems = content.problems + (find_changed(ROOT, content) if check else [])
    print("\n".join(problems) or "all findings hold, and all figures, tables and results are fresh")
    if check:
        sys.exit(1 if problems else 0)
    write_report(ROOT, content)
    if pdf:
        print("\n".join([*build_pdf(ROOT), "written: report/main.pdf"]) if has_latex() else INSTALL)


def main(arguments: list[str] | None = None) -> None:
    """Run one command. A T2IError is printed as one line on stderr; that and a usage error exit with status 2."""
    commands = doctor, train, sample, evaluate, data, bench, figures, report
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")      # a terminal without UTF-8
    try:
        tyro.extras.subcommand_cli_from_dict(
            {command.__name__: command for command in commands}, prog="t2i", args=arguments, description=
            "Text-to-image diffusion with classifier-free guidance: train, sample, evaluate, draw the figures.")
        sys.stdout.flush()
    except T2IError as error:
        print(f"t2i: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:                                    # the reader, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)                                          # as a shell reports SIGPIPE
    except OSError as error:
        if not error.errno:                                    # it is not about this machine's files or network
            raise
        print(f"t2i: {one_line(error)}: check its name, its permissions and the disk's space", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"t2i: {interrupt or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _pipeline(dataset, checkpoint, size="demo"):
    """The pipeline of `checkpoint` or of the dataset's `improved`; BadCheckpoint if it is of another dataset."""
    if dataset is not None:
        presets.get(dataset, size=size)
        checkpoint = checkpoint or checkpoint_dir(dataset, "improved", size)
    elif checkpoint is None:
        raise BadValue("name a dataset (mnist, cifar10 or wikiart) or a --checkpoint")
    from .models import load_pipeline

    pipe = load_pipeline(str(checkpoint))
    if dataset is not None and pipe.preset.dataset != dataset:
        raise BadCheckpoint(f"{checkpoint} was trained on {pipe.preset.dataset}, not {dataset}: correct one of them")
    return pipe


def _metric_lines(metrics, judge=""):
    """Metrics as text: each with its interval, beside that of real images."""
    for name, metric in metrics.items():
        if isinstance(metric, dict) and "interval" in metric:
            real = f"real {_short(metric['real'])}" if metric.get("real") else ""
            yield f"  {judge + name.replace('_', ' '):28} {_short(metric):28} {real}".rstrip()
        elif isinstance(metric, dict):
            yield from _metric_lines(metric, f"{name} ")


def _short(value) -> str:
    """A number, a pair of numbers, or a metric as "0.98 [0.96, 0.99]"."""
    if isinstance(value, dict):
        return f"{value['value']:.4g} {_short(value['interval'])}"
    return f"{value:.4g}" if isinstance(value, int | float) else f"[{', '.join(map(_short, value))}]"


if __name__ == "__main__":              # accelerate launch -m t2i_helpers.cli train ...
    main()
