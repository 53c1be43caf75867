"""What the report finds on digits, photographs and paintings; see findings.py."""

from .claims import above, contains, overlap

EXPERIMENTS = {
    # 04_mnist
    "mnist-parameters-as-printed": lambda n: n.PrintedMnistParamsText.value == n.MnistThesisParams.value,
    "mnist-unguided-variants": lambda n: above(n.MnistImprovedAccuracyWOne, n.MnistThesisAccuracyWOne),
    "mnist-thesis-guided": lambda n: above(n.MnistThesisAccuracyWFive, n.MnistThesisAccuracyWOne),
    "mnist-unconditional-chance": lambda n: (
        contains(n.MnistThesisAccuracyWZero, 1 / 10) and contains(n.MnistImprovedAccuracyWZero, 1 / 10)),
    "mnist-thesis-larger-better": lambda n: (
        above(n.MnistThesisAccuracyWTwo, n.MnistThesisAccuracyWOne)
        and above(n.MnistThesisAccuracyWFive, n.MnistThesisAccuracyWTwo)
        and above(n.MnistThesisAccuracyWTen, n.MnistThesisAccuracyWFive)
        and overlap(n.MnistThesisAccuracyWTen, n.MnistThesisAccuracyWTwenty)),
    "mnist-thesis-distance-falls": lambda n: (
        above(n.MnistThesisFrechetWOne, n.MnistThesisFrechetWFive)
        and above(n.MnistThesisFrechetWFive, n.MnistThesisFrechetWTen)),
    "mnist-improved-needs-little": lambda n: (
        above(n.MnistImprovedAccuracyWOne, n.MnistThesisAccuracyWTwenty)
        and n.MnistThesisAccuracyWTwenty.value == max(
            each.value for each in n.like("MnistThesisAccuracyW[A-Z][a-z]*"))),
    "mnist-improved-indistinct": lambda n: (
        overlap(n.MnistImprovedAccuracyWTwo, n.MnistRealAccuracy)
        and overlap(n.MnistImprovedAccuracyWTwo, n.MnistImprovedAccuracyWOne)
        and overlap(n.MnistImprovedAccuracyWTwo, n.MnistImprovedAccuracyWFive)
        and overlap(n.MnistImprovedAccuracyWTwo, n.MnistImprovedAccuracyWTen)),
    "mnist-improved-distance-rises": lambda n: (
        overlap(n.MnistImprovedFrechetWOne, n.MnistRealFrechet)
        and above(n.MnistImprovedFrechetWFive, n.MnistImprovedFrechetWOne)
        and above(n.MnistImprovedFrechetWTwenty, n.MnistImprovedFrechetWFive)),
    "mnist-improved-recall-falls": lambda n: (
        above(n.MnistImprovedRecallWOne, n.MnistImprovedRecallWTwo)
        and above(n.MnistImprovedRecallWTwo, n.MnistImprovedRecallWFive)),
    "mnist-five-too-much": lambda n: (
        above(n.MnistImprovedFrechetWFive, n.MnistImprovedFrechetWOne)
        and (not above(n.MnistImprovedAccuracyWFive, n.MnistImprovedAccuracyWTwo))),
    "mnist-five-too-little": lambda n: above(n.MnistThesisAccuracyWTen, n.MnistThesisAccuracyWFive),
    "mnist-noise": lambda n: n.NoiseThesisDifference.low > 0 and n.NoiseImprovedDifference.low > 0,
    "mnist-noise-real": lambda n: above(n.NoiseReal, n.NoiseThesisGuided),
    "mnist-noise-background": lambda n: (
        n.NoiseImprovedBackgroundDifference.low > 0 and contains(n.NoiseThesisBackgroundDifference, 0)
        and 0.5 / 255 < n.NoiseImprovedBackgroundDifference.value < 1.5 / 255),
    # 05_cifar10
    "cifar-parameters-not-printed": lambda n: (
        1.9 < n.CifarThesisParams.value / 1e6 / n.PrintedCifarParams.value < 2),                 # printed in millions
    "cifar-printed-not-chance": lambda n: n.PrintedAccuracyWTwo.low > 0.1,
    "cifar-printed-accuracy-overlaps": lambda n: (
        overlap(n.PrintedAccuracyWTwo, n.PrintedAccuracyWFive, n.PrintedAccuracyWTen)
        and n.PrintedCifarSamples.value == 1000),
    "cifar-unconditional-chance": lambda n: (
        contains(n.CifarThesisAccuracyWZero, 1 / 10) and contains(n.CifarImprovedAccuracyWZero, 1 / 10)),
    "cifar-improved-unguided-above-chance": lambda n: above(n.CifarImprovedAccuracyWOne, n.CifarImprovedAccuracyWZero),
    "cifar-improved-accuracy-rises": lambda n: (
        above(n.CifarImprovedAccuracyWTwo, n.CifarImprovedAccuracyWOne)
        and above(n.CifarImprovedAccuracyWFive, n.CifarImprovedAccuracyWTwo)),
    "cifar-improved-accuracy-saturates": lambda n: (
        overlap(n.CifarImprovedAccuracyWTen, n.CifarImprovedAccuracyWFive)
        and overlap(n.CifarImprovedAccuracyWTen, n.CifarRealAccuracy)),
    "cifar-thesis-accuracy-rises": lambda n: (
        above(n.CifarThesisAccuracyWFive, n.CifarThesisAccuracyWTwo)
        and above(n.CifarThesisAccuracyWTen, n.CifarThesisAccuracyWFive)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTen)),
    "cifar-improved-distance-has-minimum": lambda n: (
        above(n.CifarImprovedFrechetWOne, n.CifarImprovedFrechetWTwo)
        and overlap(n.CifarImprovedFrechetWTwo, n.CifarImprovedFrechetWFive)
        and above(n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWTwo)
        and above(n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWFive)),
    "cifar-thesis-distance-falls": lambda n: (
        above(n.CifarThesisFrechetWTwo, n.CifarThesisFrechetWFive, n.CifarThesisFrechetWTen)
        and above(n.CifarThesisFrechetWTen, n.CifarImprovedFrechetWZero)),
    "cifar-far-from-floor": lambda n: (
        n.CifarImprovedFrechetWFive.low > 3 * n.CifarRealFrechet.high and n.CifarImprovedFrechetWFive.value
        == min(each.value for each in n.like("Cifar(Thesis|Improved)FrechetW[A-Z][a-z]*"))),
    "cifar-kernel-undecided": lambda n: (
        overlap(n.CifarImprovedKernelWTwo, n.CifarImprovedKernelWFive)
        and overlap(n.CifarImprovedKernelWTwo, n.CifarImprovedKernelWTen)
        and overlap(n.CifarImprovedKernelWFive, n.CifarImprovedKernelWTen)),
    "cifar-floor-falls": lambda n: (
        n.CifarFloorFewImages.value < n.CifarFloorManyImages.value
        and n.CifarFloorFewFrechet.value > n.CifarFloorManyFrechet.value),
    "cifar-floor-few-exceeds-generated": lambda n: (
        n.CifarFloorFewFrechet.value > n.CifarImprovedFrechetWFive.high
        and n.CifarSamples.value > n.CifarFloorFewImages.value),
    "cifar-improved-recall-falls": lambda n: (
        above(n.CifarImprovedRecallWTwo, n.CifarImprovedRecallWFive)
        and above(n.CifarImprovedRecallWFive, n.CifarImprovedRecallWTen)),
    "cifar-precision-above-real": lambda n: above(n.CifarImprovedPrecisionWFive, n.CifarRealPrecision),
    "cifar-precision-tinted": lambda n: above(n.CifarThesisPrecisionWZero, n.CifarRealPrecision),
    "cifar-vehicles-easier-at-two": lambda n: above(n.CifarImprovedVehiclesWTwo, n.CifarImprovedAnimalsWTwo),
    "cifar-vehicles-alike-later": lambda n: (
        overlap(n.CifarImprovedVehiclesWFive, n.CifarImprovedAnimalsWFive)
        and overlap(n.CifarImprovedVehiclesWTen, n.CifarImprovedAnimalsWTen)),
    "cifar-animals-easier-unconditional": lambda n: above(n.CifarImprovedAnimalsWZero, n.CifarImprovedVehiclesWZero),
    "cifar-cats-and-dogs": lambda n: (
        overlap(n.CifarImprovedCatDogWTen, n.CifarImprovedCatDogWTwo) and n.CifarImprovedCatDogWTen.low > 0.1),
    "cifar-dogs-become-cats": lambda n: above(n.CifarImprovedDogAsCatWTen, n.CifarImprovedCatAsDogWTen),
    "cifar-birds-and-airplanes": lambda n: (
        above(n.CifarImprovedCatDogWTwo, n.CifarImprovedBirdAirplaneWTwo)
        and above(n.CifarImprovedCatDogWTen, n.CifarImprovedBirdAirplaneWTen)
        and n.CifarImprovedBirdAirplaneWTwo.high < 0.1 and n.CifarImprovedBirdAirplaneWTen.high < 0.1),
    "cifar-thesis-birds-unread": lambda n: (
        overlap(n.CifarThesisBirdAirplaneWTen, n.CifarThesisBirdAirplaneWZero)
        and n.CifarThesisSeenAirplaneWZero.value > 0.5),
    "comparison-thesis-large-w": lambda n: (
        above(n.MnistThesisFrechetWFive, n.MnistThesisFrechetWTen)
        and above(n.CifarThesisFrechetWFive, n.CifarThesisFrechetWTen)
        and above(n.MnistThesisAccuracyWTen, n.MnistThesisAccuracyWFive)
        and above(n.CifarThesisAccuracyWTen, n.CifarThesisAccuracyWFive)),
    "comparison-improved-tradeoff": lambda n: (
        above(n.MnistImprovedFrechetWTen, n.MnistImprovedFrechetWTwo)
        and above(n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWTwo)
        and above(n.MnistImprovedRecallWTwo, n.MnistImprovedRecallWTen)
        and above(n.CifarImprovedRecallWTwo, n.CifarImprovedRecallWTen)),
    # 06_wikiart
    "wikiart-imbalance": lambda n: n.WikiartLargestStyle.value > 100 * n.WikiartSmallestStyle.value,
    "wikiart-sequential-faster": lambda n: (
        10 < n.LoadingSequentialOverRandom.value < 20
        and n.LoadingRandomBatch.value > 10 * n.LoadingSequentialBatch.value),
    "wikiart-sequential-inside": lambda n: (
        1000 * n.PrintedLoadingSequentialBatch.value <= n.LoadingSequentialBatch.value <= 500),
    "wikiart-sequential-memory": lambda n: n.LoadingSequentialMemory.value > 8 * n.PrintedLoadingSequentialMemory.value,
    "wikiart-lru": lambda n: n.LoadingLruBatch.value > 0.9 * n.LoadingRandomBatch.value,
    "wikiart-sequential-mixing": lambda n: (
        n.LoadingSequentialFiles.value < 1.1
        and n.LoadingSequentialEntropy.value < 0.1 * n.LoadingStoreEntropy.value
        and (n.LoadingStoreFiles.value > 10 * n.LoadingSequentialFiles.value)),
    "wikiart-stream": lambda n: (
        n.LoadingStreamRead.value == n.LoadingSequentialRead.value == 1
        and n.LoadingStreamRate.value > 2 * n.LoadingSequentialRate.value
        and (n.LoadingStreamMemory.value < n.LoadingSequentialMemory.value / 3)
        and (n.LoadingStreamEntropy.value > 0.9 * n.LoadingStoreEntropy.value)),
    "wikiart-decoding": lambda n: n.DecodingPillow.value > 1.5 * n.DecodingOurs.value,
    "wikiart-stream-first": lambda n: n.LoadingStreamFirst.value > 2 * n.LoadingSequentialFirst.value,
    "wikiart-store": lambda n: (
        n.LoadingStoreBatch.value < n.LoadingSequentialBatch.value / 1000
        and n.LoadingStoreEntropy.value >= n.LoadingRandomEntropy.value),
    "wikiart-buffers": lambda n: (
        n.LoadingSequentialEntropy.value < n.LoadingStreamingEntropy.value < n.LoadingStreamEntropy.value
        and n.LoadingSequentialEntropy.value < n.LoadingWebdatasetEntropy.value < n.LoadingStreamEntropy.value),
    "wikiart-parameters": lambda n: n.WikiartThesisParams.value / 1e6 > 2 * n.PrintedWikiartParams.value,
    "wikiart-autoencoder": lambda n: n.AutoencoderPsnr.value > n.TaesdPsnr.value > 20,
    "wikiart-kernel": lambda n: above(n.WikiartThesisKernelWFour, n.WikiartImprovedKernelWFour, n.WikiartRealKernel),
    "wikiart-accuracy": lambda n: (
        above(n.WikiartImprovedAccuracyWFour, n.WikiartThesisAccuracyWFour) and n.WikiartRealAccuracy.value < 0.6),
    "wikiart-recall": lambda n: above(n.WikiartRealRecall, n.WikiartImprovedRecallWFour),
    "wikiart-composition": lambda n: n.ComposedUnseenGenre.low > n.ComposedGenreChance.value,
    # 07_comparison
    "comparison-cells": lambda n: n.ContradictedCells.value == 5 and n.ContradictedCellsMnist.value == 3,
    "comparison-mnist": lambda n: (
        n.PrintedMnistParams.value > 1.5 * n.MnistThesisParams.value / 1e6
        and n.PrintedMnistBatchSize.value != n.MnistFullBatchSize.value
        and n.PrintedMnistLearningRate.value != n.MnistFullLearningRate.value),
    "comparison-parameters": lambda n: (
        n.CifarThesisParams.value / 1e6 > 1.5 * n.PrintedCifarParams.value
        and n.WikiartThesisParams.value / 1e6 > 1.5 * n.PrintedWikiartParams.value),
    "comparison-chance": lambda n: (
        contains(n.MnistThesisAccuracyWZero, 0.1) and contains(n.MnistImprovedAccuracyWZero, 0.1)
        and contains(n.CifarThesisAccuracyWZero, 0.1) and contains(n.CifarImprovedAccuracyWZero, 0.1)),
    "comparison-accuracy": lambda n: (
        above(n.MnistImprovedAccuracyWOne, n.MnistImprovedAccuracyWZero)
        and n.MnistImprovedAccuracyWTwo.value > n.MnistImprovedAccuracyWOne.value
        and above(n.CifarImprovedAccuracyWTwo, n.CifarImprovedAccuracyWOne, n.CifarImprovedAccuracyWZero)),
    "comparison-paintings": lambda n: (
        above(n.WikiartImprovedAccuracyWFour, n.WikiartImprovedAccuracyWOne) and n.WikiartRealAccuracy.value < 0.6),
    "comparison-mnist-step": lambda n: (
        overlap(n.MnistImprovedAccuracyWOne, n.MnistImprovedAccuracyWTwo)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarImprovedAccuracyWOne)),
    "comparison-mnist-frechet": lambda n: (
        above(n.MnistImprovedFrechetWFive, n.MnistImprovedFrechetWOne) and n.MnistImprovedAccuracyWOne.value > 0.95),
    "comparison-cifar-frechet": lambda n: (
        above(n.CifarImprovedFrechetWOne, n.CifarImprovedFrechetWFive)
        and above(n.CifarImprovedFrechetWTen, n.CifarImprovedFrechetWFive)),
    "comparison-recall": lambda n: (
        above(n.MnistImprovedRecallWOne, n.MnistImprovedRecallWTen)
        and above(n.CifarImprovedRecallWOne, n.CifarImprovedRecallWTen)),
    "comparison-thesis": lambda n: (
        n.MnistThesisAccuracyWTwenty.value >= n.MnistThesisAccuracyWTen.value
        and above(n.MnistThesisAccuracyWTwenty, n.MnistThesisAccuracyWFive)
        and above(n.CifarThesisAccuracyWTen, n.CifarThesisAccuracyWFive)
        and above(n.MnistImprovedAccuracyWTwo, n.MnistThesisAccuracyWTwenty)
        and above(n.CifarImprovedAccuracyWTwo, n.CifarThesisAccuracyWTen)),
    "comparison-thesis-mnist": lambda n: (
        overlap(n.MnistThesisAccuracyWTwenty, n.MnistThesisAccuracyWTen)
        and above(n.CifarThesisAccuracyWTen, n.CifarThesisAccuracyWFive)),
}
