"""Lineage: the parents of a run, for people and for model cards."""

import json

import pytest

from lada_tf.errors import UserError
from lada_tf.models import get_preset
from lada_tf.training.lineage import describe_lineage, describe_origin, read_origin
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.run_log import RunLog

PRESET = get_preset("tiny")
CHANGED = {"data": ["/home/ada/a", "/home/ada/b"], "r1_gamma": ["0.01", "0.5"]}


def make_run(path, init_from="", changed=CHANGED, metrics=()):
    run = RunDirectory(path)
    facts = {"sha256": "12ab" * 16, "images_seen": 40_000, "changed": changed}
    options = {"seed": 0, "best_by": "kid"} | (
        {"init_from": str(init_from)} if init_from else {}
    )
    run.start(PRESET, options, "x:1", json.dumps(facts) if init_from else "")
    for images, kid in metrics:
        RunLog(run).write(images, {"KID (small classifier)": kid, "FD": 0.1})
    run.release_lock()
    return run


def test_a_run_and_its_parents_are_described(tmp_path):
    make_run(tmp_path / "a", "portraits")
    make_run(tmp_path / "b", f"{tmp_path / 'a'}:best", metrics=[(8, 0.3), (16, 0.25)])
    make_run(tmp_path / "c", tmp_path / "b", changed={})
    text = describe_lineage(tmp_path / "c")
    runs = [line for line in text.splitlines() if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in runs] == [
        str(tmp_path / name) for name in "cba"
    ]
    assert "from portraits (40,000 images seen, SHA-256 12ab12ab12ab" in text
    assert "best KID (small classifier): 0.25 at 16 images" in text
    assert text.count("r1_gamma: 0.01 -> 0.5") == 2


def test_a_circle_of_parents_ends(tmp_path):
    make_run(tmp_path / "a", tmp_path / "b")
    make_run(tmp_path / "b", tmp_path / "a")
    assert describe_lineage(tmp_path / "a").count("images seen, SHA") == 2


@pytest.mark.parametrize(
    ("source", "base_model", "name"),
    [
        ("hf://ada/faces@v1", "ada/faces", "hf://ada/faces@v1"),
        ("official:cifar10", "milmor/LadaGAN", "official:cifar10"),
        ("/home/ada/runs/faces:best", "", "faces:best"),
        ("portraits", "", "portraits"),
    ],
)
def test_the_origin_of_a_card_has_no_local_paths(tmp_path, source, base_model, name):
    hub_id, text = describe_origin(make_run(tmp_path / "run", source))
    assert hub_id == base_model
    assert f"Fine-tuned from {name} (weights SHA-256 12ab12ab" in text
    assert "r1_gamma 0.01 -> 0.5" in text
    assert "/home" not in text


def test_a_run_without_a_parent_has_no_origin(tmp_path):
    run = make_run(tmp_path / "run")
    assert read_origin(run) is None
    assert describe_origin(run) == ("", "")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"sha256": 1, "changed": {"a": 1}}']
)
def test_a_damaged_record_is_one_line(tmp_path, text):
    run = make_run(tmp_path / "run", "portraits")
    lines = run.flags_file.read_text().splitlines()
    lines = [f"# parent: {text}" if "# parent" in line else line for line in lines]
    run.flags_file.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"flags\.cfg: the parent is damaged"):
        read_origin(run)
