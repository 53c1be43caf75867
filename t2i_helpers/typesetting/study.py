"""Numbers of the guidance study: rules, solvers, averages, encoders, losses, recognition."""

import statistics

from .number import SHORT, count, estimate, metrics, quantity, real, share, words
from .stored import STUDY


def guidance_rules(stored):
    """The study's rules on digits and photographs."""
    for dataset in ("mnist", "cifar10"):
        name = f"checkpoints/study/rules-{dataset}.jsonl"
        rows = stored.lines(name)
        prefix = f"Study{SHORT[dataset]}"
        for row in rows:
            rule, suffix = _rule(row["cell"]["guider"]), f"W{words(row['w'])}"
            source = f"{name}, {row['cell']['guider']}, w = {row['w']:g}"
            yield from metrics(prefix + rule + suffix, row, source)
            yield f"{prefix}{rule}{suffix}Passes", count(row["forward_passes"], source)
        yield from real(prefix, rows[0], name)
        yield f"{prefix}Samples", count(rows[0]["n"], name)


def _rule(guider) -> str:
    kind, *settings = guider.split()
    if kind == "interval":
        kind = "interval-sigma" if settings[0].startswith("sigma") else "interval-steps"
    return kind.replace("++", "-plus-plus").title().replace("-", "")


SOLVERS = {"ddpm": "Ddpm", "ddim": "Ddim", "ddim eta=0.5": "DdimHalf", "ddim eta=1": "DdimFull", "dpm++": "Dpm",
           "unipc": "Unipc", "heun": "Heun", "lms": "Lms", "euler": "Euler"}


def samplers(stored):
    """The study's solvers by number of steps, and where the steps lie."""
    name = "checkpoints/study/samplers.jsonl"
    for row in stored.lines(name):
        scheduler, steps = row["cell"]["scheduler"], f"S{words(row['cell']['steps'])}"
        kind, _, spacing = scheduler.partition(" spacing=")
        prefix = f"Spacing{SOLVERS[kind]}{spacing.title()}" if spacing else f"Samplers{SOLVERS[kind]}"
        source = f"{name}, {scheduler}, {row['cell']['steps']} steps"
        yield from metrics(f"{prefix}{steps}", row, source)
        yield f"{prefix}{steps}Samples", count(row["n"], source)
    yield "SamplersSamples", count(stored.lines(name)[0]["n"], name)
    yield "SamplersTrainingSteps", count(stored.lines(name)[0]["training_steps"], name)


AVERAGED = {"ablation-minilm": "Rising", "raw": "Raw", "ema-99": "NinetyNine", "ema-999": "Slow", "ema-9999": "Slowest"}


def averages(stored):
    """The study's averages of weights, and how the Fréchet distance of real images depends on n."""
    name = "checkpoints/study/averages.jsonl"
    for row in stored.lines(name):
        prefix = f"Averages{AVERAGED[row['cell']['checkpoint'].split('/')[-1]]}W{words(row['w'])}"
        yield from metrics(prefix, row, f"{name}, {row['cell']['checkpoint']}, w = {row['w']:g}")
    first = stored.lines(name)[0]
    yield from real("Averages", first, name)
    yield "AveragesSamples", count(first["n"], name)
    yield "AveragesTrainingSteps", count(first["training_steps"], name)
    drawn, file = stored.json("figures/study_frechet_n.json"), "figures/study_frechet_n.json"
    for dataset in ("mnist", "cifar10"):
        for n, values in zip(drawn["counts"], zip(*drawn[dataset]["frechet"])):
            source = f"{file}, {dataset}, mean of the draws of {n}"
            yield f"FrechetOf{words(n)}{SHORT[dataset]}", quantity(statistics.fmean(values), source)


WORDINGS = {"caption": "Caption", "7": "Digit", "the digit 7": "TheDigit", "a picture of the number 7": "Picture",
            "seven": "Seven", "a handwritten digit seven": "HandwrittenSeven"}


def encoders(stored):
    """The study's text encoders by wording."""
    name = "checkpoints/study/encoders.jsonl"
    for row in stored.lines(name):
        encoder = row["cell"]["checkpoint"].removeprefix("ablation-").title().replace("-", "")
        prefix = f"Encoders{encoder}{WORDINGS[row['cell']['wording']]}"
        yield from metrics(prefix, row, f"{name}, {row['cell']['checkpoint']}, {row['cell']['wording']!r}")
    yield "EncodersSamples", count(stored.lines(name)[0]["n"], name)


CRITICS = {"nobody: all of them": "All", "least blurry": "Blur", "nearest to the caption": "Caption"}


def experiments(stored):
    """Losses that guide, the best of fifteen, and the image-text model."""
    name = "checkpoints/study/losses.json"
    for row in stored.json(name, STUDY)["rows"]:
        prefix = f"Loss{row['loss'].title()}S{words(row['strength'])}"
        yield f"{prefix}Accuracy", estimate(row["accuracy"], f"{name}, {row['loss']}, s = {row['strength']:g}", True)
        yield f"{prefix}AtEnd", estimate(row["loss_at_end"], f"{name}, {row['loss']}, s = {row['strength']:g}")
    yield "LossSamples", count(stored.json(name)["rows"][0]["n"], name)
    name = "checkpoints/study/best-of.json"
    for row in stored.json(name, STUDY)["rows"]:
        prefix = f"BestOf{SHORT[row['dataset']]}{CRITICS[row['critic']]}"
        yield f"{prefix}Accuracy", estimate(row["accuracy"], f"{name}, {row['dataset']}, {row['critic']}", True)
        yield f"{prefix}Samples", count(row["n"], name)
    name = "checkpoints/image-text/evaluation.json"
    for dataset, told in stored.json(name)["zero_shot"].items():
        yield f"ZeroShot{SHORT[dataset]}", estimate(next(iter(told["taught"].values())), f"{name}, {dataset}", True)
        yield f"ZeroShotImages{SHORT[dataset]}", count(told["images"], name)


def recognition(stored):
    """When the classifier recognises what was asked for, for good, as a share of the steps."""
    for dataset in ("mnist", "cifar10"):
        name = f"checkpoints/{dataset}-improved/recognition.json"
        for row in stored.json(name, "run t2i figures")["rows"]:
            for seen, title in (("x_0", "Guess"), ("x_t", "Noisy")):
                found = row["recognised_for_good"][seen]
                prefix = f"Recognition{SHORT[dataset]}W{words(row['w'])}{title}"
                source = f"{name}, w = {row['w']:g}, {seen}"
                for quartile, value in zip(("Early", "Median", "Late"), found["quartiles"]):
                    yield f"{prefix}{quartile}", share(value, source, 0)
                yield f"{prefix}Images", count(found["images"], source)
            yield "RecognitionSamples", count(row["n"], name)


GROUPS = (guidance_rules, samplers, averages, encoders, experiments, recognition)
