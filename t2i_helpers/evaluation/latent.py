"""What the settings of Stable Diffusion do to our latent model of paintings: a list of rows for each setting."""

import copy
import dataclasses

import torch
import torch.nn.functional as F

from ..data import CLASS_NAMES, every_caption, from_uint8, load_images, to_uint8
from ..diffusion import Loss, LossGuidance, similarity_loss
from ..intervals import wilson_interval
from ..models import load_image_text
from ..models.image_text import SIDE
from ..provenance import code_record
from ..randomness import generator
from .classifiers import classifier_metadata, load_classifier, predict
from .metrics import Estimate, beside, diversity, jackknife, kernel_distance, mean_estimate, proportion
from .paintings import RealImages, image_features
from .samples import DRAWING, JUDGES, MEASURING

SAMPLES, W = 60, 4.0
SETTINGS = {"steps": (5, 10, 50, 100), "guidance": (7.0, 12.0, 20.0), "schedule": (50, 400, 700, 1000, 1500),
            "strengths": (0.0, 0.2, 0.8, 1.0, 3.0), "noise": (0.25, 0.5, 1.0, 2.0)}
OBJECTS = [f"A photo of a {name}" for name in CLASS_NAMES["cifar10"]]           # no caption of a painting names them
CODE = (*DRAWING, *MEASURING, JUDGES["wikiart"], JUDGES["cifar10"], "evaluation.latent", "models.image_text")


def with_schedule(pipe, train_timesteps: int):
    """`pipe` with a sampler that takes the noise schedule to have `train_timesteps` steps, whatever training had."""
    other = copy.copy(pipe)
    other.preset = dataclasses.replace(pipe.preset, train_timesteps=train_timesteps)
    return other


def with_rotated_text(pipe):
    """`pipe` with a text encoder that says the same in other coordinates: its embeddings times a fixed random rotation.
    No distance between two captions changes."""
    def embed(prompts):
        cond, null = pipe.embed(prompts)
        rotation, _ = torch.linalg.qr(torch.randn(*2 * cond.shape[-1:], generator=generator("rotated text")))
        return cond @ rotation.to(cond), null @ rotation.to(cond)

    other = copy.copy(pipe)
    other.embed = embed
    return other


def shrink(images: torch.Tensor) -> torch.Tensor:
    """Images [n, 3, h, w] at the size that the image-text model and CIFAR-10's classifier see."""
    return F.interpolate(images, (SIDE, SIDE), mode="area")


def decoded_similarity(pipe, model, texts: list[str]) -> Loss:
    """CLIP guidance of a latent model: x^_0 is decoded, so that `model` can compare it with image i's texts[i]."""
    return similarity_loss(model, texts, (0.0, 1.0), decode=lambda z_0: shrink(pipe.decode(z_0)))


def add_noise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """`x` [n, ...], scaled to mean 0 and variance 1 by its own moments, with noise of `sigma`, and scaled back."""
    noise = torch.randn(x.shape, generator=generator("latent noise", sigma)).to(x)
    return x + sigma * x.std() * noise


def measure_latent(pipe, n: int = SAMPLES) -> dict:
    """{"steps", "guidance", "schedule", "embedding", "strengths", "noise": rows, "reconstruction": a row}.

    Image i of a row has the caption of a held-out painting and seed i, as in `evaluate`, w = W where the row says
    nothing else, and the preset's scheduler and steps. Metrics: the accuracy of the style and the genre probe, kernel
    distance and diversity, each with that of n real paintings as "real".
    """
    preset, real = pipe.preset, RealImages.load(pipe.preset.data_source)
    chosen, test = real.choose(n), load_images(preset, "test")
    styles, genres, features = real.test.labels[chosen], real.test_genres[chosen], real.test.features[chosen]
    others = real.train.features[torch.randperm(len(real.train), generator=generator("real"))[:n]]
    prompts = [every_caption(preset)[row] for row in real.asked(preset, n)]

    def metrics(own, reference):
        answers = real.answers(own, styles, genres)
        return {name: answers[name] for name in ("accuracy", "genre_accuracy")} | {
            "kernel": jackknife(kernel_distance, own, reference), "diversity": diversity(own, styles)}

    floor = metrics(features, others)

    def judge(images, reference=features):
        return {"n": n, **beside(metrics(image_features(to_uint8(images).cpu()), reference), floor)}

    def row(setting, value, pipe=pipe, w=W, **options):
        images = pipe(prompts, w=w, seeds=range(n), **options).images
        measured = {setting: value, **judge(images)}
        print(f"latent: {setting} = {value}: accuracy {measured['accuracy']['value']:.3f}, "
              f"kernel distance {measured['kernel']['value']:.3f}", flush=True)
        return measured, images

    def guided_by_text(strength):
        loss = LossGuidance(decoded_similarity(pipe, model, texts), strength) if strength else None
        measured, images = row("strength", strength, w=1.0, loss=loss)
        right = predict(classifier, to_uint8(shrink(images))).labels.cpu() == torch.arange(n) % len(OBJECTS)
        similarity = (model.embed_images(shrink(images)) * model.embed_texts(texts)).sum(1)
        return measured | beside({"object_accuracy": proportion(right), "similarity": mean_estimate(similarity)},
                                 {"object_accuracy": of_photographs})

    photographs = classifier_metadata("cifar10")
    right, count = photographs["test_accuracy"] * photographs["test_images"], photographs["test_images"]
    of_photographs = Estimate(photographs["test_accuracy"], *wilson_interval(right, count))
    texts = [OBJECTS[i % len(OBJECTS)] for i in range(n)]
    model, classifier = load_image_text(pipe.device), load_classifier("cifar10", pipe.device)
    paintings = from_uint8(test.images[chosen], (0, 1)).to(pipe.device)
    z = pipe.encode(paintings)

    def psnr(images):
        return {"psnr_db": mean_estimate(-10 * (images - paintings).square().mean((1, 2, 3)).log10()).as_json()}

    def noised(space, images):
        return {space: judge(images) | psnr(images)}

    scheduler = preset.scheduler
    return {
        "w": W, "steps_by_default": preset.sample_steps, "scheduler": scheduler, "objects": OBJECTS,
        "steps": [row("steps", steps, steps=steps)[0] for steps in SETTINGS["steps"]],
        "guidance": [row("w", w, w=w)[0] for w in SETTINGS["guidance"]],
        "schedule": [row("train_timesteps", count, with_schedule(pipe, count), scheduler=scheduler)[0]
                     for count in SETTINGS["schedule"]],
        "embedding": [row("embedding", "rotated", with_rotated_text(pipe))[0]],
        "strengths": [guided_by_text(strength) for strength in SETTINGS["strengths"]],
        "noise": [{"sigma": sigma, **noised("latents", pipe.decode(add_noise(z, sigma))),
                   **noised("pixels", add_noise(paintings, sigma).clamp(0, 1))} for sigma in SETTINGS["noise"]],
        "reconstruction": judge(trip := pipe.decode(z), others) | psnr(trip),
        "data_source": real.source, "weights_sha256_16": pipe.weights_sha256_16, **code_record(*CODE),
    }
