"""Files of generated images."""

import io
import json
import tarfile
import zipfile

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.sampling import Samples, generate_images, latents, write_samples

NAMES = ["grid.PNG", "images.npz", "images.zip", "images.tar", "loop.gif", "loop.mp4"]
NAMES += ["directory"]


class FakeExport:
    """Generates images that are linear in the latents."""

    latent_dim, image_size = 3, 8

    def __call__(self, latents, return_attention_maps=False):
        weights = np.random.default_rng(0).normal(0, 0.2, (3, 8 * 8 * 3))
        images = (latents @ weights).reshape(-1, 8, 8, 3).astype(np.float32)
        maps = [np.full((len(latents), 2, side**2), 0.1) for side in (4, 8)]
        return (images, maps) if return_attention_maps else images


@pytest.fixture
def generator():
    return FakeExport()


@pytest.fixture
def expected(generator):
    return generate_images(generator, 5, seed=1)


def read(path):
    """Return the images of an output by name."""
    if path.is_dir():
        return {p.name: np.asarray(Image.open(p)) for p in path.iterdir()}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(enumerate(arrays["arr_0"]))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(path) as archive:
            files = {
                member.name: archive.extractfile(member).read()
                for member in archive
                if member.name.endswith(".png")
            }
    return {k: np.asarray(Image.open(io.BytesIO(v))) for k, v in files.items()}


@pytest.mark.parametrize("name", ["images.npz", "images.zip", "images.tar", "new/dir"])
@pytest.mark.parametrize("batch_size", [2, 64])
def test_images_in_order(generator, expected, tmp_path, name, batch_size):
    output = tmp_path / name
    write_samples(generator, Samples.of_seed(1, 5), output, batch_size=batch_size)
    images = read(output)
    np.testing.assert_allclose([images[k] for k in sorted(images)], expected, atol=1)
    if name != "images.npz":
        assert min(images) == "000000.png"


def test_images_of_seeds_are_named_by_seed(generator, tmp_path):
    seeds = np.array([7, 123456])
    write_samples(generator, Samples(seeds, np.zeros(2, int)), tmp_path / "seeds")
    images = read(tmp_path / "seeds")
    assert sorted(images) == ["seed0007.png", "seed123456.png"]
    [seventh] = generate_images(generator, 1, seed=7)
    np.testing.assert_allclose(images["seed0007.png"], seventh, atol=1)


def test_a_tar_has_the_seed_of_each_image(generator, tmp_path):
    samples = Samples.of_seed(3, 2, truncation=0.5)
    write_samples(generator, samples, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        facts = json.load(archive.extractfile("000001.json"))
    assert facts == {"seed": 3, "index": 1, "truncation": 0.5}


def test_paths_are_rows_of_a_picture(generator, tmp_path):
    samples = Samples.of_seed(0, 2, steps=3)
    write_samples(generator, samples, tmp_path / "rows.png")
    assert Image.open(tmp_path / "rows.png").size == (3 * 64, 2 * 64)


@pytest.mark.parametrize(("head", "columns"), [(None, 5), (1, 3)])
def test_attention_maps_in_a_picture(generator, tmp_path, head, columns):
    write_samples(
        generator,
        Samples.of_seed(0, 2),
        tmp_path / "maps.png",
        attention_maps=True,
        head=head,
    )
    assert Image.open(tmp_path / "maps.png").size == (columns * 66 - 2, 2 * 66 - 2)


@pytest.mark.parametrize("attention_maps", [False, True])
def test_videos_have_a_frame_per_image(generator, tmp_path, attention_maps):
    samples = Samples.of_seed(0, 2, steps=3)
    for name in ("loop.gif", "loop.mp4"):
        write_samples(
            generator,
            samples,
            tmp_path / name,
            attention_maps=attention_maps,
            fps=10,
        )
    with Image.open(tmp_path / "loop.gif") as video:
        assert video.n_frames == 6
        assert video.size == (3 * 260 - 4 if attention_maps else 256, 256)
        assert video.info["duration"] == 100
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "loop.mp4"))
    assert (frames, seconds) == (6, pytest.approx(0.6, abs=0.05))


@pytest.mark.parametrize("name", NAMES)
def test_existing_outputs_are_replaced_only_on_request(generator, tmp_path, name):
    output = tmp_path / "new" / name
    write_samples(generator, Samples.of_seed(0, 3), output)
    before = contents(output)
    samples = Samples.of_seed(1, 2)
    with pytest.raises(UserError, match="already exists"):
        write_samples(generator, samples, output)
    assert contents(output) == before
    write_samples(generator, samples, output, overwrite=True)
    assert contents(output) != before
    write_samples(generator, samples, tmp_path / name)
    assert contents(output) == contents(tmp_path / name)


def contents(path):
    files = path.iterdir() if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_outputs_are_absent(tmp_path, name):
    class Interrupted(FakeExport):
        def __call__(self, latents):
            if latents[0, 0] == last[0]:
                raise KeyboardInterrupt
            return super().__call__(latents)

    [last] = latents(0, 5, 3)
    samples = Samples.of_seed(0, 6)
    with pytest.raises(KeyboardInterrupt):
        write_samples(Interrupted(), samples, tmp_path / name, batch_size=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", ".git"])
def test_files_of_the_user_in_a_directory_are_kept(generator, tmp_path, name):
    for file in (name, "000007.png"):
        (tmp_path / file).touch()
    with pytest.raises(UserError, match=f"contains '{name}'"):
        write_samples(generator, Samples.of_seed(0, 2), tmp_path, overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"000007.png", name}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grid.jpg", {}, "expected"),
        ("a.npz", {"attention_maps": True}, "attention maps"),
        ("grid.png", {"num_images": 5000}, "too many for a .png"),
        ("a.png", {"head": 2, "attention_maps": True}, "head=2"),
    ],
)
def test_impossible_outputs_are_refused(generator, tmp_path, name, options, message):
    samples = Samples.of_seed(0, options.pop("num_images", 2))
    with pytest.raises(UserError, match=message):
        write_samples(generator, samples, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
