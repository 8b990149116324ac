"""Trained generators outside the lab: exported files, and servers of them."""

from lada_tf.serving.exported import ExportedModel, load_exported
from lada_tf.serving.exporting import export_generator
from lada_tf.serving.formats import FORMATS

__all__ = ["FORMATS", "ExportedModel", "export_generator", "load_exported"]
