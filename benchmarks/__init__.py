"""Measurements of the documentation: one command per table."""

# Here, lada_tf sees that Python runs a command, and leaves TensorFlow to `app`.
import lada_tf  # noqa: F401
