"""The benchmark command's arithmetic."""

import pytest


def test_bench_reports_ratios_to_batch_one():
    from t2i_helpers.evaluation.bench import bench_sample

    rows = bench_sample(batch_sizes=(1, 2), seconds=0.0)
    assert [row["batch_size"] for row in rows] == [1, 2]
    assert rows[0]["ratio_to_batch_1"] == 1.0
    assert rows[1]["ratio_to_batch_1"] == pytest.approx(
        rows[1]["images_per_second"] / rows[0]["images_per_second"], abs=0.02)
