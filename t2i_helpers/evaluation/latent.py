"""What the settings of Stable Diffusion do to our latent model of paintings: a list of rows for each setting."""

import copy
import dataclasses

import torch
import torch.nn.functional as F

from ..data import CLASS_NAMES, every_caption, from_uint8, load_images, to_uint8
from ..diffusion import Loss, LossGuidance, similarity_loss
from ..models import load_image_text
from ..models.image_text import SIDE
from ..provenance import code_record
from ..randomness import generator
from .classifiers import load_classifier, predict
from .metrics import beside, diversity, jackknife, kernel_distance, mean_estimate, proportion
from .paintings import RealImages, image_features
from .samples import DRAWING, JUDGES, MEASURING

W = 4.0
SETTINGS = {"steps": (5, 10, 50), "guidance": (7.0, 12.0, 20.0), "schedule": (50, 400, 1000, 1500),
            "strengths": (0.0, 0.2, 0.8, 3.0), "noise": (0.25, 0.5, 1.0, 2.0)}
OBJECTS = [f"A photo of a {name}" for name in CLASS_NAMES["cifar10"]]           # no caption of a painting names them


def with_schedule(pipe, train_timesteps: int):
    """`pipe` with a sampler that takes the noise schedule to have `train_timesteps` steps, whatever training had."""
    other = copy.copy(pipe)
    other.preset = dataclasses.replace(pipe.preset, train_timesteps=train_timesteps)
    return other


def with_rotated_text(pipe):
    """`pipe` with embeddings times a fixed random rotation: they say the same in other coordinates."""
    def embed(prompts):
        cond, null = pipe.embed(prompts)
        rotation, _ = torch.linalg.qr(torch.randn(*2 * cond.shape[-1:], generator=generator("rotated text")))
        return cond @ rotation.to(cond), null @ rotation.to(cond)

    other = copy.copy(pipe)
    other.embed = embed
    return other


def shrink(images: torch.Tensor) -> torch.Tensor:
    """Images [n, 3, h, w] at the size that the image-text model and the classifier of photographs see."""
    return F.interpolate(images, (SIDE, SIDE), mode="area")


def decoded_similarity(pipe, model, texts: list[str]) -> Loss:
    """CLIP guidance of a latent model: x^_0 is decoded, so that `model` can compare it with image i's texts[i]."""
    return similarity_loss(model, texts, (0.0, 1.0), decode=lambda z_0: shrink(pipe.decode(z_0)))


def add_noise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """`x` [n, ...] with noise of `sigma` times its standard deviation."""
    return x + sigma * x.std() * torch.randn(x.shape, generator=generator("latent noise", sigma)).to(x)


def measure_latent(pipe, n: int) -> dict:
    """{"steps", "guidance", "schedule", "embedding", "strengths", "noise": rows, "reconstruction": a row}.

    Image i of a row has the caption of a held-out painting and seed i, as in `evaluate`, w = W where the row says
    nothing else, and the preset's scheduler and steps; "strengths" follow text i mod 10 of OBJECTS at w = 1. Metrics,
    each with that of n real paintings as "real": the accuracy of the probes for style and genre, kernel distance,
    diversity, how often the classifier of photographs sees the object, and the similarity that guidance follows.
    """
    preset, real = pipe.preset, RealImages.load(pipe.preset.data_source)
    chosen, objects = real.choose(n), torch.arange(n) % len(OBJECTS)
    styles, genres, features = real.test.labels[chosen], real.test_genres[chosen], real.test.features[chosen]
    others = real.train.features[torch.randperm(len(real.train), generator=generator("real"))[:n]]
    paintings = from_uint8(load_images(preset, "test").images[chosen], (0, 1)).to(pipe.device)
    prompts = [every_caption(preset)[row] for row in real.asked(preset, n)]
    texts = [OBJECTS[i] for i in objects]
    model, classifier = load_image_text(pipe.device), load_classifier("cifar10", pipe.device)
    similarity = decoded_similarity(pipe, model, texts)

    def metrics(images, reference):
        own, small = image_features(to_uint8(images).cpu()), shrink(images)
        answers = real.answers(own, styles, genres)
        return {"accuracy": answers["accuracy"], "genre_accuracy": answers["genre_accuracy"],
                "kernel": jackknife(kernel_distance, own, reference), "diversity": diversity(own, styles),
                "object_accuracy": proportion(predict(classifier, to_uint8(small)).labels.cpu() == objects),
                "similarity": mean_estimate((model.embed_images(small) * model.embed_texts(texts)).sum(1))}

    floor = metrics(paintings, others)

    def judge(images, reference=features, **more):
        return {"n": n, **beside(metrics(images, reference) | more, floor)}

    def row(setting, value, drawing=pipe, w=W, **options):
        print(f"latent: {setting} = {value}", flush=True)
        return {setting: value, **judge(drawing(prompts, seeds=range(n), w=w, **options).images)}

    def psnr(images):
        return mean_estimate(-10 * (images - paintings).square().mean((1, 2, 3)).log10())

    z = pipe.encode(paintings)
    noised = {sigma: {"latents": pipe.decode(add_noise(z, sigma)), "pixels": add_noise(paintings, sigma).clamp(0, 1)}
              for sigma in SETTINGS["noise"]}
    return {
        "w": W, "steps_by_default": preset.sample_steps, "scheduler": preset.scheduler, "objects": OBJECTS,
        "steps": [row("steps", count, steps=count) for count in SETTINGS["steps"]],
        "guidance": [row("w", w, w=w) for w in SETTINGS["guidance"]],
        "schedule": [row("train_timesteps", count, with_schedule(pipe, count), scheduler=preset.scheduler)
                     for count in SETTINGS["schedule"]],
        "embedding": [row("embedding", "rotated", with_rotated_text(pipe))],
        "strengths": [row("strength", s, w=1.0, loss=LossGuidance(similarity, s) if s else None)
                      for s in SETTINGS["strengths"]],
        "noise": [{"sigma": sigma} | {space: judge(images, psnr_db=psnr(images)) for space, images in spaces.items()}
                  for sigma, spaces in noised.items()],
        "reconstruction": judge(trip := pipe.decode(z), others, psnr_db=psnr(trip)),
        "data_source": real.test.metadata["data_source"], "weights_sha256_16": pipe.weights_sha256_16,
        **code_record(*DRAWING, *MEASURING, JUDGES["wikiart"], JUDGES["cifar10"], "evaluation.latent",
                      "models.image_text"),
    }
