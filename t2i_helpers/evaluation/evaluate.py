"""One evaluation: a table of guidance scales; every metric with its n, its interval, and the same of real images.

A judge is a pair: the metadata of its network, and a function (images, labels) to its part of a row.
"""

import functools

import torch

from ..data import class_names, every_caption, load_images, of_caption_rows
from ..diffusion import make_scheduler
from ..errors import BadData, BadValue, SourceUnavailable, UnknownName
from ..provenance import code_record, record
from ..randomness import generator
from ..training import describe_checkpoint
from . import features as networks
from . import metrics
from .classifiers import classifier_hash, classifier_metadata, load_classifier, predict
from .features import FeatureFile, in_batches, real_features
from .metrics import beside, proportion, saturation
from .paintings import RealImages, efficientnet_features, image_features
from .samples import DRAWING, JUDGES, MEASURING, draw_samples

ALSO = ("efficientnet", "inception", "imagenet", "clip")
SAMPLES = 200


def evaluate(
    pipe, scales, samples: int | None, *, steps: int | None = None, scheduler: str | None = None, guider: str = "cfg",
    prompts: list[str] | None = None, also: tuple[str, ...] = (), inception_weights=None, reference=None,
) -> dict:
    """Measure `samples` images of `draw_samples` at each guidance scale, by default SAMPLES, of own images at most as
    many as are held out. Raises BadValue, UnknownName or SourceUnavailable before the first image is drawn.

    Returns {..provenance.., "rows": [{"w", "n", "forward_passes", "accuracy", "target_probability", "saturation",
    "per_class", "confusion", "classifier": {"frechet", .., "diversity"}, ..}]}. Every metric is {"value", "interval",
    "real": {"value", "interval"}}, where "real" is the same metric of n real test images, compared with n others where
    it compares sets; the saturation is that of all of them. Without the real test images there are no distances, and
    only the saturation has "real".

    The shipped classifier judges digits and photographs. EfficientNet-Lite0 judges paintings and own images
    ("efficientnet"): probes on its features give style and genre, or the class; distances are from held-out images,
    whose captions are the prompts, and these are compared with training images. `also` adds judges: "efficientnet" for
    the other datasets, and those whose weights must be fetched, "inception" (FID and its kin, against `reference`, a
    file of real features, or the test set), "imagenet" (the thesis's ResNet-18 with its untrained ten-way head), "clip"
    (CLIP score).
    """
    if not len(scales):
        raise BadValue("no guidance scale: give at least one number")
    preset, dataset = pipe.preset, pipe.preset.dataset
    if samples is None:
        samples = min(SAMPLES, len(load_images(preset, "test"))) if dataset == "own" else SAMPLES
    if samples < 2:
        raise BadValue(f"samples = {samples}: draw at least 2 images")
    for name in also:
        if name not in ALSO:
            raise UnknownName("judge", name, ALSO)
        if JUDGES[dataset] == "evaluation.paintings" and name in ("efficientnet", "imagenet"):
            raise BadValue(f"--also {name} has no meaning for paintings and own images: EfficientNet judges them "
                           "already, and the thesis's ResNet-18 has ten answers; leave it out")
    if "inception" not in also and (reference is not None or inception_weights is not None):
        raise BadValue("a reference or Inception's weights are given and not used: ask for --also inception with them")
    make_scheduler(preset, scheduler)
    for w in scales:
        pipe.make_guider(guider, w)
    real = real_images(pipe)
    asked = real and real.asked(preset, samples)
    judges = [_probe_judge(preset, real, samples) if real else classifier_judge(dataset, samples, pipe.device)]
    if also:
        judges += _further_judges(pipe, samples, also, inception_weights, reference)
    rows = []
    for w in scales:
        store = draw_samples(pipe, w, samples, steps=steps, scheduler=scheduler, guider=guider, prompts=prompts,
                             asked=asked)
        images, labels, passes = store.load()
        rows.append({"w": w, "n": samples, "forward_passes": passes, "store": store.folder.name})
        for _, judge in judges:
            rows[-1] |= judge(images, labels)
    drawn = store.metadata()
    settings = ("guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed", "precision")
    return record(
        pipe.device, checkpoint=describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16},
        **{name: drawn[name] for name in settings if name in drawn},
        **code_record(*DRAWING, *MEASURING, JUDGES[dataset]),
        judges={name: value for metadata, _ in judges for name, value in metadata.items()}, rows=rows)


def classifier_judge(dataset: str, samples: int, device):
    """The shipped classifier: accuracy, confidence and confusions; and distances between its features."""
    classifier = load_classifier(dataset, device)
    saturated = classifier_metadata(dataset)["test_saturation"]
    real = {"saturation": {"value": saturated["value"], "interval": [saturated["low"], saturated["high"]]}}

    def answers(probabilities, labels):
        return {"accuracy": proportion(probabilities.argmax(1) == labels),
                "target_probability": proportion(probabilities[torch.arange(len(labels)), labels])}

    def judge(images, labels):
        predictions = predict(classifier, images)
        values = answers(predictions.probabilities, labels) | {"saturation": saturation(images)}
        return {**beside(values, real), **_by_class(predictions.labels, labels, classifier.head.out_features),
                **distances(predictions.features, labels)}

    try:
        features = real_features(dataset, 2 * samples)
    except SourceUnavailable:
        print(f"note: distances and real baselines need {dataset}'s real test images: connect to the hub, or set "
              "T2I_MIRROR to a folder made by t2i data mirror")
        metadata, distances = {"classifier": {"classifier_sha256_16": classifier_hash(dataset)}}, lambda *_: {}
    else:
        reference, others = map(features.rows, _two_draws(len(features), samples))
        metadata, distances = _distances("classifier", reference, others)
        with torch.inference_mode():
            probabilities = classifier.head(reference.features.to(device)).softmax(1).cpu()
        real |= answers(probabilities, reference.labels)
    return metadata, judge


def real_images(pipe) -> RealImages | None:
    """The real paintings, or own images, with their probes; None for datasets that have a classifier. BadData for other
    own images than those that `pipe` was trained on."""
    source = pipe.preset.data_source
    if pipe.preset.dataset == "wikiart":
        return RealImages.load(source)
    if pipe.preset.dataset != "own":
        return None
    images = load_images(pipe.preset, "train")
    if images.fingerprint != describe_checkpoint(pipe.folder)["data_fingerprint"]:
        raise BadData(f"{source} holds other images than at the training of {pipe.folder}, which may have seen those "
                      "that are held out now: restore them, or train again with another --out")
    return RealImages.of(images, load_images(pipe.preset, "test"))


def _probe_judge(preset, real, samples):
    """Probes that predict style and genre, or the class, and distances between the same features."""
    asked = real.choose(samples)
    reference = real.test.rows(asked)
    others = torch.randperm(len(real.train), generator=generator("real"))[:samples]
    metadata, distances = _distances("efficientnet", reference, real.train.rows(others))
    baseline = real.answers(reference.features, reference.labels, real.test_genres[asked])
    baseline["saturation"] = real.saturation

    def judge(images, labels):
        features, (styles, genres) = image_features(images), of_caption_rows(preset, labels)
        values = real.answers(features, styles, genres) | {"saturation": saturation(images)}
        by_class = _by_class(real.style(features).argmax(1), styles, len(class_names(preset))) if real.style else {}
        return {**beside(values, baseline), **by_class, **distances(features, styles)}

    return metadata, judge


def _further_judges(pipe, samples, also, inception_weights, reference):
    texts = every_caption(pipe.preset)
    # networks first: a missing file is reported before a dataset is fetched
    inception = networks.load_inception(inception_weights, pipe.device) if "inception" in also else None
    untrained = networks.load_untrained_head(pipe.device) if "imagenet" in also else None
    clip_score = networks.load_clip_score(pipe.device) if "clip" in also else None
    given = FeatureFile.load(reference, networks.INCEPTION_WIDTH) if reference else None
    test = None if tuple(also) == ("inception",) and given else load_images(pipe.preset, "test")

    def by_features(name, extract, real):
        metadata, distances = _distances(name, *map(real.rows, _two_draws(len(real), samples)))
        return metadata, lambda images, labels: distances(extract(images), labels)

    def by_score(name, network, measure):
        chosen, _ = _two_draws(len(test), samples)
        real = measure(test.images[chosen], test.labels[chosen])
        return {name: {"network": network}}, lambda images, labels: beside(measure(images, labels), real)

    if inception:
        extract = functools.partial(in_batches, inception)
        yield by_features("inception", extract, given or networks.cached_features(
            "inception", networks.INCEPTION_SHA256, test, extract))
    if "efficientnet" in also:
        yield by_features("efficientnet", image_features, efficientnet_features(test))
    if untrained:
        yield by_score(
            "imagenet", "torchvision ResNet-18, ImageNet weights, random ten-way head", lambda images, labels: {
                "untrained_head_accuracy": proportion(in_batches(untrained, images).argmax(1) == labels)})
    if clip_score:
        yield by_score("clip", "CLIP ViT-B/32", lambda images, labels: {"clip_score": metrics.mean_estimate(
            in_batches(clip_score, images, [texts[label] for label in labels]))})


def _distances(name, reference: FeatureFile, others: FeatureFile):
    """The metadata, and a function (features, labels) to their distances from `reference`, beside those of `others`:
    features of as many real images as will be drawn."""
    real = reference.features
    samples, width = real.shape
    metadata = {name: reference.metadata | {"reference_images": samples, "width": width}}
    if samples < 2 * metrics.GROUPS:
        print(f"note: {samples} samples are too few for {name}'s distances, which need {2 * metrics.GROUPS}")
        return metadata, lambda features, labels: {}
    if samples <= width:
        print(f"warning: {samples} samples for {name}'s {width} features: the covariances are singular and the "
              "Frechet distance is mostly bias; read it beside real against real only")

    def diversity(features, labels):
        repeated = reference.labels is not None and len(reference.labels.unique()) < samples
        return {"diversity": metrics.diversity(features, labels)} if repeated else {}

    floor = metrics.compare(others.features, real) | diversity(real, reference.labels)
    return metadata, lambda features, labels: {
        name: beside(metrics.compare(features, real) | diversity(features, labels), floor)
        | {"fewer_samples_than_features": samples <= width}}


def _two_draws(count: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two disjoint draws of n of `count` real images, the same for every judge: the reference, and the others."""
    if count < 2 * n:
        raise BadValue(f"samples = {n}: real against real needs twice as many real images, and there are {count}: draw "
                       f"at most {count // 2}")
    return torch.randperm(count, generator=generator("real"))[:2 * n].split(n)


def _by_class(predicted, labels, classes) -> dict:
    """In the confusion matrix, a row is the class of the prompt and a column the prediction."""
    per_class = [proportion(predicted[labels == k] == k) | {"n": int((labels == k).sum())}
                 for k in labels.unique().tolist()]
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    return {"per_class": per_class, "confusion": confusion.tolist()}
