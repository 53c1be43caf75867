"""The quick part of soak.py: commands that are killed, and two trainings in one folder."""

import time

import pytest
import soak


@pytest.mark.parametrize("name", ["train", "data build-wikiart", "report"])
def test_a_killed_command_leaves_what_an_undisturbed_one_does_after_it_was_started_again(name, tmp_path):
    row = soak.soak(name, tmp_path, kills=1)
    assert row["kills"] == 1 and row["files"] >= 3 and row["different"] == []


def test_a_second_training_in_a_folder_is_refused_until_the_first_has_ended_or_was_killed(tmp_path):
    home = soak.prepare("train", tmp_path / "home")
    first = soak.start("train", home)
    while not (home / "run" / "config.json").exists():
        assert first.exitcode is None
        time.sleep(0.05)
    second = soak.start("train", home)
    second.join()
    message = soak.log(home, second.pid).read_text().strip().splitlines()[-1]
    assert second.exitcode == 2 and message.startswith("t2i: ") and f"process {first.pid}" in message
    first.kill()
    first.join()
    soak.finish("train", home)
