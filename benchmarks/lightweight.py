"""lightweight-gan as a benchmark's worker, in a separate environment.

    pip install torch==2.13.0 torchvision==0.28.0 lightweight-gan==1.2.1

Settings:
    task: `train` or `sample`.
    image_size: pixels per side.
    batch_size: images per training step.

We time the methods of its `Trainer`, with the options of its command. The package
requires a GPU. `import_package` makes it run on a CPU too.
"""

import importlib.metadata
import itertools
import sys
import tempfile
import types

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.worker import serve, timed

FOLDER = tempfile.TemporaryDirectory()  # its Trainer creates empty directories there


def start(settings):
    trainer = make_trainer(settings["image_size"], settings["batch_size"])
    commands = {"train": start_training, "sample": start_sampling}[settings["task"]](
        trainer
    )
    report = {
        "torch": torch.__version__,
        "lightweight_gan": importlib.metadata.version("lightweight-gan"),
        "generator_flops": generator_flops(trainer),
    }
    return report, commands


def start_training(trainer):
    shape = (trainer.batch_size, 3, trainer.image_size, trainer.image_size)
    images = torch.rand(shape)
    # New tensors, like those of a loader: the trainer needs gradients for them.
    trainer.loader = (images.clone() for _ in itertools.count())

    def train(steps):
        def run():
            for _ in range(steps):
                trainer.train()

        return timed(run)

    train(1)
    return {"train": train}


def start_sampling(trainer):
    trainer.GAN.eval()

    def sample(batch_size, calls):
        trainer.batch_size = batch_size  # otherwise it generates in chunks

        def run():
            for _ in range(calls):
                latents = torch.randn(batch_size, trainer.latent_dim)
                if torch.cuda.is_available():
                    latents = latents.cuda()
                trainer.generate_(trainer.GAN.GE, latents).cpu().numpy()

        return timed(run)

    sample(1, 1)
    return {"sample": sample}


def generator_flops(trainer):
    """Return the FLOPs of the generator's matmuls and convolutions per image."""
    generator = trainer.GAN.G
    device = next(generator.parameters()).device
    latent = torch.zeros(1, trainer.latent_dim, device=device)
    generator.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        generator(latent)
    generator.train()
    return counter.get_total_flops()


def make_trainer(image_size, batch_size):
    trainer = import_package().Trainer(
        image_size=image_size,
        batch_size=batch_size,
        gradient_accumulate_every=1,  # its command's default is 4
        attn_res_layers=[32],
        disc_output_size=1,
        aug_types=["cutout", "translation"],
        aug_prob=0.3,  # its choice for a small directory of images
        use_aim=False,
        base_dir=FOLDER.name,
    )
    trainer.init_GAN()
    # From this step on, the trainer does not sample or save for a while. It updates the
    # EMA every tenth step and adds the gradient penalty every fourth.
    trainer.steps = 30_004
    return trainer


def import_package():
    """Import the package, with or without a GPU."""
    # The package uses torchvision only to read and write images.
    sys.modules["torchvision"] = types.SimpleNamespace(transforms=None)
    real = torch.cuda.is_available
    torch.cuda.is_available = lambda: True
    from lightweight_gan import lightweight_gan

    torch.cuda.is_available = real
    if not real():
        torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_: self
        here = {"device": lambda _: torch.device("cpu")}
        lightweight_gan.torch = types.SimpleNamespace(**vars(torch) | here)
    return lightweight_gan


if __name__ == "__main__":
    serve(start)
