"""Shrink a row of the paper until it runs everywhere."""

from lada_tf.models import Preset

STEPS = 3
BATCH_SIZE = 4
SHRINK = 16  # a width of 1024 becomes 64


def smoke_flags(preset: Preset) -> dict[str, str]:
    """Return the flags that shrink a row: same layers and image size, small widths.

    The images are the embedded portraits, so no download is needed.
    """

    def widths(values, minimum):
        return ",".join(str(max(minimum, value // SHRINK)) for value in values)

    changes = {
        "data": "portraits",
        "resize": "pad",
        "batch_size": str(BATCH_SIZE),
        "total_images": str(STEPS * BATCH_SIZE),
        "g_widths": widths(preset.g_widths, 4),  # four heads
        "g_mlp_dim": "16",
        "d_widths": widths(preset.d_widths, 4),
        "d_out_widths": widths(preset.d_out_widths, 4),
        "d_mlp_dim": "16",
    }
    if preset.decoder_widths:
        changes["decoder_widths"] = widths(preset.decoder_widths, 2)
    return changes
