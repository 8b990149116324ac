"""Exported generators: formats, servers, and web pages."""

from lada_tf.serving.exported import FORMATS, ExportedModel, load_exported
from lada_tf.serving.exporting import export_generator

__all__ = ["FORMATS", "ExportedModel", "export_generator", "load_exported"]
