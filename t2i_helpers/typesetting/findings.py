"""The findings that the report states, by the names of its claims, as predicates over its numbers.

`n.Name` is a number of numbers.py. Estimates are compared by their intervals: `above` tells them apart, `overlap` says
that they are not told apart; numbers without an interval by their values.
"""

from .claims import above, overlap
from .findings_experiments import EXPERIMENTS
from .findings_study import STUDY, like_a_smaller_scale

FINDINGS = EXPERIMENTS | STUDY | {
    # 00_abstract
    "abstract-parameters": EXPERIMENTS["comparison-parameters"],
    "abstract-accuracy": lambda n: (
        above(n.MnistImprovedAccuracyWTwo, n.MnistThesisAccuracyWTwo)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTwo)
        and (n.MnistThesisSteps.value == n.MnistImprovedSteps.value)
        and (n.CifarThesisSteps.value == n.CifarImprovedSteps.value)),
    "abstract-best": lambda n: (
        above(n.MnistImprovedAccuracyWTwo, n.MnistThesisAccuracyWTwenty)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTen)
        and all(best.value == max(each.value for each in n.like(f"{data}ThesisAccuracyW[A-Z][a-z]*"))
                for data, best in (("Mnist", n.MnistThesisAccuracyWTwenty), ("Cifar", n.CifarThesisAccuracyWTen)))),
    "abstract-paintings": EXPERIMENTS["wikiart-kernel"],
    "abstract-recall": lambda n: (
        above(n.CifarImprovedRecallWOne, n.CifarImprovedRecallWTen)
        and above(n.CifarImprovedAccuracyWTen, n.CifarImprovedAccuracyWOne)),
    "abstract-rules": lambda n: (
        not any(above(n.StudyCifarCfgWFiveFrechet, each) for each in n.like("StudyCifar(?!Real).*Frechet"))
        and len(n.like("StudyCifar(?!Cfg(W|Real))[A-Z].*WTwoFrechet|StudyCifarCfgPlusPlusWOneFrechet")) == 14),
    "abstract-loading": lambda n: (
        10 < n.LoadingSequentialOverRandom.value < 20 and n.LoadingSequentialFiles.value < 2
        and (n.LoadingStreamFiles.value > 0.8 * n.LoadingStoreFiles.value)),
    "abstract-floor": lambda n: (
        n.FrechetOfSixCifar.value > 10 * n.CifarRealFrechet.value and n.CifarRealFrechet.value > 1
        and (n.CifarSamples.value == 1000)),
    # 10_discussion
    "discussion-parameters": lambda n: (
        n.CifarThesisParams.value / 1e6 > 1.5 * n.PrintedCifarParams.value
        and n.WikiartThesisParams.value / 1e6 > 1.5 * n.PrintedWikiartParams.value
        and (n.MnistThesisParams.value == n.PrintedMnistParamsText.value)
        and (n.PrintedMnistParams.value * 1e6 > 2 * n.MnistThesisParams.value)),
    "discussion-printed": lambda n: (
        overlap(n.PrintedAccuracyWTwo, n.PrintedAccuracyWFive, n.PrintedAccuracyWTen)),
    "discussion-cifar": lambda n: (
        above(n.CifarImprovedAccuracyWFive, n.CifarImprovedAccuracyWOne)
        and above(n.CifarImprovedRecallWOne, n.CifarImprovedRecallWFive)
        and above(n.CifarImprovedFrechetWOne, n.CifarImprovedFrechetWFive)
        and above(n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWFive)),
    "discussion-recipe": lambda n: (
        above(n.MnistImprovedAccuracyWTwo, n.MnistThesisAccuracyWTwenty)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTen)
        and (n.MnistThesisSteps.value == n.MnistImprovedSteps.value)
        and (n.CifarThesisSteps.value == n.CifarImprovedSteps.value)),
    "discussion-meeting": lambda n: (
        overlap(n.MnistThesisFrechetWTwenty, n.MnistImprovedFrechetWTwenty)
        and above(n.CifarThesisFrechetWTen, n.CifarImprovedFrechetWTen)),
    "discussion-accuracy-alone": lambda n: (
        overlap(n.CifarImprovedAccuracyWTen, n.CifarRealAccuracy)
        and above(n.CifarRealRecall, n.CifarImprovedRecallWTen)
        and above(n.CifarImprovedFrechetWTen, n.CifarRealFrechet)),
    "discussion-noise": STUDY["averages-diversity"],
    "discussion-loading": lambda n: (
        10 < n.LoadingSequentialOverRandom.value < 20
        and n.LoadingSequentialEntropy.value < 0.1 * n.LoadingStoreEntropy.value
        and (n.LoadingStoreBatch.value < n.LoadingSequentialBatch.value)),
    "discussion-sampling": lambda n: (
        n.SamplersDdpmSFiveAccuracy.value > 0.95
        and above(n.StudyCifarCfgWFiveSaturation, n.StudyCifarRescaleWFiveSaturation)
        and overlap(n.StudyCifarRescaleWFiveAccuracy, n.StudyCifarCfgWFiveAccuracy)),
    "discussion-interval": lambda n: (
        above(n.StudyCifarIntervalSigmaWFiveDiversity, n.StudyCifarCfgWFiveDiversity)
        and overlap(n.StudyCifarIntervalSigmaWFiveFrechet, n.StudyCifarCfgWFiveFrechet)),
    "discussion-averages": lambda n: (
        above(n.AveragesRawWOneFrechet, n.AveragesRisingWOneFrechet)
        and overlap(n.AveragesRawWTwoFrechet, n.AveragesRisingWTwoFrechet)),
    "discussion-small": lambda n: (
        n.CifarDemoParams.value < 0.1 * n.CifarThesisParams.value
        and n.WikiartDemoParams.value < 0.1 * n.WikiartThesisParams.value),
    "discussion-learning-rate": lambda n: n.CifarImprovedLearningRate.value > n.CifarFullLearningRate.value,
    # 11_conclusion
    "conclusion-accuracy": lambda n: (
        above(n.CifarImprovedAccuracyWFive, n.CifarImprovedAccuracyWOne)
        and above(n.CifarImprovedRecallWOne, n.CifarImprovedRecallWFive)),
    "conclusion-both": lambda n: (
        above(n.MnistThesisAccuracyWTwenty, n.MnistThesisAccuracyWOne)
        and above(n.CifarThesisAccuracyWTen, n.CifarThesisAccuracyWOne)
        and above(n.MnistImprovedAccuracyWTwo, n.MnistThesisAccuracyWTwenty)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTen)),
    "conclusion-paintings": EXPERIMENTS["wikiart-kernel"],
    "conclusion-rules": lambda n: (
        overlap(n.StudyCifarRescaleWFiveAccuracy, n.StudyCifarCfgWFiveAccuracy)
        and above(n.StudyCifarCfgWFiveSaturation, n.StudyCifarRescaleWFiveSaturation)),
    "conclusion-disguise": like_a_smaller_scale,
    "conclusion-solvers": lambda n: (
        above(n.SpacingDpmTrailingSFiveAccuracy, n.SpacingDpmLeadingSFiveAccuracy)
        and n.SpacingDpmTrailingSFiveAccuracy.value > 0.95),
    "conclusion-language": lambda n: above(n.EncodersMinilmSevenAccuracy, n.EncodersRandomSevenAccuracy),
    "conclusion-floor": lambda n: (
        n.StudyCifarRealFrechet.value > 10
        and overlap(n.StudyCifarIntervalSigmaWFiveFrechet, n.StudyCifarCfgWOneFrechet)
        and n.StudyCifarIntervalSigmaWFiveFrechet.value == min(
            each.value for each in n.like("StudyCifar(?!Real).*Frechet"))),
}
