"""Runs of several seeds train at once."""

import pytest

from experiments import seeds
from lada_tf.errors import UserError
from tests.small import SMALL_FLAGS


def test_failed_runs_are_named_after_the_others_have_ended(tmp_path, monkeypatch):
    codes = {"a-0": 1, "a-1": 0, "b-0": 0}
    monkeypatch.setattr(seeds, "_train", lambda run_dir, _: codes[run_dir.name])
    ended = []
    with pytest.raises(UserError, match="a-0 failed"):
        ended.extend(
            run_dir.name for run_dir in seeds.train_runs(codes, tmp_path, jobs=2)
        )
    assert sorted(ended) == ["a-1", "b-0"]


@pytest.mark.slow
def test_runs_have_metrics_and_a_log(tmp_path):
    runs = {"a-0": [*SMALL_FLAGS, "--total_images=8", "--log_images=4"]}
    (run_dir,) = seeds.train_runs(runs, tmp_path, jobs=1)
    assert (run_dir / "metrics.jsonl").read_text()
    assert (tmp_path / "a-0.log").exists()


def test_the_mean_and_the_range_of_seeds():
    assert seeds.mean_and_range([1.0, 2.0, 6.0]) == "3.00 (1.00 to 6.00)"
