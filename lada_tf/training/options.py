"""What a training run needs beside its configuration."""

import dataclasses

# The texts of flags that may leave a choice to the machine at hand.
AUTO: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What a run needs beside its configuration. Intervals count real images.

    Attributes:
        seed: of the initial weights, latents, augmentation and order of the data.
        flip: whether to mirror half of the real images.
        log_images: interval of log lines.
        sample_images: interval of grids.
        checkpoint_images: interval of checkpoints.
        keep_checkpoints: how many of the last ones to keep.
        fd_images: interval of the Fréchet distance over the small classifier's
            features; 0 for none. The best checkpoint by it is kept.
        fd_samples: how many images to measure it on.
        precision: what the networks compute in: float32, bfloat16 or float16.
        gradient_accumulation_steps: micro-batches to split each batch into, to save memory.
        gradient_checkpointing: whether activations are computed again where gradients
            need them, to save memory.
        sync_batch_norm: whether batch normalization takes the statistics of the whole
            batch where it is shared by several replicas.
        jit_compile: whether XLA compiles the step; "auto" is a graph.
        overlap: whether parts of a step may be computed at once, in more memory;
            "auto": those of small networks on a processor.
        on_nonfinite: what to do about losses or gradients that are not finite: "stop",
            or "rollback" to the last checkpoint with another seed.
        max_rollbacks: how often at most.
    """

    seed: int = 0
    flip: bool = False
    log_images: int = 10_000
    sample_images: int = 100_000
    checkpoint_images: int = 100_000
    keep_checkpoints: int = 2
    fd_images: int = 0  # none
    fd_samples: int = 1_000
    precision: str = "float32"
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    sync_batch_norm: bool = True
    jit_compile: bool | str = "auto"
    overlap: bool | str = "auto"
    on_nonfinite: str = "stop"
    max_rollbacks: int = 3
