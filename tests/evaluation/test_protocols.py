import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.protocols import PROTOCOLS, choose_protocol


def test_every_protocol_has_a_source_or_says_what_it_needs():
    for entry in PROTOCOLS.values():
        assert bool(entry.real) != bool(entry.needs)


def test_an_unknown_protocol_lists_the_known():
    with pytest.raises(UserError, match=r"protocol=mnist .*cifar10_50k.*real=SOURCE"):
        choose_protocol("mnist")


def test_a_named_protocol():
    protocol = choose_protocol("cifar10_10k")
    assert (protocol.name, protocol.real) == ("cifar10_10k", "tfds:cifar10:test")
    assert choose_protocol("cifar10_10k", "mine.zip").real == "mine.zip"


def test_the_users_own_data():
    protocol = choose_protocol(None, "photos", 10, 20, "pad")
    assert (protocol.name, protocol.real, protocol.image_size) == (None, "photos", None)
    assert (protocol.num_generated, protocol.num_real) == (10, 20)
    assert protocol.resize == "pad"
    assert protocol.paper == {}


@pytest.mark.parametrize(
    ("name", "value"), [("num_generated", 4), ("num_real", 4), ("resize", "pad")]
)
def test_arguments_that_a_named_protocol_fixes(name, value):
    with pytest.raises(UserError, match=f"protocol=ffhq128_50k fixes .*{name}"):
        choose_protocol("ffhq128_50k", "photos", **{name: value})


def test_missing_real_images():
    with pytest.raises(UserError, match="real=SOURCE"):
        choose_protocol()
    with pytest.raises(UserError, match=r"needs real=.*FFHQ"):
        choose_protocol("ffhq128_50k")
