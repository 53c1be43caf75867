"""The experiments of notebook 5, on Fashion-MNIST and on butterflies. Each trains the networks that are missing, and
returns JSON with the hash of the weights that it depends on."""

import dataclasses
import timeit

import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector

from .. import presets
from ..data import LabelledImages, class_names, from_uint8, load_images
from ..diffusion import make_scheduler
from ..models import load_pipeline
from ..paths import RUNS
from ..randomness import generator
from ..training import Run, train, training_loss
from .classifiers import classifier_hash, load_classifier, predict
from .evaluate import evaluate
from .experiments import CANDIDATES, critic_rows
from .features import real_features
from .metrics import frechet_distance, mean_estimate, proportion
from .paintings import train_probe
from .samples import draw_samples, experiment_record

VALIDATED = 1000
SAMPLES = 260                     # images that are compared: more than twice the classifier's 128 features
STEPS = {"full": 2000, "demo": 300}               # of the networks that are compared with each other
VARIATIONS = {                    # what they change in the preset
    "with skip connections": {},
    "without skip connections": {"network": "class-unet-without-skips"},
}
SHORT = {"beta_start": 1e-4, "beta_end": 0.02}    # the usual betas, which are those of 1,000 steps
SAMPLERS = (("ddpm", 100), ("ddim", 40), ("ddim", 10), ("ddim", 5), ("ddpm", 10))
SCALES = (0.0, 1.0, 2.0, 5.0)
DECAYS = {"raw": 0.0, "ema-0.999": 0.999, "ema-0.9999": 0.9999, "ema-0.99999": 0.99999}
RATES, TUNING_STEPS, GUIDED = (1e-7, 1e-4), 40, 3.0
PROBED = 5000
SIX, DRAWS = 6, 400


def _result(pipe, **content) -> dict:
    return experiment_record(pipe, "evaluation.classifiers", "evaluation.fashion",
                             classifier_sha256_16=classifier_hash("fashion"), **content)


def trained(preset, name: str, **options):
    """The network of the run NAME-SIZE, which is trained if it is missing; `options` are those of `train`."""
    return load_pipeline(train(preset, RUNS / f"{name}-{preset.size}", **options).folder)


def _row(pipe, w=1.0, steps=10, scheduler="ddim") -> dict:
    """Accuracy and Frechet distance of SAMPLES images, each beside real ones."""
    (row,) = evaluate(pipe, [w], SAMPLES, steps=steps, scheduler=scheduler)["rows"]
    return {"w": w, "n": SAMPLES, "accuracy": row["accuracy"], "frechet": row["classifier"]["frechet"]}


@torch.inference_mode()
def validation_loss(pipe, images: LabelledImages, n: int = VALIDATED, **betas) -> dict:
    """The training loss on the first `n` held-out images, without dropped captions or weights of noise levels. Noise
    and timesteps are the same for every network. With other `betas`, settings of a preset, the network is asked about
    their noise levels: each at the timestep where it knows the nearest one."""
    preset, table, losses = pipe.preset, pipe.embed(pipe.captions)[0], []
    scheduler, other = (make_scheduler(dataclasses.replace(preset, **changes), "ddpm") for changes in ({}, betas))
    nearest = (other.alphas_cumprod[:, None] - scheduler.alphas_cumprod).abs().argmin(1)           # [T], of timesteps
    for i, (part, labels) in enumerate(zip(images.images[:n].split(50), images.labels[:n].split(50))):
        rng = generator("validation", 50 * i)
        noise = torch.randn(part.shape, generator=rng).to(pipe.device)
        t = nearest[torch.randint(preset.train_timesteps, (len(part),), generator=rng)].to(pipe.device)
        x_0 = from_uint8(part, preset.pixel_range).to(pipe.device)
        losses.append(training_loss(pipe.unet, scheduler, x_0, table[labels], noise, t))
    return mean_estimate(torch.stack(losses))


def variations(pipe) -> dict:
    """VARIATIONS after the same number of steps, and `pipe`: validation loss, accuracy, Frechet distance."""
    size, images = pipe.preset.size, load_images(pipe.preset, "test")
    networks = {name: trained(dataclasses.replace(pipe.preset, **changes), f"fashion-{name.replace(' ', '-')}",
                              max_steps=STEPS[size]) for name, changes in VARIATIONS.items()}
    return _result(pipe, rows=[
        {"variant": name, "training_steps": Run(network.folder).metrics()[-1]["step"],
         "validation_loss": validation_loss(network, images),
         "loss_at_usual_betas": validation_loss(network, images, **SHORT), **_row(network)}
        for name, network in (networks | {"trained on": pipe}).items()])


def scales(pipe) -> dict:
    """Quality at each of SCALES."""
    return _result(pipe, rows=[_row(pipe, w) for w in SCALES])


def samplers(pipe) -> dict:
    """Quality and seconds of each of SAMPLERS."""
    def seconds(scheduler, steps):
        return min(timeit.repeat(lambda: pipe(pipe.captions, w=1.0, steps=steps, scheduler=scheduler,
                                              seeds=range(len(pipe.captions))), number=1, repeat=2))

    return _result(pipe, rows=[{"scheduler": scheduler, "steps": steps, "time_s": seconds(scheduler, steps),
                                **_row(pipe, 1.0, steps, scheduler)} for scheduler, steps in SAMPLERS])


def sharpness(images: torch.Tensor) -> torch.Tensor:
    """The mean absolute Laplacian of each of `images` uint8 [n, 1, h, w], float32 [n]."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return F.conv2d(from_uint8(images, (0, 1)), kernel).abs().mean((1, 2, 3))


def critic_scores(preset, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """`experiments.critic_scores` without an image-text model, for uint8 `images` [n, 1, h, w]: float [n] in [0, 1].

    "good" is the probability of the label by a linear classifier of pixels, "clear" the share of real images of the
    class that are less sharp, "blurry" the rest."""
    data = load_images(preset, "train")
    real, classes = data.images[:PROBED], data.labels[:PROBED]
    probe, sharpnesses = train_probe(real.flatten(1).float(), classes, len(data.captions)), sharpness(real)
    good = probe(images.flatten(1).float()).softmax(1)[torch.arange(len(labels)), labels]
    clear = torch.stack([(sharpnesses[classes == label] < own).float().mean()
                         for label, own in zip(labels, sharpness(images))])
    return {"good": good, "clear": clear, "blurry": 1 - clear}


def critic(pipe) -> dict:
    """The best BEST of CANDIDATES images of each class by the critic, judged by the shipped classifier, and how often
    these two networks agree on the images and on real ones."""
    classifier, n = load_classifier("fashion", pipe.device), 10 * CANDIDATES
    images, labels, _ = draw_samples(pipe, 1.0, SAMPLES, steps=10, scheduler="ddim").load()
    images, labels = images[:n], labels[:n]
    scores = critic_scores(pipe.preset, images, labels)
    right = predict(classifier, images).labels == labels
    critics = {word: scores[word] for word in ("good", "clear")} | {"good and clear": scores["good"] * scores["clear"]}
    test = load_images(pipe.preset, "test")
    real, answers = test.images[:1000], test.labels[:1000]
    seen, real_scores = predict(classifier, real).labels == answers, critic_scores(pipe.preset, real, answers)
    by_class = {name: {word: float(score[labels == label].mean()) for word, score in scores.items()}
                for label, name in enumerate(class_names(pipe.preset))}
    return _result(pipe, rows=critic_rows("all", critics, labels, right, scores), by_class=by_class, agreement={
        "drawn_shares": proportion(((scores["good"] > 0.5) == right).float()) | {"n": n},
        "real_shares": proportion(((real_scores["good"] > 0.5) == seen).float()) | {"n": len(answers)}})


def fine_tuning(pipe) -> dict:
    """A network that is not finished, trained further at each of RATES, its weights averaged with each of DECAYS,
    without and with guidance: how far weights and images move, accuracy, Frechet distance."""
    def draw(network, w):
        return network(network.captions * 2, w=w, steps=10, scheduler="ddim", seeds=range(20)).images

    before = load_pipeline(RUNS / f"fashion-with-skip-connections-{pipe.preset.size}")
    weights = parameters_to_vector(before.unet.parameters()).detach().double()
    drawn = {w: draw(before, w) for w in (1.0, GUIDED)}
    networks = {("start", 0.0): before}
    for rate in RATES:
        preset = dataclasses.replace(pipe.preset, learning_rate=rate, ema_decay=None, warmup_steps=0)
        last = trained(preset, f"fashion-tuned-{rate:g}", max_steps=TUNING_STEPS, start=before.folder, averages={
            name: {"decay": decay, "min_decay": decay} for name, decay in DECAYS.items()})
        networks |= {(f"{name}, lr {rate:g}", rate): load_pipeline(last.folder / name)
                     for name in (DECAYS if rate == max(RATES) else ("raw",))}
    rows = []
    for (name, rate), tuned in networks.items():
        moved = parameters_to_vector(tuned.unet.parameters()).detach().double() - weights
        rows += [{"learning_rate": rate, "variant": name, "weights_moved": float(moved.norm() / weights.norm()),
                  "pixels_moved": float((draw(tuned, w) - theirs).abs().mean()), **_row(tuned, w)}
                 for w, theirs in drawn.items()]
    return _result(pipe, rows=rows, tuning_steps=TUNING_STEPS)


def six_images(pipe) -> dict:
    """Frechet distances of SIX images from SIX real ones, DRAWS times: of real images, and of those of `pipe` by DDPM
    in all steps and in ten. The share of draws in which all steps seem better, and how far apart two distances of real
    images are by chance: their ratio, and the share of ratios above that of the paper's two numbers."""
    classifier, rng = load_classifier("fashion", pipe.device), generator("six")
    sets = {"real": real_features("fashion").features}
    for name, steps in (("ddpm, 10 steps", 10), ("ddpm, 100 steps", 100)):
        images, *_ = draw_samples(pipe, 1.0, SAMPLES, steps=steps, scheduler="ddpm").load()
        sets[name] = predict(classifier, images).features
    distances = {name: torch.tensor([frechet_distance(*(x[torch.randperm(len(x), generator=rng)[:SIX]]
                                                        for x in (features, sets["real"]))) for _ in range(DRAWS)])
                 for name, features in sets.items()}
    quantiles = torch.tensor([0.025, 0.5, 0.975])
    few, all_steps = distances["ddpm, 10 steps"], distances["ddpm, 100 steps"]
    paper, pairs = presets.PRINTED_ELSEWHERE["paper"], distances["real"].view(2, -1)
    ratio, printed = (pairs.amax(0) / pairs.amin(0)).double(), paper["frechet_before"] / paper["frechet_after"]
    return _result(pipe, n=SIX, draws=DRAWS, quantiles={name: x.quantile(quantiles).tolist()
                                                        for name, x in distances.items()},
                   all_steps_better_shares=proportion((all_steps < few).float()) | {"n": DRAWS},
                   ratio_of_two=float(ratio.median()), larger_ratio_shares=proportion(
                       (ratio > printed).double()) | {"n": len(ratio)})


EXPERIMENTS = {each.__name__: each for each in (variations, scales, samplers, critic, fine_tuning, six_images)}
