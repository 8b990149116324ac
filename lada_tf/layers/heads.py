"""The width of the tokens as heads, and back."""

from keras import ops


def head_size(width, num_heads):
    """d = D / h.

    Raises:
        ValueError: if h does not divide D.
    """
    if width % num_heads:
        raise ValueError(f"num_heads={num_heads} does not divide the width {width}")
    return width // num_heads


def split_heads(tokens, num_heads):
    """(B, N, D) → (B, h, N, d)."""
    count, width = ops.shape(tokens)[1], tokens.shape[-1]
    heads = ops.reshape(tokens, (-1, count, num_heads, width // num_heads))
    return ops.transpose(heads, (0, 2, 1, 3))


def join_heads(heads):
    """(B, h, N, d) → (B, N, D)."""
    _, num_heads, _, size = heads.shape
    count = ops.shape(heads)[2]
    return ops.reshape(
        ops.transpose(heads, (0, 2, 1, 3)), (-1, count, num_heads * size)
    )
