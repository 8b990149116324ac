"""Diagnose a run: print its condition, the evidence, and the next command.

lada-tf doctor runs/photos
lada-tf doctor --run_dir=runs/photos

The command reads flags.cfg, metrics.jsonl, the newest sample grid, and the reports of
losses or gradients that are not finite. It does not change the run.
"""

import shlex

from absl import flags

from lada_tf import app
from lada_tf.training.diagnosis import diagnose, not_visible
from lada_tf.training.logged_run import LoggedRun, read_run

app.DEFINE_path("run_dir", None, "Examine this run.", required=True)
FLAGS = flags.FLAGS


def main() -> None:
    print(describe(FLAGS.run_dir, read_run(FLAGS.run_dir)))


def describe(run_dir: str, run: LoggedRun) -> str:
    """Return the diagnosis as text."""
    total = run.preset.total_images
    lines = [f"{run_dir}: {run.images_seen:,} of {total:,} images seen"]
    for finding in diagnose(run):
        lines += [
            "",
            finding.condition,
            f"  evidence: {finding.evidence}",
            f"  advice:   {finding.advice}",
            f"  next:     lada-tf {finding.next_command}",
        ]
    if len(lines) == 1:
        lines += ["", "healthy", f"  evidence: {_evidence_of_health(run)}"]
    lines += ["", "not visible in these logs:"]
    lines += [f"  {line}" for line in not_visible(run)]
    return "\n".join(lines).replace("{run}", shlex.quote(run_dir.rstrip("/")))


def _evidence_of_health(run: LoggedRun) -> str:
    names = ("real_accuracy", "fake_accuracy", "d_loss", "g_loss", "r1")
    text = ", ".join(f"{name} {run.recent(name):,.3g}" for name in names)
    if run.distances:
        values = ", ".join(f"{value:.4g}" for _, value in run.distances[-5:])
        text += f"; distances {values}"
    return text


if __name__ == "__main__":
    app.run(main, positional="run_dir")
