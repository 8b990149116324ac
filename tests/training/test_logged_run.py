"""The logs of a run directory, as the diagnosis reads them."""

import json

import numpy as np
from PIL import Image

from lada_tf.models import PRESETS
from lada_tf.sampling.grids import tile
from lada_tf.training.callbacks import GRID_COLUMNS
from lada_tf.training.logged_run import read_run, split_grid
from lada_tf.training.run_directory import RunDirectory

HEALTHY = {
    "d_loss": 0.7,
    "g_loss": 1.4,
    "r1": 20.0,
    "real_accuracy": 0.94,
    "fake_accuracy": 0.93,
}


def test_a_run_directory_is_read(tmp_path):
    lines = [
        {"images": 16, **HEALTHY},
        {"images": 16, "FD (other)": 1.0},
        {"images": 32, "FID": 30.0, "KID": 0.1},
        {"images": 64, "FID": 20.0, "KID": 0.1},
    ]
    write_run(tmp_path, "\n".join(map(json.dumps, lines)))
    (tmp_path / "samples/grid-0000000000.png").touch()  # of untrained networks
    (tmp_path / "nonfinite-0000000007-1.json").touch()
    run = read_run(tmp_path)
    assert run.images_seen == 16
    assert run.distances == [(32, 30.0), (64, 20.0)]
    assert run.training_images == 997
    assert run.grid is None
    assert run.nonfinite_images == 7 * 16


def test_the_images_of_a_subset_are_counted(tmp_path):
    write_run(tmp_path, "", "portraits:1:32px:center_crop:997:50@0")
    assert read_run(tmp_path).training_images == 50


def test_a_run_with_a_users_attention_imports_nothing(tmp_path):
    write_run(tmp_path, "", g_attention="absent_module:Attention")
    assert read_run(tmp_path).images_seen == 0


def test_the_images_of_a_grid_are_split_as_they_were_tiled():
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
    picture = Image.fromarray(tile(images, columns=GRID_COLUMNS))
    np.testing.assert_array_equal(split_grid(picture), images)


def write_run(path, metrics, data="portraits:1:32px:center_crop:997", **settings):
    directory = RunDirectory(path)
    directory.start(PRESETS["tiny"], {}, data)
    directory.release_lock()
    with directory.flags_file.open("a") as file:
        file.writelines(f"--{name}={value}\n" for name, value in settings.items())
    directory.metrics_file.write_text(metrics)
