"""One evaluation: a table of guidance scales, every number with its n, its interval, and the same of real images."""

import torch

from ..data import CLASS_NAMES, captions, load_images, of_caption_rows
from ..diffusion import make_scheduler
from ..errors import BadCheckpoint, BadValue, UnknownName
from ..models.efficientnet import WIDTH as EFFICIENTNET_WIDTH
from ..provenance import best_device, record
from ..randomness import generator
from ..training import describe_checkpoint
from .classifiers import classifier_hash, how_to_train, load_classifier, read, told
from .features import (
    INCEPTION_WIDTH,
    FeatureFile,
    cached_features,
    in_batches,
    load_clip_score,
    load_inception,
    load_untrained_head,
    reference_file,
)
from .metrics import (
    GROUPS,
    Estimate,
    compare,
    confusion_matrix,
    diversity,
    mean_estimate,
    proportion,
    saturation,
)
from .paintings import RealPaintings, feature_network, image_features
from .samples import draw_samples

ALSO = ("efficientnet", "inception", "imagenet", "clip")


def evaluate(
    pipe,
    scales,
    samples: int,
    *,
    steps: int | None = None,
    scheduler: str | None = None,
    guider: str = "cfg",
    prompts: list[str] | None = None,
    also: tuple[str, ...] = (),
    inception_weights=None,
    reference=None,
) -> dict:
    """Measure `samples` images at each guidance scale; the images are kept, so a second call draws nothing.

    `prompts` are one text a class, by default the dataset's captions.

    Returns {..provenance.., "rows": [{"w", "n", "forward_passes", "accuracy", "target_probability", "saturation",
    "per_class", "confusion", "classifier": {"frechet", .., "diversity"}, ..}]}. Every metric is {"value", "interval",
    "real": {"value", "interval"}}, where "real" is the same metric of n real test images, against n others where it
    compares sets; the saturation is that of all of them.

    Of digits and photographs the shipped classifier always judges. Paintings are judged on EfficientNet-Lite0's
    features ("efficientnet"), by probes that read style and genre and by distances from held-out paintings, whose own
    captions are asked for; "real" are then held-out paintings, and in distances training paintings against them.
    `also` adds judges: "efficientnet" for the other datasets, and those whose weights must be fetched, "inception"
    (FID and its kin, against `reference`, a file of real features, or the dataset's test set), "imagenet" (the thesis's
    ResNet-18 with its untrained ten-way head), "clip" (CLIP score). Raises BadValue, UnknownName or SourceUnavailable
    before the first image is drawn.
    """
    if not len(scales):
        raise BadValue("no guidance scale: give at least one number")
    if samples < 2:
        raise BadValue(f"samples = {samples}: draw at least 2 images")
    for name in also:
        if name not in ALSO:
            raise UnknownName("judge", name, ALSO)
    if reference is not None and "inception" not in also:
        raise BadValue("a reference holds Inception's features: ask for --also inception with it")
    if inception_weights is not None and "inception" not in also:
        raise BadValue("Inception's weights are given and not used: ask for --also inception with them")
    make_scheduler(pipe.preset, scheduler)
    for w in scales:
        pipe.make_guider(guider, w)
    paintings = RealPaintings.load(pipe.preset.data_source) if pipe.preset.dataset == "wikiart" else None
    asked = paintings and paintings.asked(pipe.preset, samples)
    judges = _judges(pipe, samples, tuple(also), inception_weights, reference, paintings)
    rows = []
    for w in scales:
        store = draw_samples(pipe, w, samples, steps=steps, scheduler=scheduler, guider=guider, prompts=prompts,
                             asked=asked)
        images, labels, passes = store.load()
        row = {"w": w, "n": samples, "forward_passes": passes, "store": store.folder.name,
               "drawn_with": store.drawn_with()}
        for judge in judges:
            row |= judge(images, labels)
        rows.append(row)
    drawn = store.facts()
    told = {name: drawn[name] for name in ("guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed")}
    judged = {name: value for judge in judges for name, value in judge.facts.items()}
    checkpoint = describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16}
    return record(pipe.device, checkpoint=checkpoint, **told, judges=judged, rows=rows)


def _judges(pipe, samples, also, inception_weights, reference, paintings):
    dataset, device = pipe.preset.dataset, pipe.device
    judges = [PaintingJudge(pipe.preset, paintings, samples) if paintings
              else ClassifierJudge(dataset, samples, device)]
    if paintings and (refused := [name for name in also if name in ("efficientnet", "imagenet")]):
        raise BadValue(f"--also {refused[0]} has no meaning for paintings: EfficientNet judges them already, and the "
                       "thesis's ResNet-18 has ten answers for 27 styles; leave it out")
    if not also:
        return judges
    # networks first: a file that is missing should be told before a dataset is fetched
    inception = load_inception(inception_weights, device) if "inception" in also else None
    untrained = load_untrained_head(device) if "imagenet" in also else None
    clip_score = load_clip_score(device) if "clip" in also else None
    given = FeatureFile.load(reference, INCEPTION_WIDTH) if reference else None
    test = None if also == ("inception",) and given else load_images(pipe.preset, "test")
    if inception:
        real = given or cached_features("inception", test, inception, INCEPTION_WIDTH)
        judges.append(FeatureJudge("inception", lambda images: in_batches(inception, images),
                                   *_two_draws(real, samples), real.facts))
    if "efficientnet" in also:
        real = cached_features("efficientnet", test, feature_network(best_device()), EFFICIENTNET_WIDTH)
        judges.append(FeatureJudge("efficientnet", image_features, *_two_draws(real, samples), real.facts))
    if untrained:
        judges.append(UntrainedHeadJudge(untrained, test, samples))
    if clip_score:
        judges.append(ClipJudge(clip_score, captions(pipe.preset), test, samples))
    return judges


class FeatureJudge:
    """Distances between the features of generated and of real images, with those between real and real."""

    def __init__(self, name, extract, reference: FeatureFile, others: FeatureFile, facts: dict):
        """`reference` and `others` are features of as many real images as will be drawn; the distance of generated
        images from the first is read beside that of the second."""
        self.name, self.extract, self.reference = name, extract, reference.features
        samples, width = self.reference.shape
        self.facts = {name: facts | {"reference_images": samples, "width": width}}
        self.enough = samples >= 2 * GROUPS
        if not self.enough:
            print(f"note: {samples} samples are too few for {name}'s distances, which need {2 * GROUPS}")
            return
        self.too_few = samples <= width
        if self.too_few:
            print(f"warning: {samples} samples for {name}'s {width} features: the covariances are singular and the "
                  "Frechet distance is mostly bias; read it beside real against real only")
        self.floor = compare(others.features, self.reference)
        if reference.labels is not None:
            self.floor["diversity"] = diversity(self.reference, reference.labels)

    def __call__(self, images, labels) -> dict:
        return self.distances(self.extract(images), labels)

    def distances(self, features, labels) -> dict:
        if not self.enough:
            return {}
        found = compare(features, self.reference)
        if "diversity" in self.floor:
            found["diversity"] = diversity(features, labels)
        found = _beside(found, self.floor)
        return {self.name: found | {"fewer_samples_than_features": self.too_few}}


class ClassifierJudge(FeatureJudge):
    """The shipped classifier: right or wrong, how sure, what for what; and distances between its features."""

    def __init__(self, dataset, samples, device):
        self.classifier = load_classifier(dataset, device)
        try:
            real = FeatureFile.load(reference_file(dataset), self.classifier.head.in_features)
        except BadValue as error:
            raise BadCheckpoint(f"{error}: {how_to_train(dataset)}") from error
        if real.facts.get("classifier_sha256_16") != classifier_hash(dataset):
            raise BadCheckpoint(f"{reference_file(dataset)} was made with another classifier than the one beside it: "
                                + how_to_train(dataset))
        reference, others = _two_draws(real, samples)
        super().__init__("classifier", None, reference, others, real.facts)
        with torch.inference_mode():
            probabilities = self.classifier.head(self.reference.to(device)).softmax(1).cpu()
        self.real_answers = (_answers(probabilities, reference.labels)
                             | {"saturation": Estimate(**told(dataset)["test_saturation"])})

    def __call__(self, images, labels) -> dict:
        reading = read(self.classifier, images)
        predicted = reading.probabilities.argmax(1)
        confusion = confusion_matrix(labels, predicted, reading.probabilities.shape[1])
        found = _answers(reading.probabilities, labels) | {"saturation": saturation(images)}
        return {**_beside(found, self.real_answers), "per_class": _per_class(predicted, labels),
                "confusion": confusion.tolist(), **self.distances(reading.features, labels)}


class PaintingJudge(FeatureJudge):
    """Probes that read style and genre, and distances on the features that they read."""

    def __init__(self, preset, paintings: RealPaintings, samples):
        self.preset, self.paintings = preset, paintings
        order = torch.randperm(len(paintings.train.labels), generator=generator("real"))[:samples]
        asked = paintings.choose(samples)
        reference, others = paintings.test.rows(asked), paintings.train.rows(order)
        super().__init__("efficientnet", image_features, reference, others, paintings.test.facts)
        self.real_answers = (paintings.answers(reference.features, reference.labels, paintings.test_genres[asked])
                             | {"saturation": paintings.saturation})

    def __call__(self, images, labels) -> dict:
        features, classes = self.extract(images), len(CLASS_NAMES["wikiart"])
        styles, genres = of_caption_rows(self.preset, labels)
        predicted = self.paintings.style.logits(features).argmax(1)
        found = self.paintings.answers(features, styles, genres) | {"saturation": saturation(images)}
        return {**_beside(found, self.real_answers),
                "per_class": _per_class(predicted, styles),
                "confusion": confusion_matrix(styles, predicted, classes).tolist(), **self.distances(features, styles)}


class UntrainedHeadJudge:
    """The thesis's accuracy: ImageNet's ResNet-18 with a head that was never trained."""

    def __init__(self, network, test, samples):
        self.network = network
        chosen = _draw_order(len(test), samples)[:samples]
        self.real = self.accuracy(test.images[chosen], test.labels[chosen])
        self.facts = {"imagenet": {"network": "torchvision ResNet-18, ImageNet weights, random ten-way head"}}

    def accuracy(self, images, labels) -> dict[str, Estimate]:
        predicted = in_batches(self.network, images).argmax(1)
        return {"untrained_head_accuracy": proportion((predicted == labels).double())}

    def __call__(self, images, labels) -> dict:
        return _beside(self.accuracy(images, labels), self.real)


class ClipJudge:
    """CLIP score: how near image and prompt lie in CLIP's joint space."""

    def __init__(self, score, prompts, test, samples):
        self.score, self.prompts = score, prompts
        chosen = _draw_order(len(test), samples)[:samples]
        self.real = self.mean(test.images[chosen], test.labels[chosen])
        self.facts = {"clip": {"network": "CLIP ViT-B/32"}}

    def mean(self, images, labels) -> dict[str, Estimate]:
        scores = in_batches(self.score, images, [self.prompts[label] for label in labels.tolist()])
        return {"clip_score": mean_estimate(scores)}

    def __call__(self, images, labels) -> dict:
        return _beside(self.mean(images, labels), self.real)


def _two_draws(real: FeatureFile, n: int) -> tuple[FeatureFile, FeatureFile]:
    """Two disjoint draws of n of the real images, the same ones for every judge: what generated images are compared
    with, and what gives the floor."""
    order = _draw_order(len(real.features), n)
    return real.rows(order[:n]), real.rows(order[n:2 * n])


def _draw_order(count: int, n: int) -> torch.Tensor:
    if count < 2 * n:
        raise BadValue(f"samples = {n}: real against real needs twice as many real images, and there are {count}: draw "
                       f"at most {count // 2}")
    return torch.randperm(count, generator=generator("real"))


def _per_class(predicted, labels) -> list[dict]:
    return [proportion((predicted[labels == k] == k).double()).as_json() | {"n": int((labels == k).sum())}
            for k in labels.unique().tolist()]


def _answers(probabilities, labels) -> dict[str, Estimate]:
    """How often the classifier is right, and how much probability it gives to what was asked for."""
    return {"accuracy": proportion((probabilities.argmax(1) == labels).double()),
            "target_probability": proportion(probabilities[torch.arange(len(labels)), labels])}


def _beside(found: dict[str, Estimate], real: dict[str, Estimate]) -> dict:
    return {name: estimate.as_json() | {"real": real[name].as_json()} for name, estimate in found.items()}
