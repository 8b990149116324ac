"""Numbers in the pages' tables come from the code or from a file in docs/data."""

import json
import re
import statistics
from collections import Counter

import pytest

from benchmarks import (
    attention,
    data_throughput,
    evaluation_sense,
    gpu_session,
    peer,
    sampling,
    serving,
    train_step,
    training_memory,
)
from benchmarks.report import PAPER_THROUGHPUT
from experiments import finetuning
from experiments.figure5 import read_runs
from experiments.rows import rows_named
from lada_tf.evaluation.protocols import PROTOCOLS
from lada_tf.models import PRESETS
from lada_tf.models.cost import PAPER_COSTS, preset_costs
from tests.docs.pages import ROOT, table

EVALUATION = ROOT / "docs/evaluation.md"
EXPERIMENTS = ROOT / "docs/experiments.md"
GUIDE = ROOT / "docs/guide.md"
DIAGNOSIS = ROOT / "docs/diagnosis.md"
PERFORMANCE = ROOT / "docs/performance.md"
DATA = ROOT / "docs/data"
SUMMARY = json.loads((DATA / "summary.json").read_text())
GPU = json.loads((DATA / "gpu.json").read_text())["rows"]
TRAINING_IMAGES = {  # of the presets' datasets
    "cifar10": 50_000,
    "celeba64": 162_770,
    "ffhq128": 70_000,
    "bedroom128": 3_033_042,
    "bedroom256": 3_033_042,
}
SHOWN_TOKENS = ("64", "256", "1,024", "4,096", "16,384")
RESULTS = {  # row of the targets: protocol
    "CIFAR-10, 50,000": "cifar10_50k",
    "CIFAR-10, 10,000": "cifar10_10k",
    "CelebA 64, 19,962": "celeba64_19k",
    "CelebA 64, 50,000": "celeba64_50k",
    "FFHQ 128, 50,000": "ffhq128_50k",
    "LSUN Bedroom 128, 30,000": "bedroom128_30k",
    "LSUN Bedroom 128, 50,000": "bedroom128_50k",
    "LSUN Bedroom 256, 50,000": "bedroom256_50k",
}


def hours(name):
    """Return the hours of the paper's images at the paper's rate."""
    return f"{PRESETS[name].total_images / PAPER_THROUGHPUT[name] / 3600:.0f}"


def hours_on_gpu(name):
    """Return the hours of the paper's images at the measured rate."""
    for row in GPU:
        if (row["preset"], row["way"]) == (name, "TF32 graph"):
            seconds = statistics.median(row["seconds"]) / row["batch_size"]
            return f"{PRESETS[name].total_images * seconds / 3600:.0f}"
    return ""


def millions(count):
    return f"{count / 1e6:.0f}M" if count >= 1e6 else f"{count:,}"


@pytest.mark.slow
def test_the_summary_is_of_this_code():
    assert list(SUMMARY) == list(PRESETS)
    assert preset_costs("tiny") == SUMMARY["tiny"]
    for name, preset in PRESETS.items():
        assert SUMMARY[name]["total_images"] == preset.total_images


def test_costs_in_the_experiments_page():
    lines = EXPERIMENTS.read_text().splitlines()
    rows = [line for line in lines if re.match(r"\| `\w+`.*\d[MG] ", line)]
    expected = []
    for name, figures in SUMMARY.items():
        row = ["`tiny` (the demo)" if name == "tiny" else f"`{name}`"]
        paper = PAPER_COSTS.get(name)
        for network, quoted in (
            ("generator", paper and paper.g_flops),
            ("discriminator", paper and paper.d_flops),
        ):
            row.append(f"{figures[f'{network}_parameters'] / 1e6:.3f}M")
            macs = f"{figures[f'{network}_flops'] / 2e9:.3f}G"
            given = quoted and quoted != "not given"
            row.append(f"{macs} ({quoted.rstrip('B')})" if given else macs)
        row.append(millions(figures["total_images"]))
        row.append(hours(name) if paper else "")
        expected.append("| " + " | ".join(row).rstrip() + " |")
    assert rows == expected


def test_targets_in_the_experiments_page():
    rows = table(EXPERIMENTS, "data, images generated")
    assert [RESULTS[row["data, images generated"]] for row in rows] == list(PROTOCOLS)
    for row, protocol in zip(rows, PROTOCOLS.values(), strict=True):
        assert row["paper"] == f"{protocol.paper['FID']:.2f}"
        assert row["authors' README"] in ("", row["paper"])
        assert f"{protocol.num_generated:,}" in row["data, images generated"]


def test_protocols_in_the_evaluation_page():
    rows = table(EVALUATION, "`--protocol`")
    assert [row["`--protocol`"].strip("`") for row in rows] == list(PROTOCOLS)
    for row, protocol in zip(rows, PROTOCOLS.values(), strict=True):
        assert row["generated"] == f"{protocol.num_generated:,}"
        assert row["FID in the paper"] == f"{protocol.paper['FID']:.2f}"


def test_shares_of_cifar10():
    """Table III."""
    fid = {
        row.name: f"{row.metrics['cifar10_50k']['FID']:.2f}"
        for row in rows_named(["table3"])
    }
    for row, share in zip(
        table(GUIDE, "images | with bCR"), ("100", "020", "010"), strict=True
    ):
        assert row["images"] == f"{int(share) * 500:,}"
        assert row["with bCR"] == fid[f"table3/cifar10_{share}_bcr"]
        assert row["without"] == fid[f"table3/cifar10_{share}_plain"]


def test_the_study_of_fine_tuning():
    curves = read_runs([f"{finetuning.RESULTS}/*.jsonl"])
    page = (ROOT / "docs/finetuning.md").read_text()
    for row in finetuning.table(curves, "distance").splitlines()[2:]:
        assert row in page


def test_hours_in_the_guide():
    rows = table(GUIDE, "preset | images")
    assert [row["preset"].strip("`") for row in rows] == list(PAPER_THROUGHPUT)
    for row in rows:
        name = row["preset"].strip("`")
        assert row["hours at the paper's rate"] == hours(name)
        assert row["hours on an H100"] == hours_on_gpu(name)
        assert row["images"] == millions(PRESETS[name].total_images)
        passes = PRESETS[name].total_images / TRAINING_IMAGES[name]
        assert row["passes over the data"] == f"{passes:,.0f}"


def test_memory_in_the_guide():
    memory = measured("training_memory")
    rows = table(GUIDE, "preset | weights, MiB")
    assert [row["preset"].strip("`") for row in rows] == list(PRESETS)
    for row in rows:
        name = row["preset"].strip("`")
        figures = training_memory.cells(memory[name])
        fixed = SUMMARY[name]["training_bytes"] / 2**20
        batch = PRESETS[name].batch_size
        at_batch = (fixed + batch * int(figures["MiB per image"])) / 1024
        assert row == {
            "preset": row["preset"],
            "weights, MiB": f"{fixed:,.0f}",
            "at the preset's batch, GiB": f"{at_batch:.1f} ({batch})",
            **figures,
        }


@pytest.mark.parametrize("run", ["portraits", "weak_r1", "collapsed"])
def test_logged_values_in_diagnosis(run):
    logged = {}
    for line in (DATA / f"{run}.jsonl").read_text().splitlines():
        values = json.loads(line)
        logged.setdefault(values["images"], {}).update(values)
    for row in table(DIAGNOSIS, f"`{run}`, images"):
        name = row.pop(f"`{run}`, images").strip("`")
        name = {"distance": "FD (small classifier)"}.get(name, name)
        for images, shown in row.items():
            value = logged[int(images.replace(",", ""))][name]
            places = len(shown.partition(".")[2])
            assert shown == f"{value:,.{places}f}"


def measured(name):
    return json.loads((DATA / f"{name}.json").read_text())


def test_headlines_in_performance():
    steps = measured("train_step_epyc")["presets"]["cifar10"]
    images = measured("sampling_epyc")["presets"]["cifar10"]["1"]
    (tokens,) = [row for row in measured("attention")["rows"] if row["tokens"] == 1024]
    assert [row["result"].split()[0] for row in table(PERFORMANCE, "task")] == [
        train_step.cells("cifar10", steps)["images/s ×"].split()[0],
        train_step.cells("cifar10", steps)["start ×"].split()[0],
        sampling.cells("cifar10", "1", "graph", images)["images/s ×"].split()[0],
        gpu_session.cells(GPU[0], GPU)["images/s"],
        attention.cells(tokens)["times as fast"],
    ]


def test_effects_of_settings_are_in_the_other_tables_of_performance():
    shown = Counter(re.findall(r"\d[\d.,]*\d", PERFORMANCE.read_text()))
    for row in table(PERFORMANCE, "you want to"):
        for number in re.findall(r"\d[\d.,]*\d", row["effect"]):
            assert shown[number] > 1, number


def test_training_steps_in_performance():
    machines = {
        machine: measured(f"train_step_{machine}")["presets"]
        for machine in ("epyc", "xeon", "epyc_bfloat16")
    }
    expected = []
    for name, machine in [
        ("cifar10", "epyc"),
        ("celeba64", "epyc"),
        ("ffhq128", "epyc"),
        ("cifar10", "epyc_bfloat16"),
    ]:
        line = train_step.cells(name, machines[machine][name])
        other = train_step.cells(name, machines["xeon"][name])
        in_float32 = machine == "epyc"
        expected.append(
            [
                line["preset (batch)"] + ("" if in_float32 else ", bfloat16"),
                line["images/s ×"],
                other["images/s ×"] if in_float32 else "",
                line["start ×"],
                line["peak memory ×"],
            ]
        )
    rows = [
        list(row.values())
        for row in table(PERFORMANCE, "preset (batch) | images/s ×, EPYC")
    ]
    assert rows == expected


def test_training_steps_on_a_gpu_in_performance():
    assert table(PERFORMANCE, "preset (batch) | way") == [
        gpu_session.cells(row, GPU) for row in GPU
    ]


def test_sampling_in_performance():
    machines = [
        measured(f"sampling_{machine}")["presets"]["cifar10"]
        for machine in ("epyc", "xeon")
    ]

    def cell(sides, way, batch, column):
        if way not in sides[batch]:
            return ""
        return sampling.cells("cifar10", batch, way, sides[batch])[column]

    expected = [
        [cell(sides, way, n, "images/s ×") for sides in machines for n in ["1", "64"]]
        + [", ".join(cell(machines[0], way, n, "peak memory ×") for n in ["1", "64"])]
        for way in sampling.WAYS
    ]
    rows = [list(row.values())[1:] for row in table(PERFORMANCE, "how")]
    assert rows == expected


def test_lightweight_gan_in_performance():
    presets = measured("lightweight_gan")["presets"]
    assert table(PERFORMANCE, "what") == [
        line for name, found in presets.items() for line in peer.cells(name, found)
    ]
    text = " ".join(PERFORMANCE.read_text().split())
    for name, found in presets.items():
        (sides,) = found["train"].values()
        ours, theirs = (
            f"{flops / 2e9:.2f}G"
            for flops in (
                SUMMARY[name]["generator_flops"],
                sides["lightweight"]["generator_flops"],
            )
        )
        assert f"{ours} and {theirs} at {PRESETS[name].image_size}" in text


def test_launches_in_performance():
    before, now = measured("launches_before"), measured("launches")
    ratios = [now[name]["graph_ops"] / before[name]["graph_ops"] for name in now]
    text = " ".join(PERFORMANCE.read_text().split())
    assert f"between {min(ratios):.2f} and {max(ratios):.2f} of the earlier" in text


def test_the_small_classifier_in_the_evaluation_page():
    found = measured("evaluation_sense")
    assert table(EVALUATION, "change") == [
        evaluation_sense.cells(*row) for row in found["changes"].items()
    ]
    falls = [
        f"{fall:.2f}"
        for space in found["lost_coverage"].values()
        for fall in space.values()
    ]
    sentence = (
        "falls by {} (classes 5, 7, 9) or {} (0, 2, 3) over features of the small "
        "classifier, and by {} or {} over pixels"
    )
    assert sentence.format(*falls) in " ".join(EVALUATION.read_text().split())


def test_throughput_in_the_data_page():
    results = measured("data_throughput")["data"]
    rows = table(ROOT / "docs/data.md", "ours / usual")
    assert rows == data_throughput.rows(results)


def test_exports_and_servers_in_the_serving_page():
    page, report = ROOT / "docs/serving.md", measured("serving")
    exports, speeds, clients = serving.tables(report)
    assert table(page, "export") == exports
    assert table(page, "run by") == speeds
    assert table(page, "16 clients at once") == clients
    text = page.read_text()
    assert f"answers {report['server_start_seconds']:.1f} s after its start" in text


def test_attention_in_performance():
    found = measured("attention")
    lines = [attention.cells(row) for row in found["rows"]]
    rows = table(PERFORMANCE, "tokens")
    assert rows == [line for line in lines if line["tokens"] in SHOWN_TOKENS]
    slopes = [
        f"{found[f'slope_{name}']:.2f}"
        for name in ("lada_ms", "multi_head_ms", "lada_mb", "multi_head_mb")
    ]
    text = " ".join(PERFORMANCE.read_text().split())
    times = "{} for LadaAttention and {} for MultiHeadAttention".format(*slopes[:2])
    assert times in text
    assert "slopes of memory are {} and {}".format(*slopes[2:]) in text
