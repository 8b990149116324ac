from PIL import Image

from lada_tf.evaluation.reporting import format_table, plot_records


def test_only_the_same_metric_stands_beside_the_papers():
    metrics = {"FID": 3.5, "FD (net)": 1.0, "KID": 0.00123456, "KID std": 0.1}
    text = format_table(metrics, {"FID": 3.29}, {"FD (net)": 0.25})
    assert [line.split() for line in text.splitlines()] == [
        ["measured", "±", "paper"],
        ["FID", "3.5000", "3.29"],
        ["FD", "(net)", "1.0000", "0.25"],
        ["KID", "0.0012346"],
    ]
    columns = [line[: line.index("3.29") + 4] for line in text.splitlines()[1:2]]
    assert len(columns[0]) == len(text.splitlines()[0])


def test_empty_columns_are_left_out():
    metrics = {"FID": 3.5, "KID": 0.1}
    assert format_table(metrics, {}, {}).split() == [
        "measured",
        "FID",
        "3.5000",
        "KID",
        "0.10000",
    ]
    assert "paper" not in format_table(metrics, {}, {"KID": 0.2})
    assert "±" not in format_table(metrics, {"FID": 3.29}, {})


def test_a_plot_needs_no_spread(tmp_path):
    records = [
        {"images_seen": seen, "metrics": {"FID": 9.0 - seen, "KID": 0.1}, "spread": {}}
        for seen in (4, 8)
    ]
    plot_records(records, str(tmp_path / "new" / "curve.png"))
    assert Image.open(tmp_path / "new" / "curve.png").size == (1200, 300)
