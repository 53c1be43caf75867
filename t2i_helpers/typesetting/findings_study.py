"""What the report finds in the study of guidance; see findings.py."""

from .claims import above, contains, overlap

STEPS = ("Five", "Ten", "Twenty", "Fifty")
DISGUISED = ("Tcfg", "Mag", "IntervalSigma")


def like_a_smaller_scale(n) -> bool:
    """Whether three rules at w = 5 are not told from plain guidance at w = 3."""
    return all(overlap(n[f"StudyCifar{rule}WFive{metric}"], n[f"StudyCifarCfgWThree{metric}"])
               for rule in DISGUISED for metric in ("Accuracy", "Diversity"))


STUDY = {
    # 08_guidance_study
    "study-exchange": lambda n: (
        above(n.StudyCifarCfgWFiveAccuracy, n.StudyCifarCfgWOneAccuracy)
        and above(n.StudyCifarCfgWOneDiversity, n.StudyCifarCfgWFiveDiversity)
        and above(n.StudyCifarCfgWFiveSaturation, n.StudyCifarCfgWOneSaturation)),
    "study-diversity-real": lambda n: above(n.StudyCifarRealDiversity, n.StudyCifarCfgWOneDiversity),
    "study-rescale": lambda n: (
        overlap(n.StudyCifarRescaleWFiveSaturation, n.StudyCifarRealSaturation)
        and above(n.StudyCifarCfgWFiveSaturation, n.StudyCifarRescaleWFiveSaturation)
        and overlap(n.StudyCifarRescaleWFiveAccuracy, n.StudyCifarCfgWFiveAccuracy)),
    "study-threshold": lambda n: (
        above(n.StudyCifarRealSaturation, n.StudyCifarThresholdWFiveSaturation)
        and overlap(n.StudyCifarThresholdWFiveAccuracy, n.StudyCifarCfgWFiveAccuracy)),
    "study-apg": lambda n: (
        overlap(n.StudyCifarApgWFiveAccuracy, n.StudyCifarCfgWThreeAccuracy)
        and above(n.StudyCifarCfgWThreeSaturation, n.StudyCifarApgWFiveSaturation)),
    "study-disguise": lambda n: (
        like_a_smaller_scale(n)
        and all(above(n[f"StudyCifar{rule}WFiveDiversity"], n.StudyCifarCfgWFiveDiversity) for rule in DISGUISED)
        and above(n.StudyCifarCfgWFiveAccuracy, n.StudyCifarTcfgWFiveAccuracy)
        and overlap(n.StudyCifarCfgWFiveAccuracy, n.StudyCifarMagWFiveAccuracy)
        and overlap(n.StudyCifarCfgWFiveAccuracy, n.StudyCifarIntervalSigmaWFiveAccuracy)),
    "study-interval": lambda n: n.StudyCifarIntervalSigmaWFivePasses.value < n.StudyCifarCfgWThreePasses.value,
    "study-home": lambda n: (
        above(n.StudyMnistCfgWTwoAccuracy, n.StudyMnistThresholdWTwoAccuracy)
        and overlap(n.StudyMnistRescaleWTwoAccuracy, n.StudyMnistCfgWTwoAccuracy)
        and above(n.StudyMnistCfgWTwoSaturation, n.StudyMnistRescaleWTwoSaturation)),
    "study-auto-mnist": lambda n: (
        overlap(n.StudyMnistAutoWOnePointFiveAccuracy, n.StudyMnistCfgWOneAccuracy)
        and overlap(n.StudyMnistAutoWOnePointFiveAccuracy, n.StudyMnistCfgWTwoAccuracy)),
    "study-auto-cifar": lambda n: (
        overlap(n.StudyCifarAutoWOnePointFiveAccuracy, n.StudyCifarCfgWOneAccuracy)
        and above(n.StudyCifarAutoWOnePointFiveSaturation, n.StudyCifarRealSaturation)),
    "study-pag": lambda n: (
        all(overlap(n[f"Study{data}{rule}WTwo{metric}"], n[f"Study{data}CfgWTwo{metric}"])
            for data in ("Mnist", "Cifar") for rule in ("Pag", "Slg", "Seg")
            for metric in ("Accuracy", "Diversity", "Saturation"))
        and all(n[f"Study{data}{rule}WTwoPasses"].value == 1.5 * n[f"Study{data}CfgWTwoPasses"].value
                for data in ("Mnist", "Cifar") for rule in ("Pag", "Slg", "Seg"))
        and n.StudyCifarPagWTwoPasses.value == 1.5 * n.StudyCifarCfgWTwoPasses.value),
    "study-distances": lambda n: (
        overlap(n.StudyCifarIntervalSigmaWFiveFrechet, n.StudyCifarCfgWOneFrechet)
        and above(n.StudyCifarIntervalSigmaWFiveFrechet, n.StudyCifarRealFrechet)
        and above(n.StudyCifarCfgWOneFrechet, n.StudyCifarRealFrechet)
        and n.StudyCifarIntervalSigmaWFiveFrechet.value == min(
            each.value for each in n.like("StudyCifar(?!Real).*Frechet"))),
    "loss-similarity": lambda n: (
        above(n.LossSimilaritySZeroPointTwoAccuracy, n.LossSimilaritySZeroAccuracy)
        and overlap(n.LossSimilaritySZeroPointTwoAccuracy, n.LossSimilaritySZeroPointEightAccuracy)),
    "loss-classifier": lambda n: above(n.LossClassifierSZeroPointTwoAccuracy, n.LossClassifierSZeroAccuracy),
    "loss-colour": lambda n: (
        above(n.LossColourSZeroAtEnd, n.LossColourSOneAtEnd)
        and not above(n.LossColourSOneAccuracy, n.LossColourSZeroAccuracy)),
    "best-of": lambda n: (
        above(n.BestOfCifarCaptionAccuracy, n.BestOfCifarAllAccuracy)
        and overlap(n.BestOfCifarBlurAccuracy, n.BestOfCifarAllAccuracy)),
    "samplers-few": lambda n: (
        overlap(n.SamplersDdpmSFiveAccuracy, n.SamplersDdpmSHundredAccuracy, n.SamplersDdpmSThousandAccuracy)
        and overlap(n.SamplersDdpmSFiveFrechet, n.SamplersDdpmSHundredFrechet)),
    "samplers-alike": lambda n: (
        all(overlap(*(n[f"Samplers{solver}S{steps}{metric}"] for solver in ("Ddpm", "Ddim", "Dpm", "Unipc")))
            for steps in STEPS for metric in ("Accuracy", "Frechet"))),
    "samplers-same": lambda n: all(
        n[f"SamplersDdimFullS{steps}{metric}"].text == n[f"SamplersDdpmS{steps}{metric}"].text
        for steps in STEPS for metric in ("Accuracy", "Frechet")),
    "samplers-sigma": lambda n: (
        above(n.SamplersDdpmSFiveAccuracy, n.SamplersLmsSFiveAccuracy)
        and above(n.SamplersDdpmSFiveAccuracy, n.SamplersEulerSFiveAccuracy)
        and above(n.SamplersDdpmSFiveAccuracy, n.SamplersHeunSFiveAccuracy)
        and all(overlap(n[f"Samplers{solver}SFifty{metric}"], n[f"SamplersDdpmSFifty{metric}"])
                for solver in ("Lms", "Euler", "Heun") for metric in ("Accuracy", "Frechet"))),
    "sigma-drop": lambda n: n.SigmaTrailingFirst.value > 1000 * n.SigmaTrailingSecond.value,
    "spacing-leading": lambda n: (
        above(n.SpacingDpmTrailingSFiveAccuracy, n.SpacingDpmLeadingSFiveAccuracy)
        and above(n.SpacingDdpmLeadingSFiveFrechet, n.SpacingDdpmTrailingSFiveFrechet)),
    "spacing-ddpm-ten": lambda n: (
        overlap(n.SpacingDdpmLeadingSTenFrechet, n.SpacingDdpmTrailingSTenFrechet)
        and overlap(n.SpacingDdpmLeadingSTenAccuracy, n.SpacingDdpmTrailingSTenAccuracy)),
    "averages-help": lambda n: (
        above(n.AveragesRawWOneFrechet, n.AveragesRisingWOneFrechet)
        and above(n.AveragesRisingWOneAccuracy, n.AveragesRawWOneAccuracy)),
    "averages-hidden": lambda n: (
        overlap(n.AveragesRawWTwoFrechet, n.AveragesRisingWTwoFrechet)
        and overlap(n.AveragesRawWTwoAccuracy, n.AveragesRisingWTwoAccuracy)),
    "averages-slow": lambda n: (
        above(n.AveragesSlowestWTwoFrechet, n.AveragesSlowWTwoFrechet, n.AveragesRisingWTwoFrechet)),
    "averages-diversity": lambda n: (
        overlap(n.AveragesSlowestWTwoDiversity, n.AveragesRealDiversity)
        and n.AveragesSlowestWTwoAccuracy.value < 0.15),
    "frechet-six": lambda n: (
        n.FrechetOfSixCifar.value > n.FrechetOfHundredCifar.value > n.FrechetOfThousandCifar.value > 1
        and n.FrechetOfSixMnist.value > n.FrechetOfThousandMnist.value > 1),
    "encoders-captions": lambda n: (
        overlap(n.EncodersMinilmCaptionAccuracy, n.EncodersRandomCaptionAccuracy, n.EncodersOneHotCaptionAccuracy)),
    "encoders-digit": lambda n: (
        overlap(n.EncodersRandomDigitAccuracy, n.EncodersRandomCaptionAccuracy)
        and overlap(n.EncodersRandomPictureAccuracy, n.EncodersRandomCaptionAccuracy)),
    "encoders-word": lambda n: (
        above(n.EncodersMinilmSevenAccuracy, n.EncodersRandomSevenAccuracy)
        and contains(n.EncodersRandomSevenAccuracy, 0.1)),
    "recognition-mnist": lambda n: (
        n.RecognitionMnistWOneGuessMedian.value < 0.5 and n.RecognitionMnistWTwoGuessMedian.value == 0
        and (n.RecognitionMnistWOneNoisyMedian.value > 0.7) and (n.RecognitionMnistWTwoNoisyMedian.value > 0.7)
        and (n.RecognitionMnistWOneGuessImages.value > 90)),
    "recognition-cifar": lambda n: (
        n.RecognitionCifarWFiveGuessMedian.value > n.RecognitionMnistWOneGuessMedian.value
        and n.RecognitionCifarWOneGuessMedian.value > n.RecognitionMnistWOneGuessMedian.value
        and (n.RecognitionCifarWOneGuessImages.value < 0.5 * n.RecognitionSamples.value)),
}
