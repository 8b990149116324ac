"""Everything that a run has stored, to compare runs bit for bit."""

import tensorflow as tf

from lada_tf.training.checkpoints import PREFIX, checkpoint_paths, read_manifest


def read_state(run):
    """Return the metrics, the checkpoints, and the best measure of a run."""
    found = {"log": (run / "metrics.jsonl").read_text()}
    for path in checkpoint_paths(run / "checkpoints", "(images|best)"):
        reader = tf.train.load_checkpoint(str(path / PREFIX))
        names = [n for n in reader.get_variable_to_shape_map() if "GRAPH" not in n]
        values = {name: reader.get_tensor(name).tobytes() for name in names}
        found[path.name] = values, read_manifest(path)["distance"]
    return found
