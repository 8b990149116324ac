"""The paper's tables and figures, and studies of our own."""

# Here, lada_tf sees that Python runs a command, and leaves TensorFlow to `app`.
import lada_tf  # noqa: F401
