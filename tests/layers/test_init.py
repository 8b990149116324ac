"""Importing the layers costs little more than importing Keras. Their examples run."""

import doctest
import inspect
import re
import subprocess
import sys

import keras
import pytest

from lada_tf import layers

IMPORT = """
import sys
import keras
before = set(sys.modules)
import lada_tf.layers
print(*sorted(set(sys.modules) - before))
"""
OURS = r"lada_tf(\.(layers|kernels|errors|runtime)(\..*)?)?"


@pytest.mark.slow
def test_importing_the_layers_imports_only_keras_and_layers():
    command = [sys.executable, "-X", "importtime", "-c", IMPORT]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = [m for m in result.stdout.split() if m.startswith("lada_tf")]
    assert "lada_tf.layers.lada_attention" in modules
    assert not [m for m in modules if not re.fullmatch(OURS, m)]
    times = re.findall(r"(\d+) \| +(keras|lada_tf)$", result.stderr, re.MULTILINE)
    cumulative = {name: int(microseconds) for microseconds, name in times}
    assert cumulative["lada_tf"] < 0.1 * cumulative["keras"]


class ShapeChecker(doctest.OutputChecker):
    """Accept TensorFlow's shapes, where examples print those of other backends."""

    def check_output(self, want, got, optionflags):
        got = re.sub(r"TensorShape\(\[([^\]]*)\]\)", r"(\1)", got)
        return super().check_output(want, got, optionflags)


@pytest.mark.parametrize("name", layers.__all__)
def test_examples(name):
    text = inspect.getdoc(getattr(layers, name))
    names = {**vars(layers), "keras": keras}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert example.examples
    runner = doctest.DocTestRunner(ShapeChecker())
    report = []
    assert not runner.run(example, out=report.append).failed, "".join(report)
