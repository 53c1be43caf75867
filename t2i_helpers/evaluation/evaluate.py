"""One evaluation: a table of guidance scales; every metric with its n, its interval, and the same of real images."""

import functools

import torch

from ..data import CLASS_NAMES, captions, load_images, of_caption_rows
from ..diffusion import make_scheduler
from ..errors import BadValue, SourceUnavailable, UnknownName
from ..provenance import code_record, record
from ..randomness import generator
from ..training import describe_checkpoint
from . import features as networks
from . import metrics
from .classifiers import classifier_hash, classifier_metadata, load_classifier, predict
from .features import FeatureFile, in_batches, real_features
from .metrics import Estimate, proportion, saturation
from .paintings import RealPaintings, efficientnet_features, image_features
from .samples import DRAWING, JUDGES, MEASURING, draw_samples

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
    """Measure `samples` images at each guidance scale; the images are cached, so a second call draws nothing.

    `prompts` are one text a class, by default the dataset's captions.

    Returns {..provenance.., "rows": [{"w", "n", "forward_passes", "accuracy", "target_probability", "saturation",
    "per_class", "confusion", "classifier": {"frechet", .., "diversity"}, ..}]}. Every metric is {"value", "interval",
    "real": {"value", "interval"}}, where "real" is the same metric of n real test images, compared with n others where
    it compares sets; the saturation is that of all of them. Without the real test images there are no distances, and
    only the saturation has "real".

    The shipped classifier judges digits and photographs. EfficientNet-Lite0 judges paintings ("efficientnet"): probes
    on its features give style and genre, and distances are from held-out paintings, whose captions are the prompts;
    "real" are held-out paintings, compared with training paintings. `also` adds judges: "efficientnet" for the other
    datasets, and those whose weights must be fetched, "inception" (FID and its kin, against `reference`, a file of real
    features, or the dataset's test set), "imagenet" (the thesis's ResNet-18 with its untrained ten-way head), "clip"
    (CLIP score). Raises BadValue, UnknownName or SourceUnavailable before the first image is drawn.
    """
    if not len(scales):
        raise BadValue("no guidance scale: give at least one number")
    if samples < 2:
        raise BadValue(f"samples = {samples}: draw at least 2 images")
    dataset = pipe.preset.dataset
    _check_judges(dataset, also, inception_weights, reference)
    make_scheduler(pipe.preset, scheduler)
    for w in scales:
        pipe.make_guider(guider, w)
    paintings = RealPaintings.load(pipe.preset.data_source) if dataset == "wikiart" else None
    asked = paintings and paintings.asked(pipe.preset, samples)
    judges = [PaintingJudge(pipe.preset, paintings, samples) if paintings
              else ClassifierJudge(dataset, samples, pipe.device)]
    if also:
        judges += _further_judges(pipe, samples, also, inception_weights, reference)
    rows = []
    for w in scales:
        store = draw_samples(pipe, w, samples, steps=steps, scheduler=scheduler, guider=guider, prompts=prompts,
                             asked=asked)
        images, labels, passes = store.load()
        row = {"w": w, "n": samples, "forward_passes": passes, "store": store.folder.name}
        for judge in judges:
            row |= judge(images, labels)
        rows.append(row)
    drawn = store.metadata()
    settings = ("guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed")
    return record(
        pipe.device, checkpoint=describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16},
        **{name: drawn[name] for name in settings}, **code_record(*DRAWING, *MEASURING, JUDGES[dataset]),
        judges={name: value for judge in judges for name, value in judge.metadata.items()}, rows=rows)


def _check_judges(dataset, also, inception_weights, reference):
    for name in also:
        if name not in ALSO:
            raise UnknownName("judge", name, ALSO)
        if dataset == "wikiart" and name in ("efficientnet", "imagenet"):
            raise BadValue(f"--also {name} has no meaning for paintings: EfficientNet judges them already, and the "
                           "thesis's ResNet-18 has ten answers for 27 styles; leave it out")
    if "inception" not in also:
        if reference is not None:
            raise BadValue("a reference holds Inception's features: ask for --also inception with it")
        if inception_weights is not None:
            raise BadValue("Inception's weights are given and not used: ask for --also inception with them")


def _further_judges(pipe, samples, also, inception_weights, reference):
    # networks first: a missing file is reported before a dataset is fetched
    inception = networks.load_inception(inception_weights, pipe.device) if "inception" in also else None
    untrained = networks.load_untrained_head(pipe.device) if "imagenet" in also else None
    clip_score = networks.load_clip_score(pipe.device) if "clip" in also else None
    given = FeatureFile.load(reference, networks.INCEPTION_WIDTH) if reference else None
    test = None if tuple(also) == ("inception",) and given else load_images(pipe.preset, "test")
    judges = []
    if inception:
        extract = functools.partial(in_batches, inception)
        real = given or networks.cached_features("inception", networks.INCEPTION_SHA256, test, extract,
                                                 networks.INCEPTION_WIDTH)
        judges.append(FeatureJudge("inception", extract, *_two_draws(real, samples)))
    if "efficientnet" in also:
        judges.append(FeatureJudge("efficientnet", image_features, *_two_draws(efficientnet_features(test), samples)))
    if untrained:
        def accuracy(images, labels):
            return {"untrained_head_accuracy": proportion(in_batches(untrained, images).argmax(1) == labels)}

        network = "torchvision ResNet-18, ImageNet weights, random ten-way head"
        judges.append(ScoreJudge(accuracy, test, samples, {"imagenet": {"network": network}}))
    if clip_score:
        texts = captions(pipe.preset)

        def mean_score(images, labels):
            scores = in_batches(clip_score, images, [texts[label] for label in labels.tolist()])
            return {"clip_score": metrics.mean_estimate(scores)}

        judges.append(ScoreJudge(mean_score, test, samples, {"clip": {"network": "CLIP ViT-B/32"}}))
    return judges


class FeatureJudge:
    """Distances between the features of generated and real images, beside those between real and real images."""

    def __init__(self, name, extract, reference: FeatureFile, others: FeatureFile):
        """`reference` and `others` are features of as many real images as will be drawn: generated images are compared
        with the first, and so are the second."""
        self.name, self.extract, self.reference = name, extract, reference.features
        samples, width = self.reference.shape
        self.metadata = {name: reference.metadata | {"reference_images": samples, "width": width}}
        self.enough = samples >= 2 * metrics.GROUPS
        if not self.enough:
            print(f"note: {samples} samples are too few for {name}'s distances, which need {2 * metrics.GROUPS}")
            return
        self.too_few = samples <= width
        if self.too_few:
            print(f"warning: {samples} samples for {name}'s {width} features: the covariances are singular and the "
                  "Frechet distance is mostly bias; read it beside real against real only")
        self.floor = metrics.compare(others.features, self.reference)
        if reference.labels is not None:
            self.floor["diversity"] = metrics.diversity(self.reference, reference.labels)

    def __call__(self, images, labels) -> dict:
        return self.distances(self.extract(images), labels)

    def distances(self, features, labels) -> dict:
        if not self.enough:
            return {}
        values = metrics.compare(features, self.reference)
        if "diversity" in self.floor:
            values["diversity"] = metrics.diversity(features, labels)
        return {self.name: _beside(values, self.floor) | {"fewer_samples_than_features": self.too_few}}


class ClassifierJudge(FeatureJudge):
    """The shipped classifier: accuracy, confidence and confusions; and distances between its features."""

    def __init__(self, dataset, samples, device):
        self.classifier = load_classifier(dataset, device)
        self.real = {"saturation": Estimate(**classifier_metadata(dataset)["test_saturation"])}
        try:
            reference, others = _two_draws(real_features(dataset, 2 * samples), samples)
        except SourceUnavailable:
            print(f"note: distances and real baselines need {dataset}'s real test images: connect to the hub, or set "
                  "T2I_MIRROR to a folder made by t2i data mirror")
            self.enough, self.metadata = False, {"classifier": {"classifier_sha256_16": classifier_hash(dataset)}}
            return
        super().__init__("classifier", None, reference, others)
        with torch.inference_mode():
            probabilities = self.classifier.head(self.reference.to(device)).softmax(1).cpu()
        self.real |= _answers(probabilities, reference.labels)

    def __call__(self, images, labels) -> dict:
        predictions = predict(self.classifier, images)
        values = _answers(predictions.probabilities, labels) | {"saturation": saturation(images)}
        classes = self.classifier.head.out_features
        return {**_beside(values, self.real), **_by_class(predictions.labels, labels, classes),
                **self.distances(predictions.features, labels)}


class PaintingJudge(FeatureJudge):
    """Probes that predict style and genre, and distances between the same features."""

    def __init__(self, preset, paintings: RealPaintings, samples):
        self.preset, self.paintings = preset, paintings
        order = torch.randperm(len(paintings.train), generator=generator("real"))[:samples]
        asked = paintings.choose(samples)
        reference = paintings.test.rows(asked)
        super().__init__("efficientnet", image_features, reference, paintings.train.rows(order))
        self.real = (paintings.answers(reference.features, reference.labels, paintings.test_genres[asked])
                     | {"saturation": paintings.saturation})

    def __call__(self, images, labels) -> dict:
        features = self.extract(images)
        styles, genres = of_caption_rows(self.preset, labels)
        predicted = self.paintings.style.logits(features).argmax(1)
        values = self.paintings.answers(features, styles, genres) | {"saturation": saturation(images)}
        return {**_beside(values, self.real), **_by_class(predicted, styles, len(CLASS_NAMES["wikiart"])),
                **self.distances(features, styles)}


class ScoreJudge:
    """A metric of images with their labels, `measure`, beside the same of as many real ones."""

    def __init__(self, measure, test, samples, metadata):
        self.measure, self.metadata = measure, metadata
        chosen = _draw_order(len(test), samples)[:samples]
        self.real = measure(test.images[chosen], test.labels[chosen])

    def __call__(self, images, labels) -> dict:
        return _beside(self.measure(images, labels), self.real)


def _two_draws(real: FeatureFile, n: int) -> tuple[FeatureFile, FeatureFile]:
    """Two disjoint draws of n real images, the same for every judge: the reference, and the others."""
    order = _draw_order(len(real), n)
    return real.rows(order[:n]), real.rows(order[n:2 * n])


def _draw_order(count: int, n: int) -> torch.Tensor:
    if count < 2 * n:
        raise BadValue(f"samples = {n}: real against real needs twice as many real images, and there are {count}: draw "
                       f"at most {count // 2}")
    return torch.randperm(count, generator=generator("real"))


def _by_class(predicted, labels, classes) -> dict:
    per_class = [proportion(predicted[labels == k] == k).as_json() | {"n": int((labels == k).sum())}
                 for k in labels.unique().tolist()]
    return {"per_class": per_class, "confusion": metrics.confusion_matrix(labels, predicted, classes).tolist()}


def _answers(probabilities, labels) -> dict[str, Estimate]:
    """The accuracy, and the mean probability of the class of the prompt."""
    return {"accuracy": proportion(probabilities.argmax(1) == labels),
            "target_probability": proportion(probabilities[torch.arange(len(labels)), labels])}


def _beside(values: dict[str, Estimate], real: dict[str, Estimate]) -> dict:
    return {name: value.as_json() | ({"real": real[name].as_json()} if name in real else {})
            for name, value in values.items()}
