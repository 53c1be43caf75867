"""Every number and finding that the thesis states, against what was measured here, with a verdict that code decides."""

import re
from dataclasses import dataclass

from .. import presets
from ..reporting.latex import escaped
from .claims import Asked, above, contains, overlap
from .experiments import LOADERS
from .number import SHORT, words

REPRODUCED, CORRECTED, UNTESTABLE = "reproduced", "corrected", "not testable here"


@dataclass(frozen=True)
class Verdict:
    """A claim of the thesis, what was found here (both LaTeX), and why they differ or cannot be compared."""

    claim: str
    printed: str
    here: str
    verdict: str
    reason: str = ""


def all_verdicts(numbers) -> dict[str, list[Verdict]]:
    """{part of the thesis: its claims in order}."""
    n = Asked(numbers)
    return {
        "Table 1: metrics on CIFAR-10": list(_table_1(n)),
        "Table 2: MNIST and CIFAR-10": list(_table_2(n)),
        "Table 3: loading WikiArt": list(_table_3(n)),
        "Table 4: the three experiments": list(_table_4(n)),
        "Sections 3.2 to 3.4: networks, data and training": list(_text(n)),
        "Section 3.2.7: findings on MNIST": list(_findings(n)),
        "Sections 3.3.7 to 3.3.12: findings on CIFAR-10": list(_photographs(n)),
        "Abstract, introduction and conclusion": list(_aims(n)),
        "Faults that the thesis does not name": list(_faults(n)),
    }


def _decided(holds: bool) -> str:
    return REPRODUCED if holds else CORRECTED


def _table_1(n):
    for w in presets.PRINTED["cifar10"]["fid"]:
        at = f"W{words(w)}"
        fid, seen = getattr(n, f"PrintedFid{at}"), getattr(n, f"PrintedAccuracy{at}")
        distances = _both(n, f"Frechet{at}")
        yield Verdict(f"FID at $w={w}$", fid.text, f"{distances} (our classifier's features)", UNTESTABLE,
                      "Inception's weights are not part of the project; a distance on other features is another number")
        yield Verdict(f"accuracy at $w={w}$", seen.text, _both(n, f"Accuracy{at}"), CORRECTED,
                      f"the printed judge's head was never trained; ours is right on {n.CifarJudgeAccuracy.text} of "
                      "real test images")


def _both(n, name, dataset="Cifar") -> str:
    thesis, improved = (getattr(n, f"{dataset}{variant}{name}").text for variant in ("Thesis", "Improved"))
    return f"thesis's recipe {thesis}, improved {improved}"


def _table_2(n):
    for dataset in ("mnist", "cifar10"):
        for row in ("resolution", "channels", "parameters", "epochs"):
            rounded = {"mnist": "~3.1M", "cifar10": "~45M"}[dataset] if row == "parameters" else None
            yield _configured(n, dataset, row, rounded)
    best = best_scales(n, "Mnist", "Frechet", (0, 1, 2, 5, 10, 20))
    yield Verdict("optimal guidance, MNIST", "$w$ from 10 to 20", _scales(best), _decided(best["Thesis"] == [10, 20]),
                  "least Fréchet distance; a trait of the recipe and not of MNIST: the improved one needs far less")
    best = best_scales(n, "Cifar", "Frechet", (0, 1, 2, 5, 10))
    yield Verdict("optimal guidance for quality, CIFAR-10", "$w=2$", _scales(best), _decided(best["Thesis"] == [2]),
                  "least Fréchet distance, with every $w$ whose interval overlaps the best one's")
    best = best_scales(n, "Cifar", "Accuracy", (0, 1, 2, 5, 10))
    yield Verdict("optimal guidance for adherence, CIFAR-10", "$w=10$", _scales(best), _decided(10 in best["Thesis"]),
                  "highest accuracy; among the printed accuracies those of $w=2$, 5 and 10 are not told apart")
    for dataset, quality in (("MNIST", "high"), ("CIFAR-10", "moderate")):
        yield Verdict(f"generation quality, {dataset}", quality, "--", UNTESTABLE, "no measure is given")


def best_scales(n, dataset, metric, scales) -> dict[str, list[int]]:
    """{variant: the best scale and those whose intervals overlap its interval}; least distance or highest accuracy."""
    scales_of = {}
    for variant in ("Thesis", "Improved"):
        found = {w: n[f"{dataset}{variant}{metric}W{words(w)}"] for w in scales}
        best = (min if metric == "Frechet" else max)(found.values(), key=lambda number: number.value)
        scales_of[variant] = [w for w, number in found.items() if overlap(number, best)]
    return scales_of


def _scales(best) -> str:
    told = {variant: ", ".join(map(str, scales)) for variant, scales in best.items()}
    return f"thesis's recipe: $w={told['Thesis']}$; improved: $w={told['Improved']}$"


CONFIGURED = {                                      # a row of Table 4 -> what the text's configuration says
    "resolution": lambda p: f"{p.resolution}×{p.resolution}", "channels": lambda p: str(p.channels),
    "U-Net blocks": lambda p: str(len(p.block_channels)), "batch size": lambda p: str(p.batch_size),
    "learning rate": lambda p: f"{p.learning_rate:.0e}".replace("e-0", "e-"), "epochs": lambda p: str(p.epochs),
}


def _configured(n, dataset, row, printed=None) -> Verdict:
    """A configuration's number as a table prints it, against the text of its section."""
    column = list(SHORT).index(dataset)
    printed = printed or presets.PRINTED_COMPARISON[row][column]
    reasons = {"parameters": "its section's network, built and counted", "training samples": "as the hub has them"}
    if row in CONFIGURED:
        here = CONFIGURED[row](presets.get(dataset, "thesis", "full"))
        same = here == printed
    else:
        key = {"parameters": "FullParams", "training samples": "TrainingImages", "classes": "Classes"}[row]
        number = getattr(n, SHORT[dataset] + key)
        here, same = f"{number.value:,}", _about(printed, number.value)
    return Verdict(f"{row}, {presets.NAMES[dataset]}", _typeset(printed), _typeset(here), _decided(same),
                   reasons.get(row, "" if same else "its own text says otherwise"))


def _about(printed: str, value: float) -> bool:
    """Whether a printed number, "~45M" or "60,000", is `value` to within 2 % (if it says "~") or exactly."""
    number = float(re.sub(r"[~M,]", "", printed)) * (1e6 if printed.endswith("M") else 1)
    return abs(value - number) <= (0.02 if "~" in printed else 0) * value


def _typeset(text: str) -> str:
    """Text with its plain numbers set by siunitx."""
    if re.fullmatch(r"[\d,]+(e-?\d+)?|\de-\d", text):
        return rf"\num{{{text.replace(',', '')}}}"
    return escaped(text)


def _table_3(n):
    for way, (batch, memory) in presets.PRINTED_LOADING.items():
        short = LOADERS[way]
        measured, taken = getattr(n, f"Loading{short}Batch"), getattr(n, f"Loading{short}Memory")
        low, high = (1000 * float(end) for end in re.findall(r"[\d.]+", batch))
        yield Verdict(f"batch time, {way}", escaped(batch), measured.text, _decided(low <= measured.value <= high),
                      "" if low <= measured.value <= high else "another machine; the median over batches")
        if found := re.search(r"([\d.]+) (GB|MB)", memory):
            told = float(found[1]) * (1000 if found[2] == "GB" else 1)
            close = abs(taken.value - told) < 0.25 * told
            reason = "peak of anonymous memory: a file is unpacked when it is read"
            yield Verdict(f"memory, {way}", escaped(memory), taken.text, _decided(close), "" if close else reason)
        else:
            yield Verdict(f"memory, {way}", escaped(memory), taken.text, UNTESTABLE, "no number is printed")
    faster = n.LoadingSequentialOverRandom
    yield Verdict("file-sequential against random access", "20 to 100 times as fast", f"{faster.text} times",
                  _decided(20 <= faster.value <= 100), "median batch times of one run")
    yield Verdict("file-sequential order does not noticeably affect training", "stated", f"style entropy of a batch "
                  f"{n.LoadingSequentialEntropy.text} bits in place of {n.LoadingRandomEntropy.text}", UNTESTABLE,
                  "no training was run in both orders; the mixing that is lost was measured, on files sorted by style")


def _table_4(n):
    for row in presets.PRINTED_COMPARISON:
        for dataset in SHORT:
            if row != "dataset size":
                yield _configured(n, dataset, row)
                continue
            printed = presets.PRINTED_COMPARISON[row][list(SHORT).index(dataset)]
            raw = getattr(n, f"{SHORT[dataset]}RawMegabytes")
            yield Verdict(f"{row}, {presets.NAMES[dataset]}", escaped(printed), f"{raw.text} of raw training pixels",
                          UNTESTABLE, "the size of a download, which depends on its encoding")


def _text(n):
    for short, name, printed in (("Mnist", "MNIST", "3,140,385"), ("Cifar", "CIFAR-10", "~45M"),
                                 ("Wikiart", "WikiArt", "~150M")):
        counted = getattr(n, f"{short}FullParams")
        yield Verdict(f"parameters, {name}", _typeset(printed), counted.text, _decided(_about(printed, counted.value)),
                      "the network that the section describes, built and counted")
    first, last = n.MnistThesisLossFirst, n.MnistThesisLossLast
    quick = n.MnistThesisLossEarly.value - last.value < 0.1 * (first.value - last.value)
    yield Verdict("MNIST's loss falls at once, then a plateau", "Figure 6", f"{first.text} at the start, "
                  f"{n.MnistThesisLossEarly.text} after a tenth of the steps, {last.text} at the end", _decided(quick))
    yield Verdict("empty prompts with guidance, $w=5$", "Figure 5", "the same image at every $w$", CORRECTED,
                  r"with the empty caption on both sides $\epsilon_c-\epsilon_\varnothing=0$: guidance has no effect")
    yield Verdict("WikiArt's captions have up to 77 tokens", "77", "8 in the author's code", CORRECTED,
                  "at 8 tokens all 27 captions become one sequence; a test holds that")
    per_file = presets.TRAINING_IMAGES["wikiart"] / 72
    yield Verdict("samples a file, WikiArt", r"$\sim$\num{1100}", rf"\num{{{per_file:.0f}}}", _decided(
        abs(per_file - 1100) < 0.05 * 1100), r"\num{81444} rows in 72 files")


def _findings(n):
    edges, grain = n.NoiseThesisDifference, n.NoiseThesisBackgroundDifference
    yield Verdict("guided digits ($w=5$) are slightly noisier", "by eye",
                  f"{_signed(edges)} by an estimate that counts edges, {_signed(grain)} in the background "
                  f"({n.NoiseThesisBackgroundDifferenceCI.text})", _decided(edges.low > 0 and grain.low > 0),
                  "paired differences, pixels in [0, 1], thesis's recipe: bolder strokes, no grain that could be told")
    low, high = n.MnistThesisAccuracyWZero, n.MnistThesisAccuracyWFive
    yield Verdict("a mismatch of training and inference", "stated", "no caption was ever dropped", REPRODUCED,
                  "named exactly: the empty caption that guidance subtracts was never learnt")
    yield Verdict("guidance amplifies noise in the predictions", "stated", "--", UNTESTABLE,
                  "true of any extrapolation; its share was not separated")
    better = [w for w in (1, 2, 10, 20) if getattr(n, f"MnistThesisFrechetW{words(w)}").value
              < n.MnistThesisFrechetWFive.value]
    yield Verdict("$w=5$ may not be the optimal scale", "stated",
                  f"nearer to real digits at $w={', '.join(map(str, better))}$", _decided(bool(better)),
                  "Fréchet distance, thesis's recipe")
    yield Verdict("errors accumulate over 50 steps", "stated", "--", UNTESTABLE,
                  "samplers and numbers of steps were studied on an improved network only")
    yield Verdict("guidance helps a network trained without dropout", "Figures 2 and 4",
                  f"accuracy {low.text} at $w=0$, {high.text} at $w=5$", _decided(above(high, low)))


def _signed(number) -> str:
    return f"$+${number.text}" if number.value > 0 else number.text


def _photographs(n):
    zero = n.CifarThesisAccuracyWZero
    yield Verdict("without guidance ($w=0$) accuracy is that of chance", n.PrintedAccuracyWZero.text,
                  _both(n, "AccuracyWZero"), _decided(contains(zero, 0.1)))
    trade = above(n.CifarImprovedAccuracyWTen, n.CifarImprovedAccuracyWTwo) and above(
        n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWTwo)
    yield Verdict("a trade-off of quality and adherence", "Figure 10",
                  "from $w=2$ to $w=10$ accuracy and distance both grow", _decided(trade),
                  "of the improved recipe; the thesis's recipe gains in both up to $w=10$")
    vehicles, animals = n.CifarImprovedVehiclesWFive, n.CifarImprovedAnimalsWFive
    yield Verdict("vehicles are easier than animals", "stated", f"{vehicles.text} and {animals.text} at $w=5$",
                  _decided(above(vehicles, animals)), "improved recipe, our classifier")
    pair, others = n.CifarImprovedCatDogWFive, n.CifarImprovedNextPairWFive
    yield Verdict("cat and dog are the most prominent confusion", "stated",
                  f"{pair.text} of both at $w=5$; the next pair {others.text}", _decided(pair.value > others.value),
                  "improved recipe")
    birds = n.CifarImprovedBirdAirplaneWFive
    yield Verdict("bird and airplane are confused", "stated", f"{birds.text} of both at $w=5$",
                  _decided(birds.value >= others.value), "improved recipe")
    yield Verdict("FID of 56 to 77 indicates reasonable quality", "stated", "--", UNTESTABLE,
                  "public reports put real against real CIFAR-10 at 44 to 58 at that $n$: no floor, no reading")
    yield Verdict("a classifier trained on CIFAR-10 would judge better", "future work",
                  f"real images: {n.CifarRealAccuracy.text} right", _decided(n.CifarRealAccuracy.low > 0.5),
                  "done here")


def _aims(n):
    yield Verdict("the model works in a latent space", "Abstract", "on pixels, in all three experiments", CORRECTED,
                  "there is no autoencoder in its text or code")
    yield Verdict("outperforms GAN-based approaches, CAN among them", "Abstract, Conclusion", "--", UNTESTABLE,
                  "no GAN was run, there or here")
    none, much = n.CifarImprovedFrechetWZero, n.CifarImprovedFrechetWFive
    yield Verdict("the guidance scale plays a crucial role for quality", "Conclusion",
                  f"improved: distance {none.text} at $w=0$, {much.text} at $w=5$", _decided(above(none, much)))
    yield Verdict("the Discussion's findings", "template text", "written and checked", CORRECTED, "see the discussion")


def _faults(n):
    yield Verdict("MNIST is trained without caption dropout", "--",
                  "accuracy at $w=2$: " + _both(n, "AccuracyWTwo", "Mnist"), CORRECTED,
                  "improved drops a tenth of the captions (and differs in more)")
    yield Verdict("MNIST's pixels are in [0, 1] in training, and decoded as if in [-1, 1]", "--",
                  "decoded as they were trained", CORRECTED, "improved trains in [-1, 1]")
    yield Verdict("eight tokens cut WikiArt's captions", "--", f"{n.WikiartImprovedMaxLength.text} tokens", CORRECTED,
                  "a caption that would be cut is refused")
    yield Verdict("FID of 1,000 against 1,000 images", "--",
                  f"real photographs against real ones: {n.CifarRealFrechet.text} at that $n$", CORRECTED,
                  "every distance stands beside its floor and with its interval")
    yield Verdict("accuracy by an untrained head", "--", f"a judge right on {n.CifarJudgeAccuracy.text}", CORRECTED,
                  "the printed differences between $w=2$, 5 and 10 lie inside their intervals")
    differing = sum(verdict.verdict == CORRECTED for verdict in _table_4(n))
    yield Verdict("Tables 2 and 4 contradict the text", "--", f"{differing} numbers of Table 4", CORRECTED,
                  "tables are made from presets and runs")
    yield Verdict("the WikiArt loader: each worker yields every sample; no seed, no resume; errors are swallowed", "--",
                  "every row once, over workers and ranks", CORRECTED, "seeded, resumable, damaged rows are listed")


def summary(verdicts) -> dict[str, int]:
    """How many claims of the thesis met each verdict; the faults, which it does not claim, are left out."""
    *claims, _ = verdicts.values()
    found = [verdict.verdict for part in claims for verdict in part]
    return {verdict: found.count(verdict) for verdict in (REPRODUCED, CORRECTED, UNTESTABLE)}
