"""When garbage collection is off."""

import gc

from lada_tf.runtime import without_garbage_collection


def test_it_is_off_within_and_then_as_before():
    assert gc.isenabled()
    with without_garbage_collection():
        assert not gc.isenabled()
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
